"""Runs whose noise is drawn in single precision: from the spec to the file, and that they do not mix with others.

`kinds` has one among the runs that are extended, replayed and made again from their files.
"""

import numpy as np
import pytest
from fastsgd.kernels import SINGLE_VERSION, STREAM_VERSION
from reference_quadratic import advance as slow
from small_runs import results, tables

import fastsgd
from fastsgd.errors import InputError
from fastsgd.plan import make_plan
from fastsgd.spec import load_spec

OU = {"problem__kind": "ou", "problem__time_step": 0.1, "step": {"size": 0.5}}


def single(**changes):
    return tables(problem__normal_precision="single", **changes)


def test_default_is_double_and_leaves_the_identity():
    plain, double, other = (load_spec(t) for t in (tables(), tables(problem__normal_precision="double"), single()))
    assert plain.identity() == double.identity() != other.identity()
    assert "normal_precision" not in plain.canonical()["problem"]


def test_iterates_equal_the_slow_recursion(tmp_path):
    run = fastsgd.run(single(problem__hessian__basis="identity", record__trajectories=3), tmp_path / "a.h5")
    plan = make_plan(run.spec)
    arm = plan.arms[0]
    from fastsgd.problems.working import factor

    root = factor(arm.problem.basis, arm.covariance)
    state = plan.start_mean[0].tolist()
    for step, (first, last) in enumerate(((0, 3), (3, 10)), start=1):
        state = slow(state, arm.problem.eigenvalues, root, [0.1] * (last - first), 5, 2, first, single=True)
        assert run.trajectories()[2, step].tolist() == state
    assert run.stream_version == SINGLE_VERSION
    assert fastsgd.run(tables(), tmp_path / "b.h5").stream_version == STREAM_VERSION


@pytest.mark.slow
def test_time_averages_leave_the_iterates(tmp_path):
    bare = fastsgd.run(single(), tmp_path / "bare.h5")
    kept = fastsgd.run(single(record__average={"burn_in": 8, "batches": 4}), tmp_path / "kept.h5")
    assert np.array_equal(bare.final(), kept.final())
    double = fastsgd.run(tables(), tmp_path / "double.h5")
    assert not (bare.final() == double.final()).any()


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, OU], ids=["quadratic", "ou"])
def test_shards_are_the_whole_and_no_other_run_is_taken_for_one(tmp_path, more):
    whole = fastsgd.run(single(**more), tmp_path / "whole.h5", threads=2)
    parts = [fastsgd.run(single(**more), tmp_path / f"{i}.h5", shard=(i, 2), threads=1).path for i in (1, 2)]
    assert results(fastsgd.merge(parts, tmp_path / "merged.h5").path) == results(whole.path)
    double = fastsgd.run(tables(**more), tmp_path / "double.h5", shard=(2, 2)).path
    with pytest.raises(InputError, match=r"problem\.normal_precision is single and double$"):
        fastsgd.merge([parts[0], double], tmp_path / "mixed.h5")
    with pytest.raises(InputError, match=r"problem\.normal_precision: the spec has double, .* has single"):
        fastsgd.run(tables(**more), whole.path)


def test_a_run_of_another_version_is_not_gone_on_with(tmp_path, monkeypatch):
    run = fastsgd.run(single(), tmp_path / "a.h5")
    monkeypatch.setattr("fastsgd.kernels.SINGLE_VERSION", "9.single.9")
    with pytest.raises(InputError, match=f"version {SINGLE_VERSION}, this fastsgd makes 9.single.9"):
        fastsgd.extend(run.path, replicates=200)


@pytest.mark.slow
def test_cells_of_a_sweep_may_differ_in_it_and_both_agree_with_theory(tmp_path):
    spec = tables(replicates=4000, sweep={"problem.normal_precision": ["double", "single"], "step.size": [0.1, 0.05]})
    fastsgd.sweep(spec, tmp_path / "cells")
    runs = [fastsgd.open_run(path) for path in sorted((tmp_path / "cells").glob("*.h5"))]
    assert sorted(str(run.stream_version) for run in runs) == sorted(2 * [str(STREAM_VERSION), SINGLE_VERSION])
    for run in runs:
        alone = fastsgd.run(run.spec, tmp_path / f"alone-{run.identity[:8]}.h5")
        assert np.array_equal(alone.final(), run.final())
        assert fastsgd.ratio(run).verdict == "consistent"
        assert fastsgd.ratio(run, ["step.size=0.115"]).verdict == "inconsistent"  # the control

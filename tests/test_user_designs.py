"""Designs of a user's own: batches against a plain reference, covariances, and what holds for every run."""

import json

import numba
import numpy as np
import pytest
import user_designs
from reference_draws import below, floyd, words
from reference_weighted import word64
from small_runs import datasets
from user_designs import N, tables

import fastsgd
from fastsgd import merging, plan
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError
from fastsgd.problems.batches import Sampler
from fastsgd.replaying import replay
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

SEED, REPLICATE, STEP = 0xFEDCBA9876543210, 2**32 + 7, 2**32 - 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return user_designs.make(tmp_path_factory.mktemp("user"))


def arm_of(folder, name, **changes):
    return plan.resolve_arm(next(iter(load_spec(tables(folder, name, **changes)).arm_specs().values())))


def shuffled(n, b, source):
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        k = below(i + 1, source)
        order[i], order[k] = order[k], order[i]
    return order[:b], None


def systematic(n, b, source):
    start = below(n, source)
    return [(start + i * (n // b)) % n for i in range(b)], None


def poisson(chances):
    def draw(n, b, source):
        index = [i for i in range(n) if (word64(source) >> 11) / 2**53 < chances[i]]
        return index, [1.0 / (n * chances[i]) for i in index]

    return draw


@pytest.mark.parametrize("name", ["simple", "shuffled", "systematic", "chances"])
def test_batches_are_those_of_the_reference(folder, name):
    """Cut into parts of any size, by any number of tasks."""
    draws = arm_of(folder, name).draws
    reference = {
        "simple": lambda n, b, source: (floyd(n, b, source), None),
        "shuffled": shuffled,
        "systematic": systematic,
        "chances": poisson(draws.own.params),
    }[name]
    sizes = set()
    for tasks, steps in ((1, 5), (3, 3), (8, 1)):
        for part in Sampler(draws).walk(7, steps, SEED, REPLICATE, STEP, tasks):
            for r in range(part.size.shape[0]):
                for k in range(part.size.shape[1]):
                    at, of = (r * part.size.shape[1] + k) * int(part.pitch), int(part.size[r, k])
                    source = words(SEED, REPLICATE + part.row + r, STEP + part.column + k)
                    index, weight = reference(N, 6, source)
                    assert part.indices[at : at + of].tolist() == index
                    assert part.weight[at : at + of].tolist() == (weight or [1.0 / 6] * 6)
                    sizes.add(of)
    assert len(sizes) == 1 or name == "chances"


def test_large_subsets_are_those_of_the_reference():
    from fastsgd.stream import stream, subset

    out = np.zeros(50, np.int64)
    for size in (1, 16, 17, 50):  # looked through, or hashed
        subset(stream(SEED, REPLICATE, STEP), 60, size, out)
        assert out[:size].tolist() == floyd(60, size, words(SEED, REPLICATE, STEP))


def test_covariances_that_are_given(folder):
    """Of simple random sampling by its inclusion chances and by a formula; of Poisson sampling with chances by the data."""
    twin = arm_of(folder, "simple", design="without-replacement")
    for name in ("horvitz", "right"):
        assert np.allclose(arm_of(folder, name).covariance, twin.covariance, rtol=1e-12, atol=0)
        assert not np.allclose(arm_of(folder, name).covariance, twin.covariance * 54 / 59, rtol=1e-3)
    arm = arm_of(folder, "chances")
    g = arm.problem.pilot.gradients(arm.problem.optimum)
    p = arm.draws.own.params
    exact = sum((1 - p[i]) / p[i] * np.outer(g[i], g[i]) for i in range(N)) / N**2
    assert np.allclose(arm.covariance, exact, rtol=1e-12)
    assert "design_parts" not in arm.problem.arrays


@pytest.mark.parametrize(("name", "exact"), [("simple", "right"), ("learnt", "chances"), ("systematic", None)])
def test_a_covariance_that_is_not_given_is_estimated_with_its_error(folder, name, exact):
    arm = arm_of(folder, name, pilot=2**16)
    parts = arm.problem.arrays["design_parts"]
    error = parts.std(axis=0, ddof=1) / np.sqrt(32)
    assert np.allclose(parts.mean(axis=0), arm.covariance)
    # A variance from 2^16 batches is known to 0.55 % if they are about normal.
    assert np.all(np.diagonal(error) < 0.02 * np.diagonal(arm.covariance))
    if exact is None:  # all starts of a systematic sample
        g = arm.problem.pilot.gradients(arm.problem.optimum)
        means = np.array([g[(start + np.arange(6) * 10) % N].mean(axis=0) for start in range(N)])
        expected, wrong = np.cov(means.T, bias=True), arm_of(folder, "right").covariance
    else:
        expected = arm_of(folder, exact).covariance
        wrong = expected * 1.1
    assert np.all(np.abs(arm.covariance - expected) < 5 * error)
    assert np.any(np.abs(arm.covariance - wrong) > 8 * error)  # control


def test_runs_agree_with_the_covariance_of_the_design(folder, tmp_path, capsys):
    """And not with another: that of drawing with replacement, and one that is 2 % off, which no check before a run can see."""
    run = fastsgd.run(tables(folder, "horvitz", 2**16), tmp_path / "run.h5")
    assert fastsgd.ratio(run).verdict == "consistent"
    assert exit_code(["ratio", str(run.path), "--assume", "sampling.design=with-replacement"]) == 3
    assert "inconsistent" in capsys.readouterr().out
    close = fastsgd.run(tables(folder, "close", 2**16), tmp_path / "close.h5")
    assert np.array_equal(np.asarray(close.risk("main")), np.asarray(run.risk("main")))
    assert fastsgd.ratio(close).verdict == "inconsistent"


def test_z_values_hold_with_the_error_of_a_pilot_and_not_without(folder, tmp_path):
    pilots, squares, without = 12, 0.0, 0.0
    for k in range(pilots):
        spec = tables(folder, "later", 2**15, steps=[16], pilot=2**10, parameters=[float(k)]) | {"seed": k}
        report = fastsgd.ratio(fastsgd.run(spec, tmp_path / f"{k}.h5"))
        row = next(row for row in report.rows if row.quantity == "risk")
        squares += row.z**2
        without += ((row.empirical - row.predicted) / row.standard_error_sample) ** 2
    width = np.sqrt(2 * pilots)  # chi-squares of as many degrees of freedom
    assert pilots - 2.5 * width < squares < pilots + 5 * width, (squares, without)
    assert without > pilots + 8 * width, (squares, without)
    assert "error of the pilot" in report.to_text()


@pytest.mark.parametrize("glm", [False, True], ids=["own problem", "glm"])
def test_shards_threads_and_replays(folder, tmp_path, glm):
    """The merge has no code at hand."""
    spec = tables(folder, "learnt", 200, glm=glm, pilot=2**11)
    whole = fastsgd.run(spec, tmp_path / "whole.h5", threads=1)
    again = fastsgd.run(spec, tmp_path / "again.h5", threads=min(2, numba.config.NUMBA_NUM_THREADS))
    files = [fastsgd.run(spec, tmp_path / f"{i}.h5", shard=(i, 3)).path for i in (1, 2, 3)]
    merged = merging.merge(files, tmp_path / "merged.h5")
    assert datasets(whole.path) == datasets(again.path) == datasets(merged.path)
    assert whole.identity == load_spec(spec).identity()
    with pytest.raises(InputError, match=r"whose code runs from a file alone; name it with --code"):
        replay(whole.path, 130)
    assert replay(whole.path, 130, code=folder / "designs.py")[0].compared == 2
    assert fastsgd.ratio(merged).verdict == "consistent"  # from the file alone
    with pytest.raises(InputError, match=r"keeps the covariance of its own batches, not the code"):
        fastsgd.ratio(merged, assume=["sampling.batch=5"])


def test_arms_and_budgets(folder, tmp_path):
    spec = tables(folder, "right", 4096) | {
        "arms": {"simple": {}, "systematic": {"sampling.design": f"{folder / 'designs.py'}:systematic"}}
    }
    run = fastsgd.run(spec, tmp_path / "arms.h5")
    first, second = (run.problem(arm) for arm in run.arms)
    assert np.isnan(first["design_parts"]).all() and np.isfinite(second["design_parts"]).all()
    ratio = fastsgd.ratio(run)
    assert ratio.verdict == "consistent"
    risks = {row.arm: row.predicted for row in ratio.rows if row.quantity == "risk" and row.step == 20}
    assert risks["systematic"] < 0.8 * risks["simple"]  # a pool with a trend
    assert exit_code(["plan", str(_written(folder, spec)), "--budget", "1200", "--json"]) == 0


def _written(folder, spec):
    path = folder / "spec.json.toml"
    path.write_text(load_spec(spec).to_toml())
    assert str(folder / "designs.py") in path.read_text()
    return path


def test_a_spec_names_its_file_relative_to_itself(folder, capsys):
    (folder / "here.toml").write_text(
        """
        seed = 3
        replicates = 64
        problem = { kind = "designs.py:gradient", dimension = 2, data = { file = "pool.npy" } }
        sampling = { design = "designs.py:learnt", batch = 6, pilot = 2048 }
        step = { size = 0.2 }
        record = { steps = [5] }
        """
    )
    assert exit_code(["predict", str(folder / "here.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "learnt" in json.dumps(told)

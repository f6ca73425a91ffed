"""Time averages through the engine: against kept iterates, and everything that they must not depend on."""

import numpy as np
import pytest
from small_runs import datasets, results, tables

import fastsgd
from fastsgd import plan as plan_module
from fastsgd.engine import StoppedEarly
from fastsgd.plan import make_plan
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

AVERAGE = {"burn_in": 4, "thin": 3, "batches": 5}
SAMPLED = list(range(7, 41, 3))
POOL = {"kind": "glm", "family": "logistic", "data": {"generate": {"samples": 60, "dimension": 2, "seed": 3}}}


def averaged(average=None, **changes):
    return tables(record={"steps": [5, 40], "average": average or AVERAGE}, **changes)


def kept(**changes):
    """The same spec with every sample recorded and kept."""
    replicates = changes.get("replicates", 150)
    return tables(record={"steps": SAMPLED, "trajectories": replicates}, **changes)


CASES = {
    "diagonal": {},
    "rotated": {"problem__hessian__basis": "random"},
    "dense metric": {"problem__metric": "noise", "replicates": 70},
    "few": {"replicates": 3},
    "process": {"problem__kind": "ou", "problem__time_step": 2.0},
    "pool": {"problem": POOL, "sampling": {"batch": 4}, "replicates": 20},
    "decaying": {"step": {"schedule": "power", "size": 1.0, "offset": 8.0, "exponent": 0.7}},
}


@pytest.mark.parametrize("case", CASES)
def test_averages_are_those_of_the_iterates(case, tmp_path):
    run = fastsgd.run(averaged(**CASES[case]), tmp_path / "a.h5")
    other = fastsgd.run(kept(**CASES[case]), tmp_path / "b.h5")
    x, risk = other.trajectories(), other.risk()
    count, mean, second = run.averages()
    assert count == risk.size
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1)), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(second, np.einsum("rsi,rsj->ij", x, x) / count, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(run.rows("average_risk"), risk.mean(axis=1), rtol=1e-12)
    batch = np.arange(12) * 5 // 12
    for b in range(5):
        np.testing.assert_allclose(run.rows("average_risk_batch")[:, b], risk[:, batch == b].mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(run.final(), x[:, -1], rtol=1e-15)


@pytest.mark.parametrize("case", ["rotated", "pool"])
def test_waves_threads_and_interruptions_leave_every_byte(case, tmp_path, monkeypatch):
    changes = CASES[case] | {"replicates": 300, "arms": {"a": {}, "b": {"step.size": 0.05}}}
    spec = averaged(**changes)
    fastsgd.run(spec, tmp_path / "whole.h5", threads=1)
    fastsgd.run(spec, tmp_path / "two.h5", threads=2)
    assert datasets(tmp_path / "whole.h5") == datasets(tmp_path / "two.h5")
    stops = 0
    while True:
        try:
            fastsgd.run(spec, tmp_path / "cut.h5", threads=2, time_limit=0.0)
            break
        except StoppedEarly:
            stops += 1
    assert stops >= 3
    assert datasets(tmp_path / "whole.h5") == datasets(tmp_path / "cut.h5")
    monkeypatch.setattr(plan_module, "_LARGEST_WAVE", 128)
    fastsgd.run(spec, tmp_path / "waves.h5")
    assert results(tmp_path / "whole.h5") == results(tmp_path / "waves.h5")


def test_iterates_do_not_know_that_they_are_sampled(tmp_path):
    run = fastsgd.run(averaged(), tmp_path / "a.h5")
    plain = fastsgd.run(tables(record__steps=[5, 40]), tmp_path / "b.h5")
    assert run.final().tobytes() == plain.final().tobytes()
    assert run.risk().tobytes() == plain.risk().tobytes()
    assert plain.averages() is None


def test_completed_waves_of_an_unfinished_run_have_averages(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module, "_LARGEST_WAVE", 64)
    whole = fastsgd.run(averaged(), tmp_path / "whole.h5")
    done = 0
    while done == 0:
        with pytest.raises(StoppedEarly):
            fastsgd.run(averaged(), tmp_path / "cut.h5", time_limit=0.0)
        run = fastsgd.open_run(tmp_path / "cut.h5")
        done = run.progress.replicates_done
    assert done < 150 and not run.finished
    count, _, second = run.averages()
    assert count == 12 * done
    assert np.sum(second * run.problem()["metric"]) == pytest.approx(run.rows("average_risk").mean(), rel=1e-12)
    assert np.array_equal(run.rows("average_risk"), whole.rows("average_risk")[:done])


def test_groups_with_a_diverged_replicate_are_left_out_and_not_counted(tmp_path):
    spec = averaged(
        replicates=100, step__size=500.0, record__steps=[5, 130], record__average={"burn_in": 0, "batches": 2},
        start={"kind": "gaussian", "scale": 1e-30},
    )  # fmt: skip
    run = fastsgd.run(spec, tmp_path / "a.h5", allow_unstable=True)
    lost = run.diverged_at() >= 0
    count, mean, second = run.averages()
    assert lost.all() and count == 0 and np.isnan(mean).all() and np.isnan(second).all()
    assert np.isnan(run.rows("average_risk")).all()


def test_sums_have_a_part_of_the_wave(monkeypatch):
    monkeypatch.setattr(plan_module, "_WAVE_BYTES", 2**20)
    plain = make_plan(load_spec(tables(replicates=2**14))).wave
    wave = make_plan(load_spec(averaged(replicates=2**14))).wave
    assert 64 <= wave < plain
    sums = 8 * wave * (3 + 5 + (8 + 32) / 16)
    assert sums <= 2**20 < 4 * sums

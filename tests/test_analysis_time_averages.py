"""Time averages against predictions: coverage of the errors, and wrong assumptions that must be rejected."""

import numpy as np
import pytest
from scipy import stats
from small_runs import tables

import fastsgd
from fastsgd.analysis.time_averages import batch_error
from fastsgd.analysis.zscores import z_pearson3, z_student
from fastsgd.theory.time_averages import Sampling, averages

pytestmark = pytest.mark.slow

AVERAGE = {"burn_in": 20, "thin": 2, "batches": 8}


def averaged(**changes):
    return tables(**({"record": {"steps": [10, 2020], "average": AVERAGE}, "step__size": 0.1} | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fastsgd.run(averaged(replicates=1600), tmp_path_factory.mktemp("run") / "a.h5")


def rows_of(report):
    return {row.quantity: row for row in report.rows if row.step is None}


def law(run):
    problem = run.problem()
    sampling = Sampling(20, 2, 1000)
    d = len(problem["optimum"])
    forms = [problem["metric"]]
    return averages(problem["hessian"], problem["noise"] / 4, 0.1, sampling, np.zeros(d), np.zeros((d, d)), forms)


def test_rows_have_exact_predictions(run):
    rows = rows_of(fastsgd.ratio(run))
    assert rows["time-averaged risk"].predicted == pytest.approx(law(run).value[0], rel=1e-12)
    assert rows["time-averaged risk"].standard_error == pytest.approx(np.sqrt(law(run).variance[0] / 1600), rel=1e-9)
    # The scatter between replicates is an independent estimate: relative error sqrt((2 + excess)/(4 n)), 2 % here.
    assert rows["time-averaged risk"].standard_error_sample == pytest.approx(
        rows["time-averaged risk"].standard_error, rel=0.1
    )
    for quantity in ("time-averaged risk", "time-averaged covariance", "time-averaged mean"):
        assert rows[quantity].in_verdict and abs(rows[quantity].z) < 4
    assert len([name for name in rows if name.startswith("time-averaged second moment")]) == 6
    time = rows["autocorrelation time of the risk"]
    assert abs(time.z) < 4 and not time.in_verdict


def test_predict_says_what_the_average_will_be(run):
    found = fastsgd.predict(run)["time_average"]
    assert found["samples"] == 1000 and found["risk"] == pytest.approx(law(run).value[0], rel=1e-12)
    assert found["standard_deviation"] == pytest.approx(np.sqrt(law(run).variance[0]), rel=1e-9)
    assert fastsgd.predict(tables())["time_average"] is None


def test_arms_are_compared_replicate_by_replicate(tmp_path):
    spec = averaged(
        replicates=100, arms={"a": {}, "b": {"problem.noise.kind": "isotropic"}, "c": {"sampling.batch": 8}}
    )
    run = fastsgd.run(spec, tmp_path / "a.h5")
    rows = rows_of(fastsgd.ratio(run))
    surrogate, twice = rows["time-averaged risk ratio a/b"], rows["time-averaged risk ratio a/c"]
    risk = run.rows("average_risk", "a"), run.rows("average_risk", "b")
    alone = np.hypot(*(np.std(r) / np.mean(r) for r in risk)) / 10 * surrogate.empirical
    assert abs(surrogate.z) < 4 and surrogate.standard_error < 0.9 * alone
    assert twice.empirical == pytest.approx(2, rel=1e-12) and twice.z == pytest.approx(0, abs=1)
    worse = rows_of(fastsgd.ratio(run, ["arms.b.problem.noise.high=6.0"]))["time-averaged risk ratio a/b"]
    assert abs(worse.z) > 6


def test_z_values_of_groups_of_replicates_are_normal(run):
    """200 groups of 8: nominal coverage of every interval at once (Kolmogorov-Smirnov; false alarm 1e-4)."""
    found = law(run)
    groups = run.rows("average_risk").reshape(200, 8).mean(axis=1)
    error = np.sqrt(found.variance[0] / 8)
    z = [z_pearson3((g - found.value[0]) / error, found.skewness[0] / np.sqrt(8)) for g in groups]
    assert stats.kstest(z, "norm").pvalue > 1e-4
    assert stats.kstest(np.array(z) * 1.3, "norm").pvalue < 1e-2  # control: errors 30 % too small


@pytest.mark.parametrize(
    "wrong", ["step.size=0.103", "sampling.batch=5", "problem.noise.kind=isotropic", "problem.noise.seed=8"]
)
def test_controls_are_rejected(run, wrong):
    """A step 3 % too large raises the risk by 3 %, nine standard errors of its time average."""
    report = fastsgd.ratio(run, [wrong])
    assert report.verdict == "inconsistent"
    beyond = [row.quantity for row in report.rows if report.rejected(row)]
    assert any(quantity.startswith("time-averaged") for quantity in beyond)


@pytest.mark.parametrize(
    "changes",
    [
        {"start": {"value": [4.0, -3.0, 5.0]}},
        {"step": {"schedule": "power", "size": 2.0, "offset": 20.0, "exponent": 0.6}},
        {"problem__metric": "identity", "problem__hessian__basis": "random", "start": {"kind": "stationary"}},
        {"problem__kind": "ou", "problem__time_step": 1.0},
        {"problem__kind": "ou", "problem__scheme": "euler"},
    ],
)
def test_transients_schedules_and_processes_are_consistent(changes, tmp_path):
    run = fastsgd.run(averaged(replicates=200, **changes), tmp_path / "a.h5")
    report = fastsgd.ratio(run)
    rows = rows_of(report)
    assert report.verdict == "consistent"
    assert all(abs(row.z) < 4.5 for name, row in rows.items() if name.startswith("time-averaged"))
    worse = "problem.noise.high=6.0"
    assert fastsgd.ratio(run, [worse]).verdict == "inconsistent"


def test_a_pool_takes_its_errors_from_the_replicates(tmp_path):
    problem = {"kind": "glm", "family": "linear", "data": {"generate": {"samples": 50, "dimension": 2, "seed": 3}}}
    spec = averaged(
        problem=problem,
        sampling={"batch": 4},
        replicates=128,
        step__size=0.05,
        record__average=AVERAGE | {"burn_in": 400},
    )
    run = fastsgd.run(spec, tmp_path / "a.h5")
    report = fastsgd.ratio(run)
    row = rows_of(report)["time-averaged risk"]
    assert row.in_verdict and abs(row.z) < 4
    assert row.standard_error == pytest.approx(np.std(run.rows("average_risk"), ddof=1) / np.sqrt(128), rel=1e-12)
    assert fastsgd.ratio(run, ["sampling.batch=5"]).verdict == "inconsistent"


@pytest.mark.parametrize(("correlation", "long_enough"), [(0.8, True), (0.999, False)])
def test_batches_of_few_replicates_give_nominal_intervals(correlation, long_enough):
    """500 experiments of 2 replicates x 8 batches x 100 samples: 95 % intervals miss 25 +- 4.9, times 4."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((500, 2))
    batch = np.zeros((500, 2, 8))
    for k in range(800):
        x = correlation * x + np.sqrt(1 - correlation**2) * rng.standard_normal(x.shape)
        batch[:, :, k // 100] += x / 100
    found = [batch_error(one) for one in batch]
    z = [z_student(one.mean() / error, degrees) for one, (error, degrees, _) in zip(batch, found, strict=True)]
    missed = int(np.sum(np.abs(z) > 1.96))
    assert (abs(missed - 25) < 20) == long_enough
    assert np.mean([settled for *_, settled in found]) > 0.9 if long_enough else True


def test_too_many_samples_of_a_decaying_step_are_said_not_to_be_compared(tmp_path, monkeypatch):
    from fastsgd.analysis import time_averages

    step = {"schedule": "power", "size": 2.0, "offset": 20.0, "exponent": 0.6}
    run = fastsgd.run(averaged(replicates=20, step=step), tmp_path / "a.h5")
    assert "time-averaged risk" in rows_of(fastsgd.ratio(run)) and not fastsgd.ratio(run).notes
    monkeypatch.setattr(time_averages, "LARGEST_LOOP", 999)
    report = fastsgd.ratio(run)
    assert "time-averaged risk" not in rows_of(report)
    assert any("give record.average.thin >= 3" in note for note in report.notes)


def test_nothing_is_tested_where_replicates_diverged(tmp_path):
    run = fastsgd.run(
        averaged(replicates=70, step__size=0.6, record__steps=[10, 3000]), tmp_path / "a.h5", allow_unstable=True
    )
    rows = rows_of(fastsgd.ratio(run))
    assert not any(row.in_verdict for name, row in rows.items() if name.startswith("time-averaged"))

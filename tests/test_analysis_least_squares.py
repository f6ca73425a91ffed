"""Least squares on a pool: exact predictions with state-dependent noise beside the frozen-noise ones."""

import json

import numpy as np
import pytest

import fastsgd
import fastsgd.analysis.path
from fastsgd.analysis.predictions import prediction_text
from fastsgd.theory import least_squares, least_squares_stationary

SPEC = {
    "name": "linear",
    "seed": 12,
    "replicates": 4096,
    "problem": {
        "kind": "glm",
        "family": "linear",
        "ridge": 0.05,
        "data": {"generate": {"samples": 60, "dimension": 3, "seed": 4, "correlation": 0.5}},
    },
    "sampling": {"design": "without-replacement", "batch": 4},
    "step": {"size": 0.3},
    "start": {"kind": "point", "value": [1.0, -1.0, 0.5, 0.0]},
    "record": {"steps": [1, 3, 10, 40, 60]},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fastsgd.run(SPEC, tmp_path_factory.mktemp("linear") / "linear.h5")


def rows(report, quantity):
    return [row for row in report.rows if row.quantity == quantity]


def test_exact_is_consistent_and_frozen_noise_is_rejected(run):
    report = fastsgd.ratio(run)
    assert report.consistent
    assert max(abs(row.z) for row in report.rows if row.in_verdict) < 4.5
    frozen = rows(report, "risk (frozen noise)")
    assert [row.step for row in frozen] == SPEC["record"]["steps"]
    assert all(row.z > 8 and not row.in_verdict for row in frozen)
    assert all(row.empirical == exact.empirical for row, exact in zip(frozen, rows(report, "risk"), strict=True))
    assert all(row.in_verdict for row in rows(report, "risk") + rows(report, "mean"))
    # Before step 10 the mean is farther away than the replicates scatter: risks do not tell how the covariance does.
    assert [row.in_verdict for row in rows(report, "covariance")] == [False] * 2 + [True] * 3
    (correction,) = report.corrections
    assert correction["predicted"] > 0.1
    assert abs(correction["correction"] - correction["predicted"]) < 4.5 * correction["standard_error"]
    assert "frozen noise" in report.to_text()
    json.loads(report.to_json())


@pytest.mark.parametrize("assumption", ["step.size=0.309", "sampling.batch=5", "sampling.design=with-replacement"])
def test_an_altered_assumption_is_rejected(run, assumption):
    assert not fastsgd.ratio(run, [assumption]).consistent


def test_predict_has_both_plateaus(run):
    prediction = fastsgd.predict(run)
    problem = run.problem("main")
    pool = least_squares.pool(problem["pool_features"], problem["pool_targets"], ridge=0.05)
    f = (60 - 4) / 59 / 4
    exact = np.sum(problem["metric"] * least_squares_stationary.stationary(pool, 0.3, f))
    frozen = np.sum(problem["metric"] * least_squares.frozen(pool, 0.3, f))
    assert prediction["plateau_risk"] == pytest.approx(exact, rel=1e-11)
    assert prediction["plateau_risk_frozen_noise"] == pytest.approx(frozen, rel=1e-11)
    assert prediction["exact"] is True
    assert prediction["method"] == "exact, state-dependent noise"
    assert prediction["risk"][-1]["value"] > 1.1 * prediction["risk"][-1]["frozen_noise"]
    assert "state-dependent" in prediction_text(prediction)
    fresh = fastsgd.predict(SPEC)
    assert [r["value"] for r in fresh["risk"]] == pytest.approx([r["value"] for r in prediction["risk"]], rel=1e-12)


def test_a_step_unstable_in_mean_square_has_no_plateau(run):
    limit = fastsgd.predict(run)["largest_stable_step"]
    above = fastsgd.predict(run, [f"step.size={1.02 * limit}"])
    assert above["spectral_radius"] < 1  # the mean still settles
    assert above["stable"] is False
    assert above["plateau_risk"] is None
    assert above["plateau_risk_frozen_noise"] > 0


def test_too_much_work_falls_back_and_says_so(run, monkeypatch):
    monkeypatch.setattr(fastsgd.analysis.path, "LARGEST_WORK", 0.0)
    report = fastsgd.ratio(run)
    assert not report.consistent
    assert any("too much work" in note for note in report.notes)
    assert fastsgd.predict(run)["method"] == "frozen-noise"


def test_arms_of_different_step_are_compared_exactly(tmp_path):
    arms = {"full": {}, "half": {"step.size": 0.15}}
    run = fastsgd.run(SPEC | {"arms": arms, "replicates": 1024}, tmp_path / "arms.h5")
    report = fastsgd.ratio(run)
    assert report.consistent
    assert len(rows(report, "risk ratio full/half")) == 5
    assert not fastsgd.ratio(run, ["arms.half.step.size=0.16"]).consistent

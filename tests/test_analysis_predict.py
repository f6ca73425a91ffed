"""Predictions against an independent recursion and scipy; what `predict` says of arms, schedules and bad input."""

import json

import numpy as np
import pytest
from scipy import linalg

import fastsgd
import fastsgd.problems
from fastsgd.analysis.predictions import prediction_text
from fastsgd.errors import InputError, SpecError

SPEC = {
    "name": "small",
    "seed": 3,
    "replicates": 10,
    "problem": {
        "kind": "quadratic",
        "dimension": 4,
        "hessian": {"spectrum": "logspace", "low": 0.5, "high": 4.0, "basis": "random", "seed": 1},
        "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
    },
    "sampling": {"batch": 3},
    "step": {"size": 0.1},
    "start": {"kind": "point", "value": [1.0, -2.0, 0.5, 0.0]},
    "record": {"steps": [0, 1, 2, 7, 60, 4000]},
}
KEYS = {
    "temperature",
    "stable",
    "spectral_radius",
    "plateau_risk",
    "plateau_risk_leading",
    "risk",
    "mu_F",
    "condition_number",
    "effective_dimension",
}


def recursion(hessian, sigma, sizes, mean, covariance, steps):
    """Moments of (36) one step at a time: (mean, covariance) at each of `steps`."""
    found = {}
    for k in range(max(steps) + 1):
        if k in steps:
            found[k] = mean, covariance
        contraction = np.eye(len(hessian)) - sizes(k) * hessian
        mean = contraction @ mean
        covariance = contraction @ covariance @ contraction + sizes(k) ** 2 * sigma
    return [found[k] for k in steps]


def problem(spec):
    return fastsgd.problems.build(fastsgd.load_spec(spec))


def risks(prediction):
    return [entry["value"] for entry in prediction["risk"]]


def expected_risks(spec, sizes, covariance=None):
    built = problem(spec)
    value = np.asarray(spec["start"].get("value", np.zeros(4)))
    start = np.zeros((4, 4)) if covariance is None else covariance
    path = recursion(built.hessian, built.noise / 3, sizes, value, start, spec["record"]["steps"])
    return [float(np.trace(built.metric @ c) + m @ built.metric @ m) for m, c in path]


def test_transient_risk_from_a_point():
    prediction = fastsgd.predict(SPEC)
    assert prediction.keys() >= KEYS
    np.testing.assert_allclose(risks(prediction), expected_risks(SPEC, lambda k: 0.1), rtol=1e-11)
    assert [entry["step"] for entry in prediction["risk"]] == SPEC["record"]["steps"]
    assert prediction["exact"] is True


def test_transient_risk_from_a_gaussian_and_a_stationary_start():
    gaussian = SPEC | {"start": {"kind": "gaussian", "scale": 0.3}}
    expected = expected_risks(gaussian, lambda k: 0.1, 0.09 * np.eye(4))
    np.testing.assert_allclose(risks(fastsgd.predict(gaussian)), expected, rtol=1e-11)
    stationary = fastsgd.predict(SPEC | {"start": {"kind": "stationary"}})
    np.testing.assert_allclose(risks(stationary), stationary["plateau_risk"], rtol=1e-12)


def test_plateau_against_scipy():
    built, prediction = problem(SPEC), fastsgd.predict(SPEC)
    contraction = np.eye(4) - 0.1 * built.hessian
    discrete = linalg.solve_discrete_lyapunov(contraction, 0.01 * built.noise / 3)
    continuous = linalg.solve_continuous_lyapunov(built.hessian, 0.1 * built.noise / 3)
    assert prediction["plateau_risk"] == pytest.approx(np.trace(built.metric @ discrete), rel=1e-11)
    assert prediction["plateau_risk_leading"] == pytest.approx(np.trace(built.metric @ continuous), rel=1e-11)
    assert prediction["temperature"] == pytest.approx(0.1 / 3, rel=1e-15)
    assert prediction["largest_stable_step"] == pytest.approx(0.5, rel=1e-12)
    assert prediction["spectral_radius"] == pytest.approx(0.95, rel=1e-12)


def test_a_power_schedule_has_exact_steps_and_no_plateau():
    spec = SPEC | {"step": {"schedule": "power", "size": 2.0, "offset": 20.0, "exponent": 0.75}}
    prediction = fastsgd.predict(spec)
    expected = expected_risks(spec, lambda k: 2.0 / (k + 20) ** 0.75)
    np.testing.assert_allclose(risks(prediction), expected, rtol=1e-11)
    assert prediction["plateau_risk"] is prediction["plateau_risk_leading"] is prediction["temperature"] is None


def test_an_unstable_step_is_predicted_unstable():
    prediction = fastsgd.predict(SPEC, ["step.size=0.6"])
    assert prediction["stable"] is False
    assert prediction["plateau_risk"] is None
    json.dumps(prediction, allow_nan=False)
    assert prediction["risk"][-1]["value"] is None


def test_arms_and_the_trace_identity():
    arms = {"base": {}, "isotropic": {"problem.noise.kind": "isotropic"}, "large": {"sampling.batch": 6}}
    prediction = fastsgd.predict(SPEC | {"arms": arms})
    assert list(prediction["arms"]) == ["base", "isotropic", "large"]
    base, isotropic, large = prediction["arms"].values()
    assert {key: prediction[key] for key in base} == base
    assert isotropic["plateau_risk_leading"] == pytest.approx(base["plateau_risk_leading"], rel=1e-12)
    assert isotropic["plateau_risk"] != pytest.approx(base["plateau_risk"], rel=1e-6)
    assert large["plateau_risk"] == pytest.approx(base["plateau_risk"] / 2, rel=1e-12)
    text = prediction_text(prediction)
    assert "risk isotropic" in text
    assert "plateau risk, leading order" in text


def test_a_pool_is_frozen_noise_with_the_factor_of_the_design():
    spec = {
        "replicates": 10,
        "problem": {"kind": "glm", "family": "logistic", "data": {"generate": {"samples": 40, "dimension": 2}}},
        "sampling": {"batch": 10},
        "step": {"size": 0.2},
        "record": {"steps": [100]},
    }
    without, with_ = fastsgd.predict(spec), fastsgd.predict(spec, ["sampling.design=with-replacement"])
    assert (without["exact"], without["method"], without["pool_size"]) == (False, "frozen-noise", 40)
    assert without["plateau_risk"] / with_["plateau_risk"] == pytest.approx(30 / 39, rel=1e-12)


def test_problems_of_a_spec_come_all_at_once():
    bad = SPEC | {"step": {"size": -1.0}, "replicates": 0}
    with pytest.raises(SpecError) as caught:
        fastsgd.predict(bad)
    assert len(caught.value.lines) == 2
    pool = {"kind": "glm", "family": "linear", "data": {"generate": {"samples": 20, "dimension": 2}}}
    with pytest.raises(InputError, match="batch"):
        fastsgd.predict(SPEC | {"problem": pool, "sampling": {"batch": 21}, "start": {"kind": "point"}})


def test_a_missing_file_is_one_line(tmp_path):
    for name in ("no.toml", "no.h5"):
        with pytest.raises(InputError) as caught:
            fastsgd.predict(tmp_path / name)
        assert len(caught.value.lines) == 1

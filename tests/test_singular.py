"""Directions without variance to first order: left out of the tests of a nonlinear run, and nothing else is."""

import numpy as np
import pytest
from front_standin import arm_spec, stored

import fastsgd
from fastsgd.analysis import singular
from fastsgd.analysis.model import from_run
from fastsgd.analysis.prediction import Prediction

ETA, STEPS, REPLICATES, PARTS, PILOT = 0.02, np.array([100, 200]), 2000, 32, 2**20


def run(coupled, own, small, pilot=PILOT, assumed=(1.0, 1.0)):
    """Delta' = Delta - eta g, g = (x + a x w + z, y + c x w' + s z') with standard normal z, z', w, w'; a = own, c = coupled.

    G = diag(1, s^2) times `assumed`, H = I and its parts as a pilot of so many samples gives them.
    """
    rng = np.random.default_rng(11)
    delta, path = np.zeros((REPLICATES, 2)), []
    for k in range(int(STEPS[-1]) + 1):
        if k in STEPS:
            path.append(delta)
        z, w = rng.standard_normal((2, REPLICATES, 2))
        x = delta[:, 0]
        noise = np.column_stack([own * x * w[:, 0] + z[:, 0], coupled * x * w[:, 1] + small * z[:, 1]])
        delta = delta - ETA * (delta + noise)
    found = stored(
        {"only": arm_spec(kind="glm", batch=1, size=ETA)}, np.eye(2), {"only": np.diag([1.0, small**2]) * assumed}, np.eye(2),
        STEPS, {"only": np.stack(path, 1)},
    )  # fmt: skip
    found.problems["only"]["hessian_parts"] = parts(rng, coupled, own, pilot)
    return found


def parts(rng, coupled, own, pilot):
    """Means of the derivatives of g over the parts of a pilot, symmetrised."""
    w = rng.standard_normal((PARTS, 2)) * np.sqrt(PARTS / pilot)
    found = np.tile(np.eye(2), (PARTS, 1, 1))
    found[:, 0, 0] += own * w[:, 0]
    found[:, 0, 1] += 0.5 * coupled * w[:, 1]
    found[:, 1, 0] += 0.5 * coupled * w[:, 1]
    return found


def left_out(report):
    return [note for note in report.notes if "not tested in covariances and means" in note]


@pytest.mark.parametrize("small", [0.0, 1e-17, 1e-6])
def test_a_direction_without_noise_is_left_out(small):
    report = fastsgd.ratio(run(0.2, 0.0, small))
    assert report.consistent, report.to_text(full=True)
    (note,) = left_out(report)
    assert "1 of 2 directions" in note and "first-order" in note and "pilot" in note
    assert {row.quantity for row in report.rows if row.in_verdict} >= {"covariance", "mean", "risk"}


@pytest.mark.parametrize("small", [1e-17, 1e-6])
def test_it_was_inconsistent_without(small, monkeypatch):
    monkeypatch.setattr(singular, "whitener", lambda prediction, index: None)
    rows = [r for r in fastsgd.ratio(run(0.2, 0.0, small)).rows if r.quantity == "covariance"]
    assert all(row.ratio > 1e4 and row.z > 20 for row in rows)


def test_a_wrong_prediction_of_the_other_direction_is_inconsistent():
    report = fastsgd.ratio(run(0.2, 0.0, 0.0, assumed=(1.25, 1.0)))
    assert report.inconsistent and left_out(report)
    assert any(report.rejected(row) for row in report.rows if row.quantity == "covariance")


def test_a_small_variance_is_tested():
    """1e-6 of the largest, with a floor of the pilot of some 2e-7."""
    report = fastsgd.ratio(run(0.0, 0.05, 1e-3))
    assert report.consistent and not left_out(report), report.to_text(full=True)
    wrong = fastsgd.ratio(run(0.0, 0.05, 1e-3, assumed=(1.0, 1.25)))
    assert wrong.inconsistent and not left_out(wrong)
    rough = fastsgd.ratio(run(0.0, 0.05, 1e-3, pilot=2**14))
    assert rough.consistent and left_out(rough)


def test_a_pilot_makes_less_variance_by_chance_than_the_floor():
    """Pilots of the problem with c = 0.2, s = 0: theta* off by e makes a noise (0.2 e)^2, and H is off as its parts are."""
    rng, pilot, pilots = np.random.default_rng(3), 2**14, 300
    shares, base = [], run(0.2, 0.0, 0.0)
    for _ in range(pilots):
        e = rng.standard_normal() / np.sqrt(pilot)
        found = parts(rng, 0.2, 0.0, pilot)
        base.problems["only"] |= {
            "hessian_parts": found, "hessian": found.mean(0), "noise": np.diag([1.0, (0.2 * e) ** 2]),
            "optimum_error": np.array([1.0, 0.0]) / np.sqrt(pilot),
        }  # fmt: skip
        prediction = Prediction.of(from_run(base)[0], STEPS)
        covariance, floor = prediction.path.covariance[-1], prediction.floors[-1]
        shares.append(np.min(np.linalg.eigvalsh(covariance / np.sqrt(np.outer(floor, floor)))))
        assert prediction.whitener(1).shape[1] == 1
    # The law of e alone is a chi-square of one degree, 15.1 at the level of the floor and 0.45 in the median.
    assert max(shares) < 1.0
    assert 0.45 / 15.1 / 4 < np.median(shares) < 0.45 / 15.1, np.median(shares)


OJA = """
from numba import njit

@njit
def oja(theta, sample, out):
    s = 2.0 * sample.normals[0] * theta[0] + sample.normals[1] * theta[1] + 0.5 * sample.normals[2] * theta[2]
    out[0] = -s * (2.0 * sample.normals[0] - s * theta[0])
    out[1] = -s * (sample.normals[1] - s * theta[1])
    out[2] = -s * (0.5 * sample.normals[2] - s * theta[2])
"""


@pytest.mark.slow
def test_principal_components_of_a_stream(tmp_path, monkeypatch):
    """Along the optimum there is no noise. Single steps, the limit of step size 0 and time averages."""
    (tmp_path / "code.py").write_text(OJA)
    spec = {
        "name": "oja", "seed": 3, "replicates": 256, "sampling": {"batch": 1}, "step": {"size": 0.004},
        "problem": {
            "kind": f"{tmp_path / 'code.py'}:oja", "dimension": 3, "normals": 3, "pilot": 2**18, "metric": "identity",
            "guess": [0.9, 0.1, 0.1],
        },
        "record": {"steps": [1000, 2000], "average": {"burn_in": 1000}},
    }  # fmt: skip
    single = fastsgd.run(spec, tmp_path / "single.h5")
    arms = {"arms": {"whole": {}, "half": {"step.size": 0.002}}, "record": {"steps": [1000, 2000]}}
    limit = fastsgd.run(spec | arms, tmp_path / "arms.h5")
    report = fastsgd.ratio(single)
    assert report.consistent, report.to_text(full=True)
    assert len(left_out(report)) == 1
    tested = {row.quantity for row in report.rows if row.in_verdict}
    assert tested >= {"covariance", "mean", "time-averaged covariance", "time-averaged second moment 1,1"}
    assert "time-averaged second moment 0,0" not in tested
    extrapolated = fastsgd.ratio(limit)
    assert extrapolated.consistent and len(left_out(extrapolated)) == 2, extrapolated.to_text(full=True)
    assert fastsgd.ratio(single, ["sampling.batch=2"]).inconsistent
    monkeypatch.setattr(singular, "whitener", lambda prediction, index: None)
    assert all(r.z > 10 for r in fastsgd.ratio(single).rows if r.quantity == "covariance")

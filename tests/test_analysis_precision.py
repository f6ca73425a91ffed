"""Predicted risks of ill-conditioned dense problems against fifty-digit arithmetic."""

import mpmath
import numpy as np
import pytest

import fastsgd
from fastsgd.analysis.model import from_spec
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.predictions import predict

D, STEPS = 5, [0, 1, 7, 300, 100_000]


def exact(hessian, sigma, metric, eta, start, stationary=False):
    """(risk and its variance at STEPS, plateau) with H, Sigma, F taken as the exact doubles."""
    with mpmath.workdps(50):
        values, V = mpmath.eigsy(mpmath.matrix(hessian.tolist()))
        S, F = (V.T * mpmath.matrix(M.tolist()) * V for M in (sigma, metric))
        m = V.T * mpmath.matrix(start.tolist())
        a = [1 - mpmath.mpf(eta) * v for v in values]
        stat = mpmath.matrix(D, D)
        for i in range(D):
            for j in range(D):
                stat[i, j] = mpmath.mpf(eta) ** 2 * S[i, j] / (1 - a[i] * a[j])
        risks, variances = [], []
        for k in STEPS:
            mean = mpmath.matrix([a[i] ** k * m[i] for i in range(D)])
            C = mpmath.matrix(D, D)
            for i in range(D):
                for j in range(D):
                    C[i, j] = stat[i, j] * (1 if stationary else 1 - (a[i] * a[j]) ** k)
            FC, Fm = F * C, F * mean
            risks.append(float(sum(FC[i, i] for i in range(D)) + (mean.T * Fm)[0]))
            square = FC * FC
            variances.append(float(2 * sum(square[i, i] for i in range(D)) + 4 * (Fm.T * C * Fm)[0]))
        plateau = float(sum((F * stat)[i, i] for i in range(D)))
    return np.array(risks), np.array(variances), plateau


@pytest.fixture(scope="module", params=[1e3, 1e8, 1e10])
def matrices(request, tmp_path_factory):
    rng = np.random.default_rng(8)
    Q = np.linalg.qr(rng.standard_normal((D, D)))[0]
    hessian = (Q * np.logspace(-np.log10(request.param), 0, D)) @ Q.T
    factor = rng.standard_normal((D, D))
    folder = tmp_path_factory.mktemp("matrices")
    matrices = {"H": (hessian + hessian.T) / 2, "G": factor @ factor.T}
    for name, matrix in matrices.items():
        np.save(folder / f"{name}.npy", matrix)
    return folder, matrices["H"], matrices["G"]


@pytest.mark.parametrize("metric", ["hessian", "identity", "noise"])
@pytest.mark.parametrize("kind", ["point", "stationary"])
def test_risks_to_ten_digits(matrices, metric, kind):
    folder, hessian, noise = matrices
    start = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    spec = {
        "replicates": 10,
        "problem": {
            "kind": "quadratic",
            "hessian": {"file": str(folder / "H.npy")},
            "noise": {"file": str(folder / "G.npy")},
            "metric": metric,
        },
        "sampling": {"batch": 4},
        "step": {"size": 0.75},
        "start": {"kind": "point", "value": start.tolist()} if kind == "point" else {"kind": "stationary"},
        "record": {"steps": STEPS},
    }
    F = {"hessian": hessian, "identity": np.eye(D), "noise": noise}[metric]
    at = start if kind == "point" else np.zeros(D)
    risks, variances, plateau = exact(hessian, noise / 4, F, 0.75, at, kind == "stationary")
    found = predict(fastsgd.load_spec(spec))
    assert [r["value"] for r in found["risk"]] == pytest.approx(risks, rel=1e-11)
    assert [r["standard_deviation"] for r in found["risk"]] == pytest.approx(np.sqrt(variances), rel=1e-10)
    assert found["plateau_risk"] == pytest.approx(plateau, rel=1e-11)
    model, steps = from_spec(fastsgd.load_spec(spec))[0], np.array(STEPS[2:])
    prediction = Prediction.of(model, steps)
    for s in range(len(steps)):
        law = prediction.risk_distribution(s)
        assert law.unit == pytest.approx(risks[s + 2], rel=1e-10)
        assert law.deviation == pytest.approx(np.sqrt(variances[s + 2]), rel=1e-9)

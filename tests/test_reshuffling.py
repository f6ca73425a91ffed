"""Epoch reshuffling: exact for additive noise, against all permutations and against runs; untested where there is no law."""

import itertools

import numpy as np
import pytest

import fastsgd
from fastsgd.theory import lyapunov, reshuffling


def small(n: int, d: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    root = rng.normal(size=(d, d))
    g = rng.normal(size=(n, d))
    g -= g.mean(0)
    return root @ root.T / d + 0.1 * np.eye(d), g, g.T @ g / n


@pytest.mark.parametrize(("n", "b"), [(6, 2), (7, 2), (5, 1), (5, 3)])
@pytest.mark.parametrize("varying", [False, True])
def test_equal_to_the_mean_over_all_permutations(n: int, b: int, varying: bool) -> None:
    """Every step of two epochs, n mod b samples left out; sampling without replacement at every step is another law."""
    H, g, S = small(n)
    K = n // b
    etas = 0.3 / (1.0 + np.arange(2 * K)) if varying else 0.3
    sizes = np.broadcast_to(etas, 2 * K)
    mean, cov = np.array([1.0, -2.0]), np.array([[0.5, 0.1], [0.1, 0.2]])
    got = reshuffling.moments(H, S, etas, np.arange(2 * K + 1), mean, cov, b, n)
    assert np.array_equal(got[0][0], mean) or np.allclose(got[0][0], mean, rtol=1e-14)
    orders = np.array(list(itertools.permutations(range(n))))
    for epoch in range(2):
        noise = np.zeros((len(orders), 2))
        for t in range(1, K + 1):
            eta = sizes[epoch * K + t - 1]
            A = np.eye(2) - eta * H
            noise = noise @ A.T - eta * g[orders[:, (t - 1) * b : t * b]].mean(axis=1)
            mean, cov = A @ mean, A @ cov @ A.T
            exact = cov + noise.T @ noise / len(orders)
            assert np.allclose(got[1][epoch * K + t], exact, rtol=1e-12, atol=1e-15)
            assert np.allclose(got[0][epoch * K + t], mean, rtol=1e-12)
        cov = exact


def test_stationary_is_the_limit_and_far_below_independent_draws() -> None:
    H, _, S = small(40)
    for eta in (1e-5, 0.01, 0.5):
        at = reshuffling.stationary(H, S, eta, 4, 40)
        _, again = reshuffling.moments(H, S, eta, [10, 100], np.zeros(2), at, 4, 40)
        assert np.allclose(again, at, rtol=1e-9)
    eta = 1e-5
    at = reshuffling.stationary(H, S, eta, 4, 40)
    K = 10
    drift = eta * K * (H @ at + at @ H)
    assert np.allclose(drift, eta**4 * K**3 / 12 / 4 * (40 / 39) * H @ S @ H * (1 - 1 / K**2), rtol=1e-3)
    independent = lyapunov.discrete_stationary(H, (36 / 39) / 4 * S, eta)
    assert np.trace(at) < 1e-6 * np.trace(independent)
    with pytest.raises(ValueError, match="eta must be between"):
        reshuffling.stationary(H, S, 100.0, 4, 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("reshuffle")
    rng = np.random.default_rng(3)
    x = np.where(rng.random(50) < 0.5, -1.0, 1.0)
    np.savez(place / "two.npz", x=x, y=0.4 * x + rng.normal(size=50))
    np.savez(place / "free.npz", x=rng.normal(size=(50, 2)), y=rng.normal(size=50))
    return place


def spec(folder, data: str, **keys: object) -> dict:
    source = {"file": str(folder / data), "target": "y", "standardize": False, "intercept": False}
    return {
        "name": "reshuffle", "seed": 5, "replicates": 3000, "problem": {"kind": "glm", "family": "linear", "data": source},
        "sampling": {"design": "reshuffle", "batch": 8}, "step": {"size": 0.1}, "start": {"value": 0.5},
        "record": {"steps": [1, 3, 6, 15, 60, 63]},
    } | keys  # fmt: skip


@pytest.mark.slow
def test_a_run_with_additive_noise_is_predicted_exactly(folder, tmp_path) -> None:
    """x = -1 or 1: x x' = 1. n = 50, b = 8: epochs of six steps, two samples left out. Other designs are rejected."""
    run = fastsgd.run(spec(folder, "two.npz"), tmp_path / "run.h5")
    report = fastsgd.ratio(run)
    assert report.verdict == "consistent"
    assert all(row.in_verdict for row in report.rows if row.quantity == "risk")
    for wrong in ("sampling.design=without-replacement", "sampling.batch=9", "step.size=0.12"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong
    assert fastsgd.predict(run)["method"] == "exact, at the ends of epochs"


@pytest.mark.slow
def test_elsewhere_it_is_shown_and_not_tested(folder, tmp_path) -> None:
    run = fastsgd.run(spec(folder, "free.npz"), tmp_path / "run.h5")
    report = fastsgd.ratio(run)
    assert report.verdict == "untested" and report.tests == 0 and not report.consistent and not report.inconsistent
    assert report.rows and any("no closed form" in note for note in report.notes)
    assert "untested" in report.to_text()


@pytest.mark.slow
def test_a_run_cut_in_two_has_the_same_bits(folder, tmp_path) -> None:
    whole = fastsgd.run(spec(folder, "free.npz", replicates=130), tmp_path / "whole.h5")
    parts = [
        fastsgd.run(spec(folder, "free.npz", replicates=130), tmp_path / f"part{i}.h5", shard=f"{i}/2") for i in (1, 2)
    ]
    merged = fastsgd.merge([part.path for part in parts], tmp_path / "merged.h5")
    assert np.array_equal(merged.risk(), whole.risk())

"""Stationary covariances: 60-digit references at the extremes, closed forms, residuals, scipy where it is accurate."""

import numpy as np
import pytest
import scipy.linalg
from reference_theory import random_covariance, random_hessian, relative, stationary_diagonal

from fastsgd.theory import lyapunov


@pytest.mark.parametrize("top", [1e-10, 1e-6, 1e-3, 0.1, 0.9999999, 1.0, 1.3, 1.999, 2 - 1e-6])
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e10])
def test_diagonal_to_twelve_digits(top, condition):
    rng = np.random.default_rng(1)
    eigenvalues = 3.7 * np.logspace(-np.log10(condition), 0, 7)
    Sigma = random_covariance(rng, 7)
    eta = top / eigenvalues[-1]
    got = lyapunov.discrete_stationary(np.diag(eigenvalues), Sigma, eta)
    assert relative(got, stationary_diagonal(eigenvalues, Sigma, eta)) < 1e-12


def test_naive_formula_fails_the_same_check():
    # Negative control: the textbook denominator loses digits at the edge of stability.
    lam, eta = np.array([3.7]), (2 - 1e-6) / 3.7
    naive = eta / (lam + lam - eta * lam * lam)
    assert relative(naive, stationary_diagonal(lam, np.ones((1, 1)), eta)[0]) > 1e-12


def test_closed_form_in_one_dimension():
    S = lyapunov.discrete_stationary([[4.0]], [[3.0]], 0.25)
    assert S.item() == pytest.approx(0.25 * 3 / (8 - 0.25 * 16), rel=1e-15)
    C = lyapunov.continuous_stationary([[4.0]], [[3.0]], 0.25)
    assert C.item() == pytest.approx(0.25 * 3 / 8, rel=1e-15)


@pytest.mark.parametrize("d", [2, 5, 40])
@pytest.mark.parametrize("eta", [1e-4, 0.05, 0.19])
def test_residual_and_scipy_for_dense(d, eta):
    rng = np.random.default_rng(d)
    H = random_hessian(rng, np.linspace(0.5, 10, d))
    Sigma = random_covariance(rng, d, rank=max(1, d // 2))
    S = lyapunov.discrete_stationary(H, Sigma, eta)
    A = np.eye(d) - eta * H
    assert np.array_equal(S, S.T)
    assert np.linalg.norm(S - A @ S @ A - eta**2 * Sigma) < 1e-13 * np.linalg.norm(S)
    by_scipy = scipy.linalg.solve_discrete_lyapunov(A, eta**2 * Sigma)
    assert np.linalg.norm(S - by_scipy) < 1e-9 * np.linalg.norm(S)
    C = lyapunov.continuous_stationary(H, Sigma, eta)
    assert np.linalg.norm(H @ C + C @ H - eta * Sigma) < 1e-12 * np.linalg.norm(eta * Sigma) * 20
    assert np.linalg.norm(C - scipy.linalg.solve_continuous_lyapunov(H, eta * Sigma)) < 1e-11 * np.linalg.norm(C)
    assert np.trace(H @ C) == pytest.approx(eta * np.trace(Sigma) / 2, rel=1e-12)  # (35)


def test_stability_edge():
    H = np.diag([1.0, 5.0])
    assert lyapunov.largest_stable_step(H) == 0.4
    assert lyapunov.spectral_radius(H, 0.3) == pytest.approx(0.7, rel=1e-15)
    assert lyapunov.spectral_radius(H, 0.39) == pytest.approx(0.95, rel=1e-14)
    for eta in (0.4, 0.5):
        with pytest.raises(ValueError, match=r"eta must be < 2/lambda_max\(H\) = 0.4, got"):
            lyapunov.discrete_stationary(H, np.eye(2), eta)


@pytest.mark.parametrize(
    ("H", "Sigma", "eta", "message"),
    [
        ([[1.0, 2.0], [0.0, 1.0]], np.eye(2), 0.1, "H must be symmetric"),
        (np.ones((2, 3)), np.eye(2), 0.1, "H must be square"),
        ([[np.nan]], [[1.0]], 0.1, "H must be finite"),
        ([[0.0]], [[1.0]], 0.1, "H must be positive definite"),
        ([[1.0]], np.eye(2), 0.1, r"Sigma must have shape \(1, 1\), got \(2, 2\)"),
        ([[1.0]], [[-1.0]], 0.1, "Sigma must be a covariance"),
        ([[1.0]], [[1.0]], 0.0, "eta must be > 0, got 0.0"),
        ([[1.0]], [[1.0]], float("inf"), "eta must be finite"),
        ([["a"]], [[1.0]], 0.1, "H must be an array of real numbers"),
    ],
)
def test_bad_arguments_are_named(H, Sigma, eta, message):
    with pytest.raises(ValueError, match=message):
        lyapunov.discrete_stationary(H, Sigma, eta)

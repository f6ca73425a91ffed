"""Exact moments at every step against 60 digits and brute force; variance of the risk and of its averages."""

import time

import numpy as np
import pytest
from reference_theory import moments_diagonal, random_covariance, random_hessian, recursion, relative

from fastsgd.schedules import Schedule
from fastsgd.theory import lyapunov, transient


@pytest.mark.parametrize("top", [1e-10, 1e-3, 0.3, 0.9999999, 1.0, 1.7, 2 - 1e-6])
@pytest.mark.parametrize("k", [0, 1, 2, 3, 17, 1000, 10**7 + 1])
def test_constant_step_to_twelve_digits(top, k):
    rng = np.random.default_rng(3)
    eigenvalues = np.concatenate([[0.0], 2.3 * np.logspace(-10, 0, 5)])
    Sigma, cov0, mean0 = random_covariance(rng, 6), random_covariance(rng, 6), rng.standard_normal(6)
    cov0 = np.abs(cov0) * np.sign(Sigma)  # same signs: no cancellation that no formula can avoid
    eta = top / eigenvalues[-1]
    mean, cov = moments_diagonal(eigenvalues, Sigma, eta, k, mean0, cov0)
    means, covs = transient.moments(np.diag(eigenvalues), Sigma, eta, [k], mean0, cov0)
    live = np.abs(mean) > 1e-200
    assert relative(means[0][live], mean[live]) < 1e-12
    diagonal = np.diagonal
    assert relative(diagonal(covs[0]), diagonal(cov)) < 1e-12
    scale = np.sqrt(np.outer(diagonal(cov), diagonal(cov)))
    assert np.max(np.abs(covs[0] - cov) / scale) < 1e-12


@pytest.mark.parametrize("schedule", [0.13, "array", "power", "far"])
def test_brute_force_recursion(schedule):
    rng = np.random.default_rng(4)
    H = random_hessian(rng, [0.0, 0.5, 2.0, 9.0])
    Sigma, cov0, mean0 = random_covariance(rng, 4, 2), random_covariance(rng, 4), rng.standard_normal(4)
    steps = [0, 1, 2, 5, 900, 1500, 2500]
    etas = {
        0.13: 0.13,
        "array": 0.2 * rng.random(2500),
        "power": Schedule(schedule="power", size=0.5, offset=2.0, exponent=0.7),
        "far": Schedule(schedule="power", size=0.6, offset=1.0, exponent=1.0),  # eta lambda up to 5.4: growth, signs
    }[schedule]
    sizes = np.full(2501, 0.13) if schedule == 0.13 else etas(np.arange(2501)) if callable(etas) else np.append(etas, 1)
    means, covs = transient.moments(H, Sigma, etas, steps, mean0, cov0)
    want_means, want_covs = recursion(H, Sigma, sizes.__getitem__, steps, mean0, cov0)
    for s in range(len(steps)):
        assert np.linalg.norm(covs[s] - want_covs[s]) < 1e-10 * np.linalg.norm(want_covs[s])
        assert np.linalg.norm(means[s] - want_means[s]) < 1e-10 * np.linalg.norm(mean0)


def test_varying_path_agrees_with_closed_form_for_a_constant_step():
    rng = np.random.default_rng(5)
    H, Sigma = np.diag(np.logspace(-10, 0, 6)), random_covariance(rng, 6)
    for eta in (1e-10, 0.3, 1.9, 2 - 1e-6):
        a = transient.moments(H, Sigma, eta, [10, 5000], np.ones(6), Sigma)
        b = transient.moments(H, Sigma, lambda k, eta=eta: np.full(k.shape, eta), [10, 5000], np.ones(6), Sigma)
        assert relative(b[0], a[0]) < 1e-12
        assert relative(np.einsum("sii->si", b[1]), np.einsum("sii->si", a[1])) < 1e-12


def test_stationary_start_stays_and_far_start_forgets():
    rng = np.random.default_rng(6)
    H, Sigma = random_hessian(rng, [1.0, 3.0, 8.0]), random_covariance(rng, 3)
    S = lyapunov.discrete_stationary(H, Sigma, 0.1)
    covs = transient.moments(H, Sigma, 0.1, [1, 50, 2**48], np.zeros(3), S)[1]
    assert all(np.linalg.norm(C - S) < 1e-13 * np.linalg.norm(S) for C in covs)
    means, covs = transient.moments(H, Sigma, 0.1, [10**6], 1e6 * np.ones(3), 1e6 * np.eye(3))
    assert np.linalg.norm(covs[0] - S) < 1e-13 * np.linalg.norm(S) and np.all(means == 0)


def test_unstable_recursion_grows_to_infinity_without_nan():
    means, covs = transient.moments(np.diag([1.0, 3.0]), np.eye(2), 1.0, [1, 3, 5000], np.ones(2), np.eye(2))
    assert means[1] == pytest.approx([0.0, -8.0])
    assert np.all(np.isinf(covs[2])) and np.all(np.isinf(means[2]))
    assert transient.risk(np.eye(2), means, covs)[2] == np.inf
    assert transient.risk_variance(np.eye(2), means, covs)[2] == np.inf


def test_a_hundred_thousand_decaying_steps_are_quick():
    rng = np.random.default_rng(7)
    H, Sigma = np.diag(np.logspace(0, 2, 50)), random_covariance(rng, 50)
    schedule = Schedule(schedule="power", size=1.0, offset=100.0, exponent=1.0)
    begin = time.process_time()
    transient.moments(H, Sigma, schedule, [1000, 100_000], np.ones(50), np.zeros((50, 50)))
    assert time.process_time() - begin < 5.0  # about 0.3 s on a quiet core


def simulate(rng, H, Sigma, etas, steps, mean0, cov0, replicates):
    d = len(mean0)
    root, start = np.linalg.cholesky(Sigma + 1e-300 * np.eye(d)), np.linalg.cholesky(cov0)
    x = mean0 + rng.standard_normal((replicates, d)) @ start.T
    kept = []
    for k in range(max(steps) + 1):
        if k in steps:
            kept.append(x.copy())
        x = x - etas[k] * (x @ H) + etas[k] * rng.standard_normal((replicates, d)) @ root.T
    return np.array(kept)


def test_risk_moments_by_monte_carlo_with_negative_control():
    rng = np.random.default_rng(8)
    H, Sigma = random_hessian(rng, [0.5, 1.0, 2.5]), random_covariance(rng, 3)
    F, mean0, cov0 = random_covariance(rng, 3), np.array([1.0, -0.5, 0.3]), 0.2 * np.eye(3)
    steps, etas, R = [0, 3, 10, 11], 0.6 / (1 + 0.1 * np.arange(12)), 40_000
    x = simulate(rng, H, Sigma, etas, steps, mean0, cov0, R)
    r = np.einsum("sri,ij,srj->rs", x, F, x)
    means, covs = transient.moments(H, Sigma, etas, steps, mean0, cov0)
    V = transient.risk_covariance(F, H, etas, steps, means, covs)
    assert np.diagonal(V) == pytest.approx(transient.risk_variance(F, means, covs), rel=1e-12)
    z = (r.mean(0) - transient.risk(F, means, covs)) / np.sqrt(np.diagonal(V) / R)
    assert np.max(np.abs(z)) < 4.5
    products = (r - transient.risk(F, means, covs))[:, :, None] * (r - transient.risk(F, means, covs))[:, None, :]
    z = (products.mean(0) - V) / (products.std(0) / np.sqrt(R))
    assert np.max(np.abs(z)) < 4.5
    # control: forgetting the mean's part, or a step 5 % longer, is seen
    no_mean = transient.risk_covariance(F, H, etas, steps, 0 * means, covs)
    assert np.max(np.abs((products.mean(0) - no_mean) / (products.std(0) / np.sqrt(R)))) > 6
    wrong = transient.risk(F, *transient.moments(H, Sigma, 1.05 * etas, steps, mean0, cov0))
    assert np.max(np.abs((r.mean(0) - wrong)[1:] / np.sqrt(np.diagonal(V)[1:] / R))) > 6


def test_path_covariance_is_the_covariance_of_the_stacked_recursion():
    rng = np.random.default_rng(9)
    H, Sigma = random_hessian(rng, [0.5, 1.0, 2.5]), random_covariance(rng, 3)
    etas, steps = 0.5 / (1 + np.arange(7)), [0, 2, 3, 7]
    _, covs = transient.moments(H, Sigma, etas, steps, np.zeros(3), np.eye(3))
    got = transient.path_covariance(H, etas, steps, covs)
    for s in steps:
        P = np.eye(3)
        for k in range(s, 7):
            if k in steps:
                i, j = steps.index(s), steps.index(k)
                assert got[i, j] == pytest.approx(covs[i] @ P.T, abs=1e-14)
                assert got[j, i] == pytest.approx((covs[i] @ P.T).T, abs=1e-14)
            P = (np.eye(3) - etas[k] * H) @ P


@pytest.mark.parametrize("eta", [1e-4, 0.2, 0.79])
@pytest.mark.parametrize(("count", "stride"), [(1, 1), (2, 3), (40, 1), (13, 7)])
def test_time_average_is_the_average_of_the_risk_covariance(eta, count, stride):
    rng = np.random.default_rng(10)
    H, Sigma = random_hessian(rng, [0.3, 1.0, 2.5]), random_covariance(rng, 3)
    F = rng.standard_normal((3, 3))
    F = F + F.T
    S = lyapunov.discrete_stationary(H, Sigma, eta)
    steps = stride * np.arange(count)
    V = transient.risk_covariance(F, H, eta, steps, np.zeros((count, 3)), np.array([S] * count))
    assert transient.time_average_variance(F, H, Sigma, eta, count, stride) == pytest.approx(V.mean(), rel=1e-11)


@pytest.mark.parametrize("eta", [1e-4, 0.4, 0.79])
@pytest.mark.parametrize(("count", "stride"), [(1, 1), (30, 1), (13, 7)])
def test_time_average_covariance_is_the_average_of_the_path_covariance(eta, count, stride):
    rng = np.random.default_rng(11)
    H, Sigma = random_hessian(rng, [0.3, 1.0, 2.5]), random_covariance(rng, 3)
    S = lyapunov.discrete_stationary(H, Sigma, eta)
    V = transient.path_covariance(H, eta, stride * np.arange(count), np.array([S] * count))
    got = transient.time_average_covariance(H, Sigma, eta, count, stride)
    assert got == pytest.approx(V.mean(axis=(0, 1)), rel=1e-10)
    long_run = 10**7 * transient.time_average_covariance(H, Sigma, 0.4, 10**7)
    assert long_run == pytest.approx(np.linalg.inv(H) @ Sigma @ np.linalg.inv(H), rel=1e-4)


def test_malformed_schedules_and_steps():
    def call(etas, steps):
        return transient.moments(np.eye(1), np.eye(1), etas, steps, np.zeros(1), np.zeros((1, 1)))

    for etas, steps, message in [
        (0.1, [3, 2], "strictly increasing"),
        (0.1, [-1], "steps must be >= 0"),
        (0.1, [], "non-empty"),
        (0.1, [0.5], "steps must be integers"),
        (-0.1, [1], "eta must be > 0"),
        ([0.1, 0.2], [3], "etas must hold a step size for each of the 3 steps"),
        ([0.1, -0.2], [2], "etas must be finite and > 0"),
        (lambda k: 0.1, [2], "must return one step size"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(etas, steps)


def test_a_risk_that_nearly_overflows():
    """Steps on the way to overflow: no warning (an error here), and no nan where 30 digits need more room."""
    metric, size = np.array([[2.0, -1.0], [-1.0, 1.0]]), 10.0 ** np.arange(140, 308, 6)
    covariance = np.array([[1.0, 1.4], [1.4, 2.0]]) * size[:, None, None]
    found = transient.risk(metric, np.zeros((len(size), 2)), covariance)
    np.testing.assert_allclose(found / size, 1.2, rtol=1e-14)
    flat = np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([[1.0, -0.9999], [-0.9999, 1.0]])
    found = transient.risk(flat[0], np.zeros((len(size), 2)), flat[1] * size[:, None, None])
    np.testing.assert_allclose(found / size, 2e-4, rtol=1e-10)

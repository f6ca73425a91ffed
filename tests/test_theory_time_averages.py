"""Time averages: against sums over recorded steps, against the stationary closed forms, and against simulation."""

import numpy as np
import pytest

from fastsgd.theory import lyapunov, transient
from fastsgd.theory.time_averages import Sampling, averages

RNG = np.random.default_rng(4)
ROOT = RNG.standard_normal((3, 3))
H = ROOT @ ROOT.T + 0.3 * np.eye(3)
SIGMA = np.diag([1.0, 2.0, 0.5]) + 0.2
F = np.stack([H, np.eye(3), np.diag([0.0, 1.0, 0.0]), [[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]])
START = (np.array([3.0, -1.0, 2.0]), 0.5 * np.eye(3))
STATIONARY = (np.zeros(3), lyapunov.discrete_stationary(H, SIGMA, 0.05))


def direct(etas, sampling, mean0, cov0):
    """The same by sums over all pairs of samples."""
    steps = sampling.burn_in + sampling.thin * np.arange(1, sampling.count + 1)
    means, covs = transient.moments(H, SIGMA, etas, steps, mean0, cov0)
    second = covs + means[:, :, None] * means[:, None, :]
    pairs = transient.path_covariance(H, etas, steps, covs)
    variance = [transient.risk_covariance(f, H, etas, steps, means, covs).mean() for f in F]
    return means.mean(axis=0), pairs.mean(axis=(0, 1)), second.mean(axis=0), variance


@pytest.mark.parametrize(
    ("etas", "sampling", "start"),
    [
        (0.05, Sampling(0, 1, 60), START),
        (0.05, Sampling(7, 4, 300), START),
        (0.05, Sampling(500, 3, 50), START),
        (0.05, Sampling(0, 1, 80), STATIONARY),
        (lambda k: 0.3 / (k + 5.0), Sampling(3, 2, 40), START),
        (0.25, Sampling(0, 1, 40), START),  # 1 - eta lambda < 0 in one direction
    ],
)
def test_averages_equal_sums_over_pairs_of_samples(etas, sampling, start):
    found = averages(H, SIGMA, etas, sampling, *start, F)
    mean, covariance, second, variance = direct(etas, sampling, *start)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-7, atol=1e-12 + 2e-5 * np.sqrt(second.max()))
    np.testing.assert_allclose(found.mean_covariance, covariance, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.second, second, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found.value, np.einsum("nij,ij->n", F, second), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-6)


def test_a_stationary_run_gives_the_closed_forms():
    sampling = Sampling(0, 5, 100_000)
    found = averages(H, SIGMA, 0.05, sampling, *STATIONARY, F)
    expected = [transient.time_average_variance(f, H, SIGMA, 0.05, 100_000, 5) for f in F]
    np.testing.assert_allclose(found.variance, expected, rtol=1e-9)
    np.testing.assert_allclose(found.second, STATIONARY[1], rtol=1e-10, atol=1e-14)
    covariance = transient.time_average_covariance(H, SIGMA, 0.05, 100_000, 5)
    np.testing.assert_allclose(found.mean_covariance, covariance, rtol=1e-9)


def test_skewness_is_that_of_one_autoregression():
    """20 000 simulated averages: standard error of a sample skewness sqrt(6/n) = 0.017, times 5 for its heavy tail."""
    rng = np.random.default_rng(1)
    n, K, eta = 20_000, 200, 0.2
    x, total = np.zeros(n) + rng.standard_normal(n) * np.sqrt(eta / (2 - eta)), np.zeros(n)
    for _ in range(K):
        x = (1 - eta) * x + eta * rng.standard_normal(n)
        total += x * x / K
    found = averages([[1.0]], [[1.0]], eta, Sampling(0, 1, K), [0.0], [[eta / (2 - eta)]], [[[1.0]]])
    centred = total - total.mean()
    measured = np.mean(centred**3) / np.mean(centred**2) ** 1.5
    assert np.mean(total) == pytest.approx(found.value[0], abs=5 * np.sqrt(found.variance[0] / n))
    assert np.var(total) == pytest.approx(found.variance[0], rel=5 * np.sqrt(3 / n))
    assert measured == pytest.approx(found.skewness[0], abs=0.09)
    assert abs(measured - 0.5 * found.skewness[0]) > 0.09  # the power of the test


def test_an_unstable_step_is_summed_to_the_end():
    found = averages([[1.0]], [[1.0]], 2.5, Sampling(0, 1, 20), [1.0], [[0.0]], [[[1.0]]])
    means, covs = transient.moments([[1.0]], [[1.0]], 2.5, np.arange(1, 21), [1.0], [[0.0]])
    np.testing.assert_allclose(found.second, (covs + means[:, :, None] * means[:, None, :]).mean(axis=0), rtol=1e-12)

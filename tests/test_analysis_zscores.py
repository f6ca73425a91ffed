"""z values: exact where a closed form exists, right tail rates elsewhere, and controls that a plain z does not pass."""

import numpy as np
import pytest
from scipy import stats

from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.analysis.steps import sphericity
from fastsgd.analysis.whitening import whitener
from fastsgd.analysis.zscores import (
    Z_LIMIT,
    z_exact,
    z_gamma,
    z_pearson3,
    z_sample_mean,
    z_student,
)


def within(count, trials, rate, sigmas=4.0):
    """True if `count` of `trials` agrees with `rate` within `sigmas` standard errors (4: false alarm 6e-5)."""
    return abs(count - trials * rate) <= sigmas * np.sqrt(trials * rate)


@pytest.mark.parametrize("degrees", [1, 3, 100, 100_000])
@pytest.mark.parametrize("p", [1e-9, 1e-3, 0.3, 0.5, 0.7, 0.999])
def test_z_gamma_is_the_exact_normal_quantile_of_a_chi_square(degrees, p):
    x = stats.chi2.ppf(p, degrees) / degrees
    assert z_gamma(degrees / 2, x) == pytest.approx(stats.norm.ppf(p), abs=1e-6)


def test_far_tails_are_finite_and_monotone():
    z = [z_gamma(50.0, x) for x in (0.0, 1e-9, 1e-3, 0.5, 1.0, 2.0, 10.0, 1e3, 1e300, np.inf)]
    assert np.all(np.diff(z[:-1]) > 0)
    assert np.all(np.abs(z) <= Z_LIMIT)


def test_z_pearson3_is_odd_under_reflection_and_normal_without_skewness():
    assert z_pearson3(1.3, 0.0) == 1.3
    assert z_pearson3(-1.3, -0.4) == -z_pearson3(1.3, 0.4)


def test_z_student_matches_the_t_distribution():
    for degrees in (9, 50, 1000):
        for t in (-6.0, -1.0, 0.3, 4.0):
            assert z_student(t, degrees) == pytest.approx(stats.norm.ppf(stats.t.cdf(t, degrees)), rel=4e-3)


@pytest.mark.parametrize(("n", "tolerance"), [(1, 0.03), (5, 2e-3), (50, 3e-5)])
def test_saddlepoint_against_the_exact_law_of_equal_weights(n, tolerance):
    form = QuadraticForm.of(2 * np.eye(2), np.zeros(2), 3 * np.eye(2))
    for p in (1e-9, 1e-3, 0.2, 0.49, 0.5, 0.51, 0.8, 1 - 1e-3, 1 - 1e-9):
        x = 6 * stats.chi2.ppf(p, 2 * n) / n
        assert form.z_of_mean(x, n) == pytest.approx(stats.norm.ppf(p), abs=tolerance)


def test_saddlepoint_of_impossible_and_extreme_values():
    form = QuadraticForm.of(np.eye(2), np.zeros(2), np.diag([1.0, 0.0]))
    assert form.z_of_mean(-1.0, 10) == -Z_LIMIT
    assert form.z_of_mean(1e9, 10) > 1e4
    huge = QuadraticForm.of(np.eye(2), np.zeros(2), np.diag([1e250, 1e240]))
    assert huge.z_of_mean(1e250, 100) == pytest.approx(
        QuadraticForm.of(np.eye(2), np.zeros(2), np.diag([1.0, 1e-10])).z_of_mean(1.0, 100), abs=1e-9
    )


def test_cumulants_of_a_noncentral_singular_form_against_monte_carlo():
    rng = np.random.default_rng(11)
    root = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 0.7]])
    metric, mean = np.diag([1.0, 2.0, 0.5]), np.array([0.3, -0.2, 1.0])
    form = QuadraticForm.of(metric, mean, root @ root.T)
    x = mean + rng.standard_normal((400_000, 2)) @ root.T
    r = np.einsum("ni,ij,nj->n", x, metric, x)
    for order, value in ((1, r), (2, (r - r.mean()) ** 2), (3, (r - r.mean()) ** 3)):
        error = value.std() / np.sqrt(len(r))
        assert abs(value.mean() - form.unit**order * form.relative_cumulant(order)) < 4 * error
    assert form.deviation == pytest.approx(np.sqrt(form.relative_cumulant(2)) * form.unit)


@pytest.mark.slow
def test_tail_rates_of_the_mean_risk_at_two_dimensions_and_fifty_replicates():
    """200 000 means of 50: P(z > 3) = P(z < -3) = 0.00135 each; a plain z = (mean - expected) / s.e. misses both."""
    rng = np.random.default_rng(12)
    weights, n, trials = np.array([1.0, 0.4]), 50, 200_000
    means = (weights * rng.chisquare(n, size=(trials, 2))).sum(1) / n
    form = QuadraticForm.of(np.eye(2), np.zeros(2), np.diag(weights))
    plain = (means - weights.sum()) / np.sqrt(2 * (weights**2).sum() / n)
    far = np.flatnonzero(np.abs(plain) > 2.2)
    z = np.array([form.z_of_mean(means[i], n) for i in far])
    rate = stats.norm.sf(3)
    assert within(np.sum(z > 3), trials, rate)
    assert within(np.sum(z < -3), trials, rate)
    assert not within(np.sum(plain > 3), trials, rate)
    assert not within(np.sum(plain < -3), trials, rate)


@pytest.mark.slow
def test_tail_rates_of_the_sample_mean_of_skewed_values():
    """Exponential values, n = 100: the corrected statistic keeps the rate within 1.5 x, Student's does not."""
    rng = np.random.default_rng(13)
    trials, n = 20_000, 100
    z = np.empty(trials)
    student = np.empty(trials)
    for i in range(trials):
        values = rng.exponential(size=n)
        z[i] = z_sample_mean(values, 1.0)[1]
        student[i] = z_student((values.mean() - 1) / (values.std(ddof=1) / np.sqrt(n)), n - 1)
    rate = stats.norm.sf(2.5)
    for tail in (np.mean(z > 2.5), np.mean(z < -2.5)):
        assert rate / 1.5 < tail < 1.5 * rate
    assert np.mean(student < -2.5) > 2 * rate


def test_sample_mean_of_large_numbers_and_of_equal_ones():
    values = np.array([1e200, 2e200, 3e200])
    error, z = z_sample_mean(values, 2e200)
    assert error == pytest.approx(1e200 / np.sqrt(3))
    assert abs(z) < 1e-6
    assert z_sample_mean(np.full(5, 2.0), 2.0) == (0.0, 0.0)
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        z_sample_mean(np.ones(1), 1.0)


def test_z_exact_forgives_rounding_only():
    assert abs(z_exact(1 + 1e-12, 1.0)) < 0.1
    assert z_exact(1 + 1e-8, 1.0) > 50
    assert z_exact(0.0, 0.0) == 0
    assert z_exact(1e-3, 0.0) == Z_LIMIT


@pytest.mark.parametrize(("d", "degrees"), [(2, 5), (4, 40)])
def test_sphericity_has_the_stated_moments(d, degrees):
    rng = np.random.default_rng(14)
    draws = rng.standard_normal((4000, degrees, d))
    found = [sphericity(np.einsum("ni,nj->ij", x, x) / degrees, degrees) for x in draws]
    value, z = np.array([f[0] for f in found]), np.array([f[2] for f in found])
    error = found[0][1]
    assert abs(value.mean() - 1) < 4 * error / np.sqrt(4000)
    fourth = np.mean((value - 1) ** 4)
    assert abs(value.var() - error**2) < 4 * np.sqrt((fourth - error**4) / 4000)
    assert stats.kstest(z, "norm").pvalue > 1e-4


def test_sphericity_ignores_size_and_sees_shape():
    degrees = 2000
    assert sphericity(3.0 * np.eye(4), degrees)[0] == pytest.approx(0, abs=1e-9)
    assert sphericity(np.diag([1.6, 1.0, 1.0, 1.0]), degrees)[2] > 8


def test_whitener_of_a_singular_badly_scaled_covariance():
    covariance = np.diag([1e12, 1.0, 1e-12, 0.0])
    covariance[0, 1] = covariance[1, 0] = 5e5
    B = whitener(covariance)
    assert B.shape == (4, 3)
    np.testing.assert_allclose(B.T @ covariance @ B, np.eye(3), atol=1e-10)

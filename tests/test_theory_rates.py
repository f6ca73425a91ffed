"""Rates, bounds, complexity, comparisons and statistics."""

import math

import mpmath as mp
import numpy as np
import pytest
from reference_theory import random_covariance, random_hessian

from fastsgd.schedules import Schedule
from fastsgd.theory import bounds, comparison, complexity, geometry, lyapunov, rates, richardson, statistics, transient

RNG = np.random.default_rng(30)


def test_decaying_covariance_solves_its_equation_and_is_the_limit():
    H, G, c, b = random_hessian(RNG, [1.0, 2.0, 5.0]), random_covariance(RNG, 3), 1.3, 4
    V = rates.decaying_covariance(H, G / b, c)
    shifted = c * H - np.eye(3) / 2
    assert shifted @ V + V @ shifted == pytest.approx(c**2 * G / b, rel=1e-12)
    schedule = Schedule(schedule="power", size=c, offset=10.0, exponent=1.0)
    errors = []
    for k in (10_000, 40_000):
        _, covs = transient.moments(H, G / b, schedule, [k], np.zeros(3), np.zeros((3, 3)))
        errors.append(np.linalg.norm(k * covs[0] - V) / np.linalg.norm(V))
    assert errors[1] < 1e-3 and errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # the error is O(1/k)
    F = random_covariance(RNG, 3)
    assert rates.scaled_risk_limit(F, H, G, c, b) == pytest.approx(b * np.trace(F @ V), rel=1e-12)
    assert rates.scaled_risk_limit(F, H, G, c, 1) == pytest.approx(b * np.trace(F @ V), rel=1e-12)
    assert rates.best_power_constant(H, G, F) <= rates.scaled_risk_limit(F, H, G, c, 1)


def test_decaying_condition():
    with pytest.raises(ValueError, match=r"2 c lambda_min\(H\) must be > 1 for the rate 1/k, got 1; take c > 0.5"):
        rates.decaying_covariance(np.eye(2), np.eye(2), 0.5)
    assert rates.rate_regime(np.eye(2), 0.6, 1.0) == "k Cov -> V"
    assert "must be > 1" in rates.rate_regime(np.eye(2), 0.5, 1.0)
    assert rates.rate_regime(np.eye(2), 0.1, 0.7) == "Cov/eta -> S"
    assert "no limit" in rates.rate_regime(np.eye(2), 0.1, 0.5)


def test_decaying_covariance_close_to_its_condition():
    lam, c = 0.7, (0.5 + 1e-9) / 0.7
    V = rates.decaying_covariance([[lam]], [[1.0]], c)
    margin = mp.mpf(2) * mp.mpf(c) * mp.mpf(lam) - 1
    assert V.item() == pytest.approx(float(mp.mpf(c) ** 2 / margin), rel=1e-13)
    assert c * c / (2 * c * lam - 1) != pytest.approx(V.item(), rel=1e-12)  # control: the plain formula loses digits


def test_slow_schedule_limit():
    rng = np.random.default_rng(3)
    H, G = random_hessian(rng, [1.0, 3.0]), random_covariance(rng, 2)
    schedule = Schedule(schedule="power", size=0.5, offset=1.0, exponent=0.7)
    steps = np.array([25_000, 200_000])
    _, covs = transient.moments(H, G, schedule, steps, np.zeros(2), np.zeros((2, 2)))
    V = rates.slow_covariance(H, G, 0.7)
    errors = [np.linalg.norm(C / eta - V) / np.linalg.norm(V) for C, eta in zip(covs, schedule(steps), strict=True)]
    # The step changes by the factor 1 - a/k while the slowest direction relaxes at 2 eta_k lambda_min.
    assert errors[1] < 1.1 * 0.7 * steps[1] ** -0.3 / (2 * 0.5 * 1.0)
    assert errors[0] / errors[1] == pytest.approx(8**0.3, rel=0.05)  # the error is O(k^(a - 1))
    with pytest.raises(ValueError, match="exponent must be between"):
        rates.slow_covariance(H, G, 1.0)


def test_polyak_ruppert_is_the_limit_of_time_averages():
    H, G, eta = random_hessian(RNG, [1.0, 3.0]), random_covariance(RNG, 2), 0.3
    A, S = np.eye(2) - eta * H, lyapunov.discrete_stationary(H, G, eta)
    inverse = np.linalg.inv(np.eye(2) - A)
    long_run = S + inverse @ A @ S + (inverse @ A @ S).T  # sum of autocovariances
    assert rates.polyak_ruppert(H, G) == pytest.approx(long_run, rel=1e-12)
    assert rates.polyak_ruppert(H, G) == pytest.approx(geometry.sandwich(H, G), rel=1e-13)


def test_bounds_bracket_the_exact_risk():
    F = random_hessian(RNG, [0.5, 1.0, 2.0])
    H, G, b, c = F, F, 2, 2.0  # a correctly specified likelihood
    schedule = Schedule(schedule="power", size=c, offset=20.0, exponent=1.0)
    steps = [10, 100, 1000, 10_000]
    start = np.array([0.1, 0.0, -0.1])
    risk = transient.risks(F, H, G / b, schedule, steps, start, np.zeros((3, 3)))
    above = bounds.drift_bound(F, H, G / b, schedule, steps, float(start @ F @ start))
    assert np.all(risk <= above * (1 + 1e-12))
    leading = bounds.upper_bound(F, H, G, b, c, steps)
    assert leading == pytest.approx(c**2 * np.trace(F @ G) / (b * (2 * c * 0.5 - 1) * np.array(steps)), rel=1e-11)
    assert np.all(leading <= bounds.upper_bound_effective(F, H, b, c, steps))
    assert leading[-1] == pytest.approx(above[-1], rel=0.05)
    assert np.all(bounds.van_trees(F, b * np.array(steps[1:])) <= risk[1:])
    assert bounds.van_trees(F, 10.0, 2 * F) == pytest.approx(9 / (30 + 6))
    assert bounds.van_trees(F, 10.0) == pytest.approx(0.3)


def test_bounds_refuse_what_they_do_not_cover():
    F, H = np.diag([1.0, 100.0]), np.array([[1.0, 0.9], [0.9, 1.0]])
    with pytest.raises(ValueError, match="the upper bounds of Sections 6 and 7 do not apply"):
        bounds.upper_bound(F, H, F, 1, 1.0, 10)
    with pytest.raises(ValueError, match="2 c mu_F must"):
        bounds.upper_bound(np.eye(2), np.eye(2), np.eye(2), 1, 0.5, 10)


def test_complexity():
    G, smooth, gap = np.diag([1.0, 3.0]), 5.0, 2.0
    at = complexity.setting(G, smooth, gap)
    N, b = 10_000, 4
    eta = complexity.balanced_step(at, N, b)
    assert eta == pytest.approx(b * math.sqrt(2 * gap / (N * smooth * 4)))
    terms = 2 * gap / (eta * N / b), eta * smooth * 4 / b
    assert terms[0] == pytest.approx(terms[1])
    assert complexity.stationarity_bound(at, eta, N // b, b) == pytest.approx(sum(terms))
    want = 2 * math.sqrt(2 * gap * smooth * 4 / N)
    limit = complexity.largest_feasible_batch(at, N)
    assert limit == pytest.approx(math.sqrt(N * 4 / (2 * gap * smooth)))
    assert complexity.feasible(at, N, int(limit)) and not complexity.feasible(at, N, int(limit) + 1)
    for batch in (1, 4, int(limit)):
        assert complexity.budget_bound(at, N, batch) == pytest.approx(want)
        assert complexity.balanced_step(at, N, batch) <= 1 / smooth
    rising = [complexity.budget_bound(at, N, batch) for batch in (int(limit), 2 * int(limit), 4 * int(limit))]
    assert rising == sorted(rising) and rising[-1] > 1.5 * rising[0]
    with pytest.raises(ValueError, match=r"eta must be <= 1/l = 0.2"):
        complexity.stationarity_bound(at, 0.3, 10, 1)
    high = complexity.high_probability_bound(at, eta, N // b, b, math.exp(-1), 1.0)
    assert high == pytest.approx(terms[0] + 2 * terms[1])


@pytest.mark.parametrize("precision", [0.01, 0.3, 3.0, 50.0])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_oracle_complexity_is_the_smallest_budget(precision, batch):
    at = complexity.setting(np.diag([1.0, 3.0]), 5.0, 2.0)
    found = complexity.oracle_complexity(at, precision, batch)
    assert complexity.budget_bound(at, found.calls, batch) == found.squared_norm <= precision**2
    if found.calls > 1:
        assert complexity.budget_bound(at, found.calls - 1, batch) > precision**2 * (1 - 1e-12)
    if precision == 0.01 and batch == 1:
        assert found.calls == pytest.approx(8 * 2 * 5 * 4 / 1e-8, rel=1e-6)


def test_loewner_and_inflation():
    H, G, eta = random_hessian(RNG, [0.5, 2, 5]), random_covariance(RNG, 3), 0.2
    smaller = G - 0.5 * np.linalg.eigvalsh(G)[0] * np.eye(3)
    found = comparison.reduction(np.eye(3), H, G, smaller, eta)
    assert found.ordered and found.noise_smallest > 0 and found.covariance_smallest > 0 and found.risk_ratio < 1
    assert not comparison.reduction(np.eye(3), H, G, comparison.trace_matched(G), eta).ordered
    assert comparison.loewner_below(G, G) and not comparison.loewner_below(1.01 * G, G)
    S = lyapunov.discrete_stationary(H, G, eta)
    assert comparison.inflate(S, 0.7) == pytest.approx(lyapunov.discrete_stationary(H, 1.7 * G, eta), rel=1e-13)
    C = lyapunov.continuous_stationary(H, G, eta)
    iso = lyapunov.continuous_stationary(H, comparison.trace_matched(G), eta)
    assert np.trace(H @ C) == pytest.approx(np.trace(H @ iso), rel=1e-13)
    assert comparison.directional_ratio(2 * C, C, np.eye(3)) == pytest.approx([2, 2, 2])


def test_richardson_weights_and_errors():
    assert richardson.weights([0.2, 0.1]) == pytest.approx([-1, 2])
    assert richardson.weights([0.4, 0.2, 0.1]) == pytest.approx([1 / 3, -2, 8 / 3])
    etas = np.array([0.4, 0.2, 0.1, 0.05])
    values = 1 + 0.3 * etas - 0.7 * etas**2
    exact = richardson.extrapolate(etas, values, 1e-6 * np.ones(4))
    assert exact.value == pytest.approx(1, abs=1e-14) and abs(exact.z()) < 1e-9
    C = 1e-6 * random_covariance(RNG, 4)
    fit = richardson.extrapolate(etas, values, C, degree=2)
    assert fit.value == pytest.approx(1, abs=1e-12) and fit.degrees == 1 and fit.chi_square < 1e-15
    assert fit.standard_error == pytest.approx(math.sqrt(fit.weights @ C @ fit.weights))
    assert fit.standard_error <= richardson.extrapolate(etas, values, C).standard_error
    wrong = richardson.extrapolate(etas, values, C, degree=1)  # control: a line does not fit a parabola
    assert wrong.chi_square > 100
    with pytest.raises(ValueError, match="etas must be > 0 and distinct"):
        richardson.weights([0.1, 0.1])


def test_extrapolation_error_by_monte_carlo():
    rng, etas, R = np.random.default_rng(1), np.array([0.4, 0.2, 0.1, 0.05]), 4000
    C = random_covariance(rng, 4)
    root = np.linalg.cholesky(C)
    for degree in (None, 1):
        draws = [richardson.extrapolate(etas, 1 + root @ rng.standard_normal(4), C, degree) for _ in range(R)]
        z = np.array([draw.z() for draw in draws])
        assert abs(z.mean()) < 4.5 / math.sqrt(R) and abs(z.var() - 1) < 4.5 * math.sqrt(2 / R)


def test_frobenius_error_by_monte_carlo():
    rng, R, M = np.random.default_rng(2), 200, 2000
    C = random_covariance(rng, 5)
    x = rng.standard_normal((M, R, 5)) @ np.linalg.cholesky(C).T
    estimated = np.einsum("mri,mrj->mij", x, x) / R
    squares = np.sum((estimated - C) ** 2, axis=(1, 2)) / np.sum(C**2)
    want = statistics.relative_frobenius_error(C, R) ** 2
    error = squares.std() / math.sqrt(M)
    assert abs(squares.mean() - want) < 4.5 * error
    assert abs(squares.mean() - want * R / (R - 20)) > 4.5 * error  # control: 10 % is seen
    assert statistics.relative_frobenius_error(np.eye(3), 100) == pytest.approx(math.sqrt(4 / 100))
    entries = np.array([np.cov(draw.T) for draw in x]).std(axis=0)
    assert entries == pytest.approx(statistics.covariance_standard_errors(C, R), rel=4.5 * math.sqrt(1 / M))


def test_simultaneous_levels():
    assert statistics.sidak_level(1e-4, 1) == pytest.approx(1e-4, rel=1e-14)
    assert 1 - (1 - statistics.sidak_level(0.05, 20)) ** 20 == pytest.approx(0.05, rel=1e-12)
    assert statistics.sidak_z(0.05, 1) == pytest.approx(1.959963984540054, rel=1e-12)
    assert statistics.sidak_level(1e-15, 10**6) == pytest.approx(1e-21, rel=1e-9)


def test_joint_test_has_its_level_and_sees_a_shift():
    rng, C = np.random.default_rng(3), random_covariance(np.random.default_rng(4), 6, rank=3)
    half = np.linalg.cholesky(C + 1e-13 * np.eye(6))
    p = [statistics.joint_test(half @ rng.standard_normal(6), C, 1e-9).p_value for _ in range(4000)]
    assert abs(np.mean(np.array(p) < 0.05) - 0.05) < 4.5 * math.sqrt(0.05 * 0.95 / 4000)
    found = statistics.joint_test(6 * half[:, 0], C, 1e-9)
    assert found.degrees == 3 and found.chi_square == pytest.approx(36, rel=1e-3) and found.p_value < 1e-6
    assert statistics.scaled_risk([2.0], [10], 8, [0.1])[1] == pytest.approx([8.0])

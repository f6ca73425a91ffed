"""State-dependent least squares: enumeration of all mini-batches, stationary solution, stability limit, transient."""

import itertools

import numpy as np
import pytest

from fastsgd.designs import design_covariance
from fastsgd.theory import least_squares as ls
from fastsgd.theory import least_squares_stationary as stationary
from fastsgd.theory import least_squares_transient as transient
from fastsgd.theory import lyapunov


def make(n, d, ridge=0.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.logspace(0, -0.5, d)
    y = X @ np.ones(d) + rng.standard_normal(n)
    return ls.pool(X, y, ridge=ridge), X, y


def factor(b, n):
    return float(design_covariance("without-replacement", np.eye(1), b, n)[0, 0])


@pytest.mark.parametrize("ridge", [0.0, 0.7, np.array([0.0, 0.3])])
@pytest.mark.parametrize("b", [1, 2, 4])
def test_a_step_by_enumeration_of_every_mini_batch(ridge, b):
    n, d, eta = 5, 2, 0.3
    at, X, y = make(n, d, ridge)
    P = np.diag(np.broadcast_to(ridge, (d,)))
    theta = np.linalg.solve(X.T @ X / n + P, X.T @ y / n)
    start = np.random.default_rng(1).standard_normal((7, d))  # seven equally likely starts
    ends = []
    for chosen in itertools.combinations(range(n), b):
        for delta in start:
            at_point = theta + delta
            gradient = -X[list(chosen)].T @ (y - X @ at_point)[list(chosen)] / b + P @ at_point
            ends.append(delta - eta * gradient)
    ends = np.array(ends)
    m, M = ls.step(at, start.mean(0), start.T @ start / 7, eta, factor(b, n))
    assert ends.mean(0) == pytest.approx(m, rel=1e-11)
    assert ends.T @ ends / len(ends) == pytest.approx(M, rel=1e-11)


@pytest.mark.parametrize(("n", "d"), [(40, 3), (90, 12), (80, 40)])
def test_stationary_second_moment_is_the_fixed_point(n, d):
    at, _, _ = make(n, d, ridge=0.1)
    f = factor(2, n)
    limit = stationary.largest_stable_step(at, f)
    assert limit < lyapunov.largest_stable_step(at.hessian)
    for eta in (1e-3 * limit, 0.5 * limit, 0.99 * limit):
        M = stationary.stationary(at, eta, f)
        assert ls.step(at, np.zeros(d), M, eta, f)[1] == pytest.approx(M, rel=1e-9, abs=1e-12 * np.max(M))
        assert np.linalg.eigvalsh(M)[0] > 0
        assert np.linalg.eigvalsh(M - ls.frozen(at, eta, f))[0] > -1e-12 * np.max(M)  # above the frozen-noise value
    with pytest.raises(ValueError, match="mean-square stability"):
        stationary.stationary(at, 1.0001 * limit, f)


def test_difference_from_frozen_noise_is_of_order_eta():
    at, _, _ = make(50, 4)
    f = factor(5, 50)
    gaps = [np.trace(stationary.stationary(at, e, f)) / np.trace(ls.frozen(at, e, f)) - 1 for e in (2e-3, 1e-3)]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.02) and gaps[1] > 1e-5


@pytest.mark.parametrize("d", [3, 40])
def test_stability_limit_is_where_the_radius_is_one(d):
    at, _, _ = make(90, d)
    f = factor(3, 90)
    limit = stationary.largest_stable_step(at, f)
    assert stationary.spectral_radius(at, limit, f) == pytest.approx(1, abs=1e-9)
    assert stationary.spectral_radius(at, 0.9 * limit, f) < 1 < stationary.spectral_radius(at, 1.1 * limit, f)
    # without noise only the mean matters
    assert stationary.largest_stable_step(at, 0.0) == pytest.approx(lyapunov.largest_stable_step(at.hessian), rel=1e-9)


def test_limit_from_fourth_moments_alone():
    at, _, _ = make(60, 5, ridge=0.05)
    f, basis = factor(4, 60), at.basis
    turned = at.turned(basis)
    limit = stationary.largest_stable_step(at, f)
    assert stationary.mean_square_limit(basis.values, turned.excess, f) == pytest.approx(limit, rel=1e-12)
    bound = stationary.mean_square_limit(basis.values, turned.excess, f, iterations=30, tolerance=1e-8)
    assert 0.999 * limit < bound < limit * (1 + 1e-12)
    assert stationary.mean_square_limit(basis.values, turned.excess, f, iterations=1) < bound


def test_large_and_small_solvers_agree(monkeypatch):
    at, _, _ = make(60, 8, ridge=0.05)
    f, eta = factor(4, 60), 0.2
    direct = stationary.stationary(at, eta, f), stationary.largest_stable_step(at, f)
    monkeypatch.setattr(stationary, "DENSE_LIMIT", 0)
    assert stationary.stationary(at, eta, f) == pytest.approx(direct[0], rel=1e-11)
    assert stationary.largest_stable_step(at, f) == pytest.approx(direct[1], rel=1e-10)


@pytest.mark.parametrize("size", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_transient_closed_form_equals_iteration(size, ridge):
    at, _, _ = make(30, 4, ridge)
    f = factor(3, 30)
    eta = size * stationary.largest_stable_step(at, f)
    m0, steps = np.array([2.0, -1.0, 0.0, 1.0]), [0, 1, 2, 30, 501]
    M0 = np.multiply.outer(m0, m0) + 0.1 * np.eye(4)
    means, seconds = transient.moments(at, eta, f, steps, m0, M0)
    etas = np.full(501, eta)
    slow_means, slow_seconds = transient.moments(at, etas, f, steps, m0, M0)
    for s in range(len(steps)):
        assert means[s] == pytest.approx(slow_means[s], rel=1e-9, abs=1e-13)
        assert seconds[s] == pytest.approx(slow_seconds[s], rel=1e-9, abs=1e-11)
    far = transient.moments(at, eta, f, [10**6], m0, M0)[1][0]
    assert far == pytest.approx(stationary.stationary(at, eta, f), rel=1e-9)


def test_simulated_mini_batches_with_negative_control():
    n, d, b, eta, R = 12, 2, 3, 0.35, 20_000
    at, X, y = make(n, d, seed=3)
    rng, theta = np.random.default_rng(6), np.linalg.lstsq(X, y, rcond=None)[0]
    delta = np.ones((R, d))
    steps = 25
    for _ in range(steps):
        chosen = np.argsort(rng.random((R, n)), axis=1)[:, :b]
        x, e = X[chosen], (y - X @ theta)[chosen]
        residual = np.einsum("rbd,rd->rb", x, delta) - e
        delta = delta - eta * np.einsum("rbd,rb->rd", x, residual) / b
    _, seconds = transient.moments(at, eta, factor(b, n), [steps], np.ones(d), np.ones((d, d)))
    products = np.einsum("ri,rj->rij", delta, delta)
    error = products.std(0) / np.sqrt(R)
    assert np.max(np.abs((products.mean(0) - seconds[0]) / error)) < 4.5
    frozen = ls.frozen(at, eta, factor(b, n))  # control: frozen noise is rejected
    assert np.max(np.abs((products.mean(0) - frozen) / error)) > 8


def test_pool_arguments():
    X, y = np.eye(3), np.ones(3)
    with pytest.raises(ValueError, match="optimum must be the minimiser"):
        ls.pool(X, y, optimum=np.zeros(3))
    with pytest.raises(ValueError, match="ridge must be >= 0"):
        ls.pool(X, y, ridge=-1.0)
    collinear = ls.pool(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), y)
    with pytest.raises(ValueError, match="must be positive definite; add a ridge"):
        stationary.largest_stable_step(collinear, 0.1)

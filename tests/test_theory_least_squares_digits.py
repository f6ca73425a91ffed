"""Least squares of condition 1e10, from tiny steps to the edge of mean-square stability, at any step number: 12 digits."""

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from reference_theory import exact

from fastsgd.theory import (
    least_squares,
    least_squares_stationary,
    least_squares_transient,
    least_squares_weighted,
    lyapunov,
)

TOPS = [1e-10, 1e-6, 1.0, 2 - 1e-3, 2 - 1e-6]
D, FACTOR = 16, 0.25
WIDE = np.longdouble


@pytest.fixture(scope="module")
def diagonal():
    """Rows along a Hadamard basis, two of opposite residual each: diagonal there, so that all moments are known."""
    s, r = np.append(1.0, 10.0 ** -np.linspace(0.1, 5, D - 1)), 1 + np.sqrt(np.arange(D))
    W = scipy.linalg.hadamard(D).astype(float)
    pool = least_squares.pool(np.repeat(W * s[:, None], 2, axis=0), np.tile([1.0, -1.0], D) * np.repeat(r, 2))
    return pool, W, [mp.mpf(x) ** 2 for x in s.tolist()], [mp.mpf(x) ** 2 for x in r.tolist()]


def off(got, want):
    return float(np.linalg.norm((got - want).astype(float)) / np.linalg.norm(want.astype(float)))


@pytest.mark.parametrize("top", TOPS)
def test_moments_that_are_known_in_closed_form(diagonal, top):
    pool, W, h, noise = diagonal
    f = mp.mpf(FACTOR)
    rate = [x * (1 + (D - 1) * f) for x in h]
    eta = float(top / max(rate))
    e, limit = mp.mpf(eta), float(2 / max(rate))
    assert least_squares_stationary.largest_stable_step(pool, FACTOR) == pytest.approx(limit, rel=1e-12)

    def back(entries):
        return (W.T.astype(WIDE) * np.array([WIDE(mp.nstr(x, 25)) for x in entries])) @ W.astype(WIDE) / D

    far = back([e * f * y / (2 - e * x) for y, x in zip(noise, rate, strict=True)])
    assert off(least_squares_stationary.stationary(pool, eta, FACTOR), far) < 1e-12
    frozen = back([e * f * y / (2 - e * x) for y, x in zip(noise, h, strict=True)])
    assert off(least_squares.frozen(pool, eta, FACTOR), frozen) < 1e-12
    plain = lyapunov.discrete_stationary(pool.hessian, FACTOR * pool.noise, eta)
    assert off(plain, frozen) > 1e-9
    for k in (10, 10**3, 10**5, 10**9, 10**13):
        tau = [1 - 2 * e * x + e * e * x * (x + f * (D - 1) * x) for x in h]
        want = [t**k / 2 + e * e * f * x * y * (1 - t**k) / (1 - t) for t, x, y in zip(tau, h, noise, strict=True)]
        found = least_squares_transient.moments(pool, eta, FACTOR, [k], np.zeros(D), 0.5 * np.eye(D))[1][0]
        assert off(found, back(want)) < 1e-12, k


def power_of_map(at, weights, groups, centres, eta, factor, k, m, M):
    """Mean and second moment after k steps, by the k-th power of the map of E z z', z = (Delta, 1), in 60 digits."""
    n, d = at.features.shape
    gradients = []
    for x, r in zip(at.features, at.residuals, strict=True):
        A, row = mp.matrix(d + 1, d + 1), exact(x)
        A[:d, :d], A[:d, d] = row.T * row, -mp.mpf(float(r)) * row.T
        gradients.append(A)
    q, e = (d + 1) ** 2, mp.mpf(eta)
    drift = mp.eye(d + 1)
    for A in gradients:
        drift[:d, :d] -= e * A[:d, :d] / n
    for i in range(d):
        drift[i, i] -= e * mp.mpf(float(at.ridge[i]))
    T = kron(drift)
    for a, A in zip(weights, gradients, strict=True):
        T += e * e * mp.mpf(factor) * mp.mpf(float(a)) * kron(A) / n
    for h, c in enumerate(centres):
        inside = [A for A, g in zip(gradients, groups, strict=True) if g == h]
        mean = mp.matrix(d + 1, d + 1)
        for A in inside:
            mean += A / len(inside)
        T -= e * e * mp.mpf(factor) * mp.mpf(float(c)) * kron(mean)
    W = np.ones((d + 1, d + 1))
    W[:d, :d], W[:d, d], W[d, :d] = M, m, m
    end = np.array((T**k * exact(W.reshape(q, 1))).tolist(), float).reshape(d + 1, d + 1)
    return end[:d, d], end[:d, :d]


def kron(A):
    n = A.rows
    K = mp.matrix(n * n, n * n)
    for i in range(n):
        for j in range(n):
            if A[i, j] != 0:
                K[i * n : (i + 1) * n, j * n : (j + 1) * n] = A[i, j] * A
    return K


@pytest.mark.parametrize("ridge", [0.0, 1e-6])
@pytest.mark.parametrize("weighted", [False, True])
def test_pools_without_a_closed_form(ridge, weighted):
    rng = np.random.default_rng(2)
    n, d, factor = 6, 2, 0.3
    X = rng.standard_normal((n, d)) @ np.diag([1, 1e-5]) @ np.linalg.qr(rng.standard_normal((d, d)))[0]
    at = least_squares.pool(X, rng.standard_normal(n), ridge=ridge)
    design = np.ones(n), np.zeros(n, dtype=np.int64), np.ones(1)
    if weighted:
        design = rng.uniform(0.5, 2.0, n), np.arange(n) % 2, np.array([0.2, 0.1])
        at, factor = least_squares_weighted.of_form(at, *design), 1.0
    limit = least_squares_stationary.largest_stable_step(at, factor)
    m = np.array([1.0, -2.0])
    M = np.multiply.outer(m, m) + 0.1 * np.eye(d)
    for top in (1e-10, 0.5, 0.999, 1.5):
        eta = top * limit
        for k in (3, 1000, 10**10, 10**16) if top < 1 else (3, 100):
            mean, second = power_of_map(at, *design, eta, factor, k, m, M)
            found = least_squares_transient.moments(at, eta, factor, [k], m, M)
            assert np.linalg.norm(found[0][0] - mean) <= 1e-12 * max(np.linalg.norm(mean), 1e-200), (top, k)
            assert off(found[1][0], second) < 1e-12, (top, k)
        if 0.1 < top < 1:
            assert off(least_squares_stationary.stationary(at, eta, factor), second) < 1e-12

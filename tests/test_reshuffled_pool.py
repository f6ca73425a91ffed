"""Exact moments of reshuffled epochs: against all orders of a small pool, and against additive noise."""

from itertools import permutations

import mpmath as mp
import numpy as np
import pytest

from fastsgd.theory import lyapunov, reshuffled_pool, reshuffling


def by_orders(A, g, eta, batch, steps, mean0, second0):
    """Mean and second moment by going through every order of the pool, one epoch after the other."""
    n, d = g.shape
    K = n // batch
    W = np.ones((d + 1, d + 1))
    W[:d, :d], W[:d, d], W[d, :d] = second0, mean0, mean0
    found = {0: W}
    orders = list(permutations(range(n)))
    for first in range(0, max(steps), K):
        states = [found[first].copy() for _ in orders]
        for j in range(K):
            for o, order in enumerate(orders):
                last = list(order[j * batch : (j + 1) * batch])
                M = np.eye(d + 1)
                M[:d, :d] -= eta * A[last].mean(axis=0)
                M[:d, d] -= eta * g[last].mean(axis=0)
                states[o] = M @ states[o] @ M.T
            found[first + j + 1] = np.mean(states, axis=0)
    return np.stack([found[k][:d, d] for k in steps]), np.stack([found[k][:d, :d] for k in steps])


def pool(n, d, seed):
    rng = np.random.default_rng(seed)
    x, e = rng.normal(size=(n, d)), rng.normal(size=n)
    e -= x @ np.linalg.lstsq(x, e, rcond=None)[0]
    return x[:, :, None] * x[:, None, :], -x * e[:, None]


@pytest.mark.parametrize(("n", "batch", "d"), [(5, 1, 1), (5, 2, 2), (6, 3, 2), (4, 4, 1)])
def test_all_orders_of_a_small_pool(n, batch, d):
    A, g = pool(n, d, n + batch)
    steps, mean0, second0 = [1, 2, 3, n, 2 * n], np.full(d, 0.3), np.eye(d) + 0.09
    mean, second = reshuffled_pool.moments(reshuffled_pool.epoch(A, g, 0.2, batch), steps, mean0, second0)
    expected = by_orders(A, g, 0.2, batch, steps, mean0, second0)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(second, expected[1], rtol=1e-11, atol=1e-13)


def test_additive_noise_is_the_closed_form():
    rng = np.random.default_rng(3)
    n, d, steps = 7, 2, [1, 2, 3, 5, 30]
    g = rng.normal(size=(n, d))
    g -= g.mean(axis=0)
    H = np.array([[1.0, 0.3], [0.3, 0.5]])
    maps = reshuffled_pool.epoch(np.broadcast_to(H, (n, d, d)), g, 0.2, 2)
    mean, second = reshuffled_pool.moments(maps, steps, np.zeros(d), np.zeros((d, d)))
    _, covs = reshuffling.moments(H, g.T @ g / n, 0.2, steps, np.zeros(d), np.zeros((d, d)), 2, n)
    np.testing.assert_allclose(mean, 0.0, atol=1e-13)
    np.testing.assert_allclose(second, covs, rtol=1e-10, atol=1e-14)
    # control: batches drawn anew at each step have another covariance
    anew = lyapunov.discrete_stationary(H, (n - 2) / (n - 1) / 2 * g.T @ g / n, 0.2)
    assert np.all(np.diag(second[-1]) < 0.7 * np.diag(anew))


def test_a_pool_with_too_many_subsets_is_refused():
    A, g = pool(24, 2, 1)
    with pytest.raises(ValueError, match="too many subsets"):
        reshuffled_pool.epoch(A, g, 0.1, 3)


@pytest.mark.parametrize("eta", [1e-10, 0.1])
def test_many_epochs_of_any_step_in_50_digits(eta):
    n, d = 4, 1
    A, g = pool(n, d, 1)
    maps = reshuffled_pool.epoch(A, g, eta, 1)
    with mp.workdps(50):
        epoch = mp.matrix(4, 4)
        for order in permutations(range(n)):
            Z = mp.eye(2)
            for i in order:
                Z = mp.matrix([[1 - mp.mpf(eta) * A[i, 0, 0], -mp.mpf(eta) * g[i, 0]], [0, 1]]) * Z
            for i, a in enumerate(Z):
                epoch[2 * (i // 2) : 2 * (i // 2) + 2, 2 * (i % 2) : 2 * (i % 2) + 2] += a * Z / 24
        for epochs in (1, 10**6, 10**10):
            want = epoch**epochs * mp.matrix([2, 1, 1, 1])
            mean, second = reshuffled_pool.moments(maps, [n * epochs], [1.0], [[2.0]])
            if eta < 0.01:  # the other has forgotten its start: what is left of the mean is the rounding of sum g = 0
                assert mean[0, 0] == pytest.approx(float(want[1]), rel=1e-12)
            assert second[0, 0, 0] == pytest.approx(float(want[0]), rel=1e-12)

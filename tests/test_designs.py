"""Design covariances: exact enumeration of all mini-batches, and the registry."""

import itertools

import numpy as np
import pytest

from fastsgd import designs


def pool(n, d=3):
    g = np.random.default_rng(n).standard_normal((n, d))
    centred = g - g.mean(0)
    return g, centred.T @ centred / n


@pytest.mark.parametrize(("n", "b"), [(5, 1), (5, 2), (6, 5), (4, 4)])
def test_without_replacement_by_enumeration(n, b):
    g, S_n = pool(n)
    batch_means = np.array([g[list(chosen)].mean(0) for chosen in itertools.combinations(range(n), b)])
    centred = batch_means - g.mean(0)
    exact = centred.T @ centred / len(batch_means)
    got = designs.design_covariance("without-replacement", S_n, b, n)
    assert np.allclose(got, exact, rtol=1e-12, atol=1e-16)
    if b == n:
        assert np.all(got == 0)
    else:  # control: the factor of the other normalisation (Remark 4.2) is not it
        assert not np.allclose((1 - b / n) / b * S_n, exact, rtol=1e-3)


@pytest.mark.parametrize(("n", "b"), [(3, 1), (4, 3)])
def test_with_replacement_by_enumeration(n, b):
    g, S_n = pool(n)
    batch_means = np.array([g[list(chosen)].mean(0) for chosen in itertools.product(range(n), repeat=b)])
    centred = batch_means - g.mean(0)
    got = designs.design_covariance("with-replacement", S_n, b, n)
    assert np.allclose(got, centred.T @ centred / len(batch_means), rtol=1e-12)


def test_fresh():
    assert np.array_equal(designs.design_covariance("fresh", np.eye(2), 8), np.eye(2) / 8)


def test_registry():
    assert {"fresh", "with-replacement", "without-replacement"} <= set(designs.names())
    for name in designs.names():
        assert designs.get(name).name == name and isinstance(designs.get(name), designs.Design)
    with pytest.raises(ValueError, match="got 'without_replacement'; did you mean 'without-replacement'"):
        designs.get("without_replacement")


@pytest.mark.parametrize(
    ("name", "b", "n", "message"),
    [
        ("fresh", 0, None, "sampling.batch must be >= 1, got 0"),
        ("without-replacement", 9, 8, "sampling.batch must be <= the pool size 8, got 9"),
        ("without-replacement", 1, None, "needs a pool of data"),
        ("with-replacement", 1, 0, "pool size must be >= 1"),
    ],
)
def test_impossible_draws(name, b, n, message):
    with pytest.raises(ValueError, match=message):
        designs.design_covariance(name, np.eye(2), b, n)

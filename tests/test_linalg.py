"""Machine-independent linear algebra: residuals, hard cases, and agreement with LAPACK where that is accurate."""

import numpy as np
import pytest
from fastsgd.kernels.linalg import congruence, orthonormalise, symmetric_eigen, triangular_factor

EPS = np.finfo(float).eps


def symmetric(d, seed, low=1e-3, high=1e3):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    a = (q * np.geomspace(low, high, d)) @ q.T
    return (a + a.T) / 2


def eigen(a):
    values, rows = np.empty(len(a)), np.empty_like(a)
    assert symmetric_eigen(a, values, rows) == 0
    return values, rows


@pytest.mark.parametrize("d", [1, 2, 5, 33, 100])
def test_eigen_residuals(d):
    a = symmetric(d, d)
    values, rows = eigen(a)
    bound = 20 * d * EPS
    assert np.abs(rows @ rows.T - np.eye(d)).max() < bound
    assert np.abs(rows.T * values @ rows - a).max() < bound * np.abs(a).max()
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(a), rtol=0, atol=bound * np.abs(a).max())


def test_eigen_of_diagonal_is_untouched():
    a = np.diag([3.0, 1.0, 2.0])
    values, rows = eigen(a)
    assert values.tolist() == [3.0, 1.0, 2.0]
    assert np.array_equal(rows, np.eye(3))


def test_eigen_with_repeated_and_zero_eigenvalues():
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    a = (q * np.array([0, 0, 1, 1, 1, 2.0])) @ q.T
    a = (a + a.T) / 2
    values, rows = eigen(a)
    assert np.abs(rows.T * values @ rows - a).max() < 1e-14


@pytest.mark.parametrize("rank", [1, 3, 7, 8])
def test_triangular_factor_of_any_rank(rank):
    root = np.random.default_rng(rank).standard_normal((8, rank))
    a = root @ root.T
    out = np.empty_like(a)
    assert triangular_factor(a, out) == 0
    assert np.array_equal(out, np.tril(out))
    assert (np.diag(out) >= 0).all()
    assert np.abs(out @ out.T - a).max() < 1e-14 * np.abs(a).max() * 8


def test_triangular_factor_of_zero_and_diagonal():
    out = np.empty((3, 3))
    triangular_factor(np.zeros((3, 3)), out)
    assert not out.any()
    triangular_factor(np.diag([4.0, 9.0, 16.0]), out)
    assert np.array_equal(out, np.diag([2.0, 3.0, 4.0]))


@pytest.mark.parametrize("d", [1, 4, 60])
def test_orthonormal_rows(d):
    rows = np.random.default_rng(d).standard_normal((d, d))
    first = rows[0] / np.linalg.norm(rows[0])
    orthonormalise(rows)
    assert np.abs(rows @ rows.T - np.eye(d)).max() < 10 * d * EPS
    np.testing.assert_allclose(rows[0], first, rtol=1e-14)


def test_congruence():
    rng = np.random.default_rng(0)
    rows, a = rng.standard_normal((7, 7)), symmetric(7, 1)
    out = np.empty_like(a)
    congruence(rows, a, out)
    assert np.array_equal(out, out.T)
    np.testing.assert_allclose(out, rows @ a @ rows.T, rtol=1e-12, atol=1e-10)

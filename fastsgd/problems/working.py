"""Between original coordinates and the working ones of a kernel (eigenvectors of H), in machine-independent steps."""

from __future__ import annotations

import numpy as np

from fastsgd.problems.base import Array


def to_working(basis: Array | None, vector: Array) -> Array:
    """Coordinates float64[d] of a vector along the rows of the basis."""
    if basis is None:
        return vector.copy()
    products = basis * vector
    total = np.zeros(len(vector))
    for column in products.T:  # a fixed order of additions, unlike np.dot
        total += column
    return total


def matrix_to_working(basis: Array | None, matrix: Array) -> Array:
    """basis M basis', float64[d, d]."""
    if basis is None:
        return matrix.copy()
    from fastsgd.kernels.linalg import congruence

    out = np.empty_like(matrix)
    congruence(basis, matrix, out)
    return out


def factor(basis: Array | None, covariance: Array) -> Array:
    """Lower triangular C with C C' = the covariance in working coordinates; singular covariances are fine."""
    from fastsgd.kernels.linalg import triangular_factor

    out = np.empty_like(covariance)
    triangular_factor(matrix_to_working(basis, covariance), out)
    return out


def stationary_covariance(hessian: Array, covariance: Array, size: float) -> Array:
    """Solution S of equation (37) for mini-batch gradient covariance `covariance` and step `size` (stable).

    The closed form of `theory.lyapunov` in machine-independent arithmetic: replicates are started from it.
    """
    from fastsgd.kernels.linalg import congruence, symmetric_eigen

    values, rows, inner = np.empty(len(hessian)), np.empty_like(hessian), np.empty_like(hessian)
    symmetric_eigen(hessian, values, rows)
    congruence(rows, covariance, inner)
    decay = values[:, None] * (1.0 - 0.5 * size * values[None, :])
    inner *= size / (decay + decay.T)
    out = np.empty_like(hessian)
    congruence(np.ascontiguousarray(rows.T), inner, out)
    return out

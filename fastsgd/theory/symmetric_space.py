"""Symmetric matrices as vectors of length p = d(d+1)/2, isometric: off-diagonal entries times sqrt 2."""

from __future__ import annotations

import numpy as np

from fastsgd.theory._check import Array


def pack(M: Array) -> Array:
    """float64[..., d, d] symmetric -> float64[..., p]."""
    i, j = np.tril_indices(M.shape[-1])
    result: Array = M[..., i, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    return result


def unpack(v: Array, d: int) -> Array:
    """float64[p] -> float64[d, d]."""
    i, j = np.tril_indices(d)
    M = np.zeros((d, d))
    M[i, j] = v * np.where(i == j, 1.0, np.sqrt(0.5))
    M[j, i] = M[i, j]
    return M


def pack_outer(X: Array) -> Array:
    """Rows x -> pack(x x'), float64[n, d] -> float64[n, p]."""
    i, j = np.tril_indices(X.shape[1])
    result: Array = X[:, i] * X[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))
    return result

"""Fourth moments of a mini-batch mean drawn from a pool, exactly: the law of an estimated covariance needs them. Section 4."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check

Array = NDArray[np.float64]


def packed_products(x: ArrayLike) -> Array:
    """x x' of each row of x float64[n, d] as float64[n, d (d + 1)/2]; off-diagonal entries times sqrt 2, so that the
    Euclidean norm is the Frobenius norm."""
    rows = np.asarray(x, dtype=np.float64)
    i, j = np.triu_indices(rows.shape[1])
    return rows[:, i] * rows[:, j] * np.where(i == j, 1.0, math.sqrt(2.0))


def product_covariance(gradients: ArrayLike, batch: int, replacement: bool = False) -> Array:
    """Cov of `packed_products` of the centred mini-batch mean, float64[p, p], p = d (d + 1)/2.

    gradients: float64[n, d], one row a sample of the pool. With T the sum of the centred gradients over the batch,

        E T_i T_j T_k T_l = A sum g_i g_j g_k g_l + B (P_ij P_kl + P_ik P_jl + P_il P_jk),   P = sum g g',

    A = p1 - 7 p2 + 12 p3 - 6 p4, B = p2 - 2 p3 + p4, p_m = b (b-1) ... (b-m+1) / (n (n-1) ... (n-m+1)) without
    replacement; A = b/n, B = b (b-1)/n^2 with replacement. Needs n >= 4, and b <= n without replacement.
    """
    g = _check.array("gradients", gradients, (None, None))
    n, b = len(g), _check.count("batch", batch)
    if n < 4 or (b > n and not replacement):
        raise ValueError(f"needs a pool of at least 4 samples and batches not above it, got n = {n}, b = {b}")
    g = g - g.mean(axis=0)
    g = g - g.mean(axis=0)  # the mean of large numbers is rounded
    products = packed_products(g)
    if replacement:
        A, B = b / n, b * (b - 1) / n**2
        c = b / n
    else:
        p = [1.0]
        few = min(b, n - b)  # the sum over the rest of the pool is the same but for its sign
        for m in range(4):
            p.append(p[-1] * (few - m) / (n - m))
        A, B = p[1] - 7 * p[2] + 12 * p[3] - 6 * p[4], p[2] - 2 * p[3] + p[4]
        c = p[1] - p[2]
    P = g.T @ g
    i, j = np.triu_indices(g.shape[1])
    unit = np.where(i == j, 1.0, math.sqrt(2.0))
    flat = P[i, j] * unit
    crossed = (P[np.ix_(i, i)] * P[np.ix_(j, j)] + P[np.ix_(i, j)] * P[np.ix_(j, i)]) * np.multiply.outer(unit, unit)
    fourth = A * (products.T @ products) + B * (np.multiply.outer(flat, flat) + crossed)
    result: Array = (fourth - c * c * np.multiply.outer(flat, flat)) / float(b) ** 4
    return result

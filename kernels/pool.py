"""Sums over a whole pool, in the order of its samples: mean gradient, and means of weighted outer products.

Plain loops without reductions inside a vector, so the bits do not depend on the machine; the optimum, from which every
iterate is measured, is made of these.
"""

import numpy as np

from ._jit import inner, jit
from .vector import fma


@jit
def margins(features, theta, out):
    """out[i] = x_i'theta, fused, features in order; features float64[n, d], theta float64[d], out float64[>= n]."""
    for i in range(features.shape[0]):
        total = 0.0
        for j in range(features.shape[1]):
            total = fma(features[i, j], theta[j], total)
        out[i] = total
    return 0


@jit
def weighted_sum(features, weights, out):
    """out[j] = (1/n) sum_i weights[i] x_ij; float64[n, d], float64[>= n], float64[d]."""
    n, d = features.shape
    out[:] = 0.0
    for i in range(n):
        for j in range(d):
            out[j] += weights[i] * features[i, j]
    for j in range(d):
        out[j] /= n
    return 0


@jit
def weighted_products(features, weights, out):
    """out = (1/n) sum_i weights[i] x_i x_i'; float64[n, d], float64[>= n], float64[d, d] symmetric."""
    n, d = features.shape
    out[:] = 0.0
    for i in range(n):
        for j in range(d):
            factor = weights[i] * features[i, j]
            for k in range(j + 1):
                out[j, k] += factor * features[i, k]
    _finish(out, n)
    return 0


@jit
def scatter(features, weights, centre, out):
    """out = (1/n) sum_i c_i c_i' with c_i = weights[i] x_i - centre; float64[n, d], [>= n], [d], [d, d] symmetric."""
    n, d = features.shape
    out[:] = 0.0
    c = np.empty(d)
    for i in range(n):
        for j in range(d):
            c[j] = weights[i] * features[i, j] - centre[j]
        for j in range(d):
            for k in range(j + 1):
                out[j, k] += c[j] * c[k]
    _finish(out, n)
    return 0


@inner
def _finish(out, n):
    """Divide a lower triangle by n and mirror it."""
    for j in range(out.shape[0]):
        for k in range(j + 1):
            out[j, k] /= n
            out[k, j] = out[j, k]


@jit
def solve_positive(matrix, right, out):
    """Solve matrix out = right by Cholesky; float64[d, d], [d], [d].

    Returns 0, or 1 + the first coordinate whose pivot is below rounding (the matrix is singular to working precision).
    """
    d = matrix.shape[0]
    factor = np.zeros((d, d))
    for j in range(d):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= factor[j, k] * factor[j, k]
        if not pivot > 1e-13 * matrix[j, j]:
            return j + 1
        factor[j, j] = np.sqrt(pivot)
        for i in range(j + 1, d):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = total / factor[j, j]
    for i in range(d):
        total = right[i]
        for k in range(i):
            total -= factor[i, k] * out[k]
        out[i] = total / factor[i, i]
    for i in range(d - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, d):
            total -= factor[k, i] * out[k]
        out[i] = total / factor[i, i]
    return 0

"""Moments of the iterates over replicates, in an order that threads, shards and resumption cannot change.

Replicates are cut into fixed blocks of `BLOCK`. A block's moments (count, mean, centred second moments) are taken in two
passes over its replicates in order; blocks are joined two by two along a fixed binary tree with the update of Chan,
Golub and LeVeque (1983), which keeps the digits that naive sums lose when the mean is large.

Centred second moments are packed: the lower triangle, row by row, d (d + 1) / 2 numbers.
"""

import numpy as np

from ._jit import inner, jit
from .parallel import parallel

BLOCK = 64


@inner
def _rotate(basis, delta, out):
    """out = basis @ delta, accumulated column by column (the inner loop runs over independent sums)."""
    d = delta.shape[0]
    out[:] = 0.0
    for j in range(d):
        factor = delta[j]
        for i in range(d):
            out[i] += basis[j, i] * factor


@inner
def _measure(x, metric, scratch):
    """x' metric x, or NaN if it or a coordinate is not finite."""
    d = x.shape[0]
    scratch[:] = 0.0
    for j in range(d):
        factor = x[j]
        for i in range(d):
            scratch[i] += metric[j, i] * factor
    total = 0.0
    for i in range(d):
        total += scratch[i] * x[i]
    for i in range(d):
        if not np.isfinite(x[i]):
            return np.nan
    return total if np.isfinite(total) else np.nan


@inner
def _block_moments(x, risk, count, mean, second):
    """Count, mean and packed centred second moments of the rows of x whose risk is finite."""
    rows, d = x.shape
    n = 0
    mean[:] = 0.0
    second[:] = 0.0
    for r in range(rows):
        if np.isfinite(risk[r]):
            n += 1
            for i in range(d):
                mean[i] += x[r, i]
    count[0] = n
    if n == 0:
        return
    for i in range(d):
        mean[i] /= n
    centred = np.empty(d)
    for r in range(rows):
        if np.isfinite(risk[r]):
            for i in range(d):
                centred[i] = x[r, i] - mean[i]
            at = 0
            for i in range(d):
                factor = centred[i]
                for j in range(i + 1):
                    second[at + j] += factor * centred[j]
                at += i + 1


@parallel
def _record_blocks(block, delta, basis_rows, rotated, metric, risk, x, count, mean, second):
    replicates, dimension = delta.shape
    begin = block * BLOCK
    end = min(begin + BLOCK, replicates)
    scratch = np.empty(dimension)
    for r in range(begin, end):
        if rotated:
            _rotate(basis_rows, delta[r], x[r])
        else:
            for i in range(dimension):  # assigning a row would triple what this function takes to compile
                x[r, i] = delta[r, i]
        risk[r] = _measure(x[r], metric, scratch)
    _block_moments(x[begin:end], risk[begin:end], count[block : block + 1], mean[block], second[block])
    return np.int64(0)


def record_moments(delta, basis_rows, rotated, metric, risk, x, count, mean, second):
    """Risk and iterate of every replicate in the original coordinates, and the moments of each block of `BLOCK` of them.

    delta       float64[R, d]  iterates in working coordinates
    basis_rows  float64[d, d]  row j: the j-th working direction in the original coordinates (read only if `rotated`)
    metric      float64[d, d]  F, symmetric
    risk        float64[R]     out: x' F x, NaN where it or a coordinate is not finite; such rows stay out of moments
    x           float64[R, d]  out: iterates in the original coordinates
    count       int64[blocks], mean float64[blocks, d], second float64[blocks, d (d + 1) / 2]: out
    """
    return _record_blocks(len(count), delta, basis_rows, rotated, metric, risk, x, count, mean, second)


@jit
def join_moments(count_a, mean_a, second_a, count_b, mean_b, second_b, count, mean, second):
    """Moments of the union of two disjoint sets, for each of S steps (arrays [S], [S, d], [S, p]); out may be an input."""
    steps, d = mean_a.shape
    shift = np.empty(d)
    for s in range(steps):
        a = count_a[s]
        b = count_b[s]
        n = a + b
        count[s] = n
        if b == 0 or a == 0:
            keep_mean = mean_a if b == 0 else mean_b
            keep_second = second_a if b == 0 else second_b
            for i in range(d):
                mean[s, i] = keep_mean[s, i]
            for i in range(second.shape[1]):
                second[s, i] = keep_second[s, i]
            continue
        share = b / n
        weight = a * share
        for i in range(d):
            shift[i] = mean_b[s, i] - mean_a[s, i]
            mean[s, i] = mean_a[s, i] + shift[i] * share
        at = 0
        for i in range(d):
            factor = weight * shift[i]
            for j in range(i + 1):
                second[s, at + j] = (second_a[s, at + j] + second_b[s, at + j]) + factor * shift[j]
            at += i + 1
    return 0

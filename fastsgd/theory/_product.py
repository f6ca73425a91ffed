"""Matrix products to about 30 digits with ordinary BLAS: factors are cut into slices whose products are exact.

Ozaki, Ogita, Oishi and Rump (2012). A slice holds integers of so few bits that an inner product of any order of
summation fits in 53 bits; the slices' products are added in double-double.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _dd
from fastsgd.theory._check import Array
from fastsgd.theory._dd import Pair

SLICES = 5


def pair(matrix: Array) -> Pair:
    """float64 as a double-double."""
    return matrix, np.zeros_like(matrix)


def transpose(x: Pair) -> Pair:
    """x'."""
    return x[0].T, x[1].T


def inner(x: ArrayLike, y: ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """Sum of x y over `axis`, rounded from products and sums of 30 digits: cancellation does not show in the result."""
    hi, lo = _dd.two_product(x, y)
    axes = axis if isinstance(axis, tuple) else (axis,)
    keep = tuple(n for n in range(hi.ndim) if n not in [a % hi.ndim for a in axes])
    shape = tuple(hi.shape[n] for n in keep)
    total = _halve(
        *(
            np.moveaxis(np.transpose(part, keep + tuple(a % part.ndim for a in axes)).reshape(*shape, -1), -1, 0)
            for part in (hi, lo)
        )
    )
    result: Array = total[0] + total[1]
    return result


def _halve(hi: Array, lo: Array) -> Pair:
    """Sum along the first axis, by halves."""
    while len(hi) > 1:
        half = len(hi) // 2
        rest = hi[2 * half :], lo[2 * half :]
        hi, lo = _dd.add((hi[:half], lo[:half]), (hi[half : 2 * half], lo[half : 2 * half]))
        if len(rest[0]):
            hi, lo = np.concatenate([hi, rest[0]]), np.concatenate([lo, rest[1]])
    return (hi[0], lo[0]) if len(hi) else (np.zeros(hi.shape[1:]), np.zeros(hi.shape[1:]))


def accurate(x: ArrayLike, y: ArrayLike) -> Array:
    """x y of float64[m, k] and float64[k, n] or of pairs of them, rounded from 30 digits."""
    hi, lo = product(
        x if isinstance(x, tuple) else pair(np.asarray(x, np.float64)),
        y if isinstance(y, tuple) else pair(np.asarray(y, np.float64)),
    )
    result: Array = hi + lo
    return result


def product(x: Pair, y: Pair) -> Pair:
    """x y for pairs of float64[m, k] and float64[k, n].

    Error of an entry: about k 2^(-SLICES bits) of (largest entry of the row) (largest entry of the column).
    """
    inner = x[0].shape[1]
    bits = (51 - int(np.ceil(np.log2(max(inner, 2))))) // 2  # two bits spare: up to four products are added exactly
    rows, row_scale = _slices(x, bits)
    columns, column_scale = _slices(transpose(y), bits)
    total = pair(np.zeros((x[0].shape[0], y[0].shape[1])))
    for level in range(SLICES - 1, -1, -1):  # smallest terms first
        pairs = [(p, level - p) for p in range(level + 1) if p < len(rows) and level - p < len(columns)]
        for block in range(0, len(pairs), 4):
            terms = [rows[p] @ columns[q].T for p, q in pairs[block : block + 4]]
            exact = terms[0] if len(terms) == 1 else np.sum(terms, axis=0)
            total = _dd.add(total, pair(np.ldexp(exact, -bits * level)))
    exponent = np.add.outer(row_scale, column_scale) - 2 * bits
    return np.ldexp(total[0], exponent), np.ldexp(total[1], exponent)


def _slices(x: Pair, bits: int) -> tuple[list[Array], np.ndarray]:
    """Integers I_p with x = 2^(e - bits) sum_p 2^(-bits p) I_p row by row, and the exponents e, int[m]."""
    hi, lo = x
    _, exponent = np.frexp(np.max(np.abs(hi), axis=1))
    shift = (bits - exponent)[:, None]
    hi, lo = np.ldexp(hi, shift), np.ldexp(lo, shift)
    slices: list[Array] = []
    while len(slices) < SLICES and (not slices or np.any(hi)):
        top = np.rint(hi)
        slices.append(top)
        hi, lo = _dd.two_sum(hi - top, lo)
        hi, lo = np.ldexp(hi, bits), np.ldexp(lo, bits)
    return slices, exponent

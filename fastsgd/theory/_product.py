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
    total = halved(
        *(
            np.moveaxis(np.transpose(part, keep + tuple(a % part.ndim for a in axes)).reshape(*shape, -1), -1, 0)
            for part in (hi, lo)
        )
    )
    result: Array = total[0] + total[1]
    return result


def quadratic_forms(x: Array, matrix: Array) -> Array:
    """x' M x of each row of x float64[n, d], float64[n], rounded from 30 digits."""
    rows = pair(x)
    total = halved(*(part.T for part in _dd.multiply(product(rows, pair(matrix)), rows)))
    result: Array = total[0] + total[1]
    return result


def halved(hi: Array, lo: Array) -> Pair:
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


def slice_bits(inner: int) -> int:
    """Bits of a slice for inner products of this length; two spare, so that up to four products are added exactly."""
    return (51 - int(np.ceil(np.log2(max(inner, 2))))) // 2


def product(x: Pair, y: Pair, slices: int = SLICES) -> Pair:
    """x y for pairs of float64[m, k] and float64[k, n].

    Error of an entry: about k 2^(-slices bits) of (largest entry of the row) (largest entry of the column).
    """
    bits = slice_bits(x[0].shape[1])
    rows, row_scale = _slices(x, bits, slices)
    columns, column_scale = _slices(transpose(y), bits, slices)
    total = pair(np.zeros((x[0].shape[0], y[0].shape[1])))
    for level in range(slices - 1, -1, -1):  # smallest terms first
        pairs = [(p, level - p) for p in range(level + 1) if p < len(rows) and level - p < len(columns)]
        for block in range(0, len(pairs), 4):
            terms = [rows[p] @ columns[q].T for p, q in pairs[block : block + 4]]
            total = _add_level(total, terms, bits * level)
    return _scaled(total, np.add.outer(row_scale, column_scale) - 2 * bits)


def gram(x: Pair, slices: int = SLICES) -> Pair:
    """x' x, as `product` to rounding, with half the multiplications."""
    bits = slice_bits(x[0].shape[0])
    columns, scale = _slices(transpose(x), bits, slices)
    total = pair(np.zeros((x[0].shape[1],) * 2))
    for level in range(slices - 1, -1, -1):
        terms = []
        for p in range(max(0, level - len(columns) + 1), level // 2 + 1):
            term = columns[p] @ columns[level - p].T
            terms.append(term if 2 * p == level else term + term.T)
        for block in range(0, len(terms), 2):
            total = _add_level(total, terms[block : block + 2], bits * level)
    return _scaled(total, np.add.outer(scale, scale) - 2 * bits)


def _add_level(total: Pair, terms: list[Array], shift: int) -> Pair:
    exact = terms[0]
    for term in terms[1:]:
        exact = exact + term
    return _dd.add(total, pair(exact * 0.5**shift))


def _scaled(total: Pair, exponent: np.ndarray) -> Pair:
    return np.ldexp(total[0], exponent), np.ldexp(total[1], exponent)


def _slices(x: Pair, bits: int, count: int) -> tuple[list[Array], np.ndarray]:
    """Integers I_p with x = 2^(e - bits) sum_p 2^(-bits p) I_p row by row, at most `count`, and the exponents e, int[m]."""
    hi, lo = np.ascontiguousarray(x[0]), np.ascontiguousarray(x[1])
    _, exponent = np.frexp(np.max(np.abs(hi), axis=1))
    shift = (bits - exponent)[:, None]
    hi, lo = np.ldexp(hi, shift), np.ldexp(lo, shift)
    slices: list[Array] = []
    while len(slices) < count and (not slices or np.any(hi)):
        top = np.rint(hi)
        slices.append(top)
        hi, lo = _dd.two_sum(hi - top, lo)
        hi, lo = hi * 2.0**bits, lo * 2.0**bits
    return slices, exponent

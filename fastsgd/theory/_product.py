"""Matrix products to about 30 digits with ordinary BLAS: factors are cut into slices whose products are exact.

Ozaki, Ogita, Oishi and Rump (2012). A slice holds integers of so few bits that an inner product of any order of
summation fits in 53 bits; the slices' products are added in double-double.
"""

from __future__ import annotations

import numpy as np

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

"""The eigenbasis of a symmetric matrix, in which every recursion of the theory is elementwise.

An eigenvalue from LAPACK is off by a rounding of the largest one: with condition number 1e10 the smallest keeps six
digits, and 2 - eta l at the edge of stability as few. So eigenpairs are refined to double-double, where they are those
of the given matrix to more than double precision whatever its condition.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _product
from fastsgd.theory._check import Array
from fastsgd.theory._dd import Pair
from fastsgd.theory.refine import refine


@dataclass(frozen=True, eq=False)
class Eigenbasis:
    """H = V diag(l) V' of a symmetric H.

    Attributes:
        values: l, float64[d], ascending for a dense H, in coordinate order for a diagonal one.
        correction: float64[d], low part: l is values + correction to more than double precision.
        vectors: V, float64[d, d], eigenvectors in columns; None for a diagonal H, where V = I.
        vectors_correction: float64[d, d], low part of V.
    """

    values: Array
    correction: Array
    vectors: Array | None = None
    vectors_correction: Array | None = field(default=None, repr=False)

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.values.size)

    def into(self, matrix: Array) -> Array:
        """V' M V of a symmetric M, float64[d, d], each entry rounded from a product of 30 digits."""
        if self.vectors is None:
            return matrix
        hi, lo = self.into_pair(matrix)
        return symmetrise(hi + lo)

    def into_pair(self, matrix: Array | Pair) -> Pair:
        """V' M V as hi + lo, of M float64[d, d] or such a pair."""
        M = matrix if isinstance(matrix, tuple) else _product.pair(matrix)
        if self.vectors is None:
            return M
        V = self.pair()
        return _product.product(_product.transpose(V), _product.product(M, V))

    def into_stack(self, matrices: Array) -> Array:
        """V' M V of symmetric M, float64[S, d, d], in double precision."""
        if self.vectors is None:
            return matrices
        return symmetrise(self.vectors.T @ matrices @ self.vectors)

    def back(self, matrix: Array) -> Array:
        """V M V' of a symmetric M, float64[..., d, d], to rounding of its largest entry."""
        if self.vectors is None:
            return symmetrise(matrix)
        return symmetrise(self.vectors @ matrix @ self.vectors.T)

    def into_vector(self, vector: Array) -> Array:
        """V' m, float64[..., d], rounded from a product of 30 digits."""
        if self.vectors is None:
            return vector
        return _product.accurate(vector.reshape(-1, self.dimension), self.pair()).reshape(vector.shape)

    def back_vector(self, vector: Array) -> Array:
        """V m, float64[..., d]."""
        return vector if self.vectors is None else vector @ self.vectors.T

    def pair(self) -> Pair:
        """V as hi + lo, of a dense H."""
        assert self.vectors is not None and self.vectors_correction is not None
        return self.vectors, self.vectors_correction


def symmetrise(matrix: Array) -> Array:
    """(M + M')/2 over the last two axes."""
    result: Array = 0.5 * (matrix + np.swapaxes(matrix, -1, -2))
    return result


def of_pair(matrix: Pair) -> Eigenbasis:
    """Eigenbasis of a symmetric hi + lo, float64[d, d] each, which is known to more than double precision."""
    values, vectors = refine(matrix)
    return Eigenbasis(*values, *vectors)


_recent: OrderedDict[bytes, Eigenbasis] = OrderedDict()


def eigenbasis(H: ArrayLike | Eigenbasis, name: str = "H") -> Eigenbasis:
    """Eigenbasis of a symmetric H, float64[d, d]; an Eigenbasis is returned as it is.

    A diagonal H keeps its own entries as eigenvalues, exactly. The last four dense matrices are remembered.

    Raises:
        ValueError: H is not square, symmetric and finite.
    """
    if isinstance(H, Eigenbasis):
        return H
    matrix = _check.symmetric(name, H)
    diagonal = np.diagonal(matrix).copy()
    if np.count_nonzero(matrix) == np.count_nonzero(diagonal):
        return Eigenbasis(diagonal, np.zeros_like(diagonal))
    key = hashlib.blake2b(np.ascontiguousarray(matrix).tobytes()).digest()
    found = _recent.get(key)
    if found is None:
        values, vectors = refine(matrix)
        found = Eigenbasis(*values, *vectors)
        for part in (*values, *vectors):
            part.setflags(write=False)
        _recent[key] = found
        while len(_recent) > 4:
            _recent.popitem(last=False)
    return found

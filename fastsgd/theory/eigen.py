"""The eigenbasis of a symmetric matrix, in which every recursion of the theory is elementwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array


@dataclass(frozen=True)
class Eigenbasis:
    """H = V diag(l) V' of a symmetric H.

    Attributes:
        values: l, float64[d], ascending for a dense H, in coordinate order for a diagonal one.
        correction: float64[d], low part: l is values + correction to more than double precision.
        vectors: V, float64[d, d], eigenvectors in columns; None for a diagonal H, where V = I.
    """

    values: Array
    correction: Array
    vectors: Array | None

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.values.size)

    def into(self, matrix: Array) -> Array:
        """V' M V of a symmetric M, float64[..., d, d]."""
        if self.vectors is None:
            return matrix
        return symmetrise(self.vectors.T @ matrix @ self.vectors)

    def back(self, matrix: Array) -> Array:
        """V M V' of a symmetric M, float64[..., d, d]."""
        if self.vectors is None:
            return symmetrise(matrix)
        return symmetrise(self.vectors @ matrix @ self.vectors.T)

    def into_vector(self, vector: Array) -> Array:
        """V' m, float64[..., d]."""
        return vector if self.vectors is None else vector @ self.vectors

    def back_vector(self, vector: Array) -> Array:
        """V m, float64[..., d]."""
        return vector if self.vectors is None else vector @ self.vectors.T


def symmetrise(matrix: Array) -> Array:
    """(M + M')/2 over the last two axes."""
    result: Array = 0.5 * (matrix + np.swapaxes(matrix, -1, -2))
    return result


def eigenbasis(H: ArrayLike | Eigenbasis, name: str = "H") -> Eigenbasis:
    """Eigenbasis of a symmetric H, float64[d, d]; an Eigenbasis is returned as it is.

    A diagonal H keeps its own entries as eigenvalues, exactly.

    Raises:
        ValueError: H is not square, symmetric and finite.
    """
    if isinstance(H, Eigenbasis):
        return H
    matrix = _check.symmetric(name, H)
    diagonal = np.diagonal(matrix).copy()
    if np.count_nonzero(matrix) == np.count_nonzero(diagonal):
        return Eigenbasis(diagonal, np.zeros_like(diagonal), None)
    values, vectors = np.linalg.eigh(matrix)
    return Eigenbasis(values, np.zeros_like(values), vectors)

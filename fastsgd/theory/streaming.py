"""A covariance from a stream of vectors in memory O(r d): its leading directions with a certified error. Section 9.4.

Frequent Directions (Liberty 2013; Ghashami, Liberty, Phillips and Woodruff 2016): a sketch B of l rows with

    0 <= A'A - B'B <= shrinkage I,    shrinkage <= |A - A_k|_F^2 / (l - k) for every k < l,

whatever the order of the rows of A. Sketches of parts of a stream merge into one of the whole with the same bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array


@dataclass(frozen=True)
class LowRank:
    """G ~ U diag(values) U' + diag(rest), G = (1/n) sum g g' of the stream.

    Attributes:
        vectors: U, float64[d, r], orthonormal columns; values: float64[r], descending, the sketch of the leading part.
        diagonal: float64[d], diagonal of G, exact; trace: of G, exact.
        rest: float64[d], >= 0: what of the diagonal the leading part leaves.
        error_bound: 0 <= G - U diag(values) U' <= error_bound in operator norm, certified.
        count: n.
    """

    vectors: Array
    values: Array
    diagonal: Array
    error_bound: float
    count: int

    @property
    def trace(self) -> float:
        """tr G."""
        return float(np.sum(self.diagonal))

    @property
    def captured(self) -> float:
        """Share of the trace in the leading part, 0 to 1."""
        return float(np.sum(self.values)) / self.trace if self.trace > 0.0 else 0.0

    @property
    def rest(self) -> Array:
        """Diagonal of G less that of the leading part."""
        result: Array = np.maximum(self.diagonal - np.sum(self.vectors**2 * self.values, axis=1), 0.0)
        return result

    def dense(self, diagonal: bool = False) -> Array:
        """The leading part as float64[d, d], with `diagonal` also the rest of the diagonal."""
        matrix = (self.vectors * self.values) @ self.vectors.T
        result: Array = matrix + np.diag(self.rest) if diagonal else matrix
        return result


class FrequentDirections:
    """Sketch of a stream of vectors float64[d], of rank r.

    Holds 2 l rows, l = 2 r (so that the shrinkage is at most |A - A_r|_F^2 / r) or d if that is less, in which case
    nothing is lost; O(l d) time a vector. `error_bound` is up to rounding, about 1e-15 tr(G) sqrt(n / l).
    """

    def __init__(self, dimension: int, rank: int):
        d, r = _check.count("dimension", dimension), _check.count("rank", rank)
        self.dimension, self.rank = d, min(r, d)
        self.size = min(2 * self.rank, d)
        self.count = 0
        self.shrinkage = 0.0
        self.squares = np.zeros(d)
        self._sketch = np.zeros((0, d))

    def update(self, rows: ArrayLike) -> FrequentDirections:
        """Take in vectors float64[m, d]; returns the sketch."""
        new = _check.array("rows", rows, (None, self.dimension))
        self.count += new.shape[0]
        self.squares += np.sum(new * new, axis=0)
        for start in range(0, new.shape[0], 2 * self.size):
            self._add(new[start : start + 2 * self.size])
        return self

    def merge(self, other: FrequentDirections) -> FrequentDirections:
        """Take in the sketch of another part of the stream (same dimension and rank); returns this one."""
        if (other.dimension, other.rank) != (self.dimension, self.rank):
            raise ValueError(
                f"sketches must have one dimension and rank, got {(self.dimension, self.rank)} and "
                f"{(other.dimension, other.rank)}"
            )
        self.count += other.count
        self.squares += other.squares
        self.shrinkage += other.shrinkage
        self._add(other._sketch)
        return self

    def covariance(self) -> LowRank:
        """Leading directions of (1/n) sum g g' so far."""
        if self.count == 0:
            raise ValueError("the stream must have at least one vector before its covariance is asked for")
        _, s, Vt = np.linalg.svd(self._sketch, full_matrices=False)
        r, n = self.rank, self.count
        left = float(s[r] ** 2) if s.size > r else 0.0
        return LowRank(Vt[:r].T, s[:r] ** 2 / n, self.squares / n, (self.shrinkage + left) / n, n)

    def _add(self, rows: Array) -> None:
        self._sketch = np.concatenate([self._sketch, rows])
        if self._sketch.shape[0] <= 2 * self.size:
            return
        _, s, Vt = np.linalg.svd(self._sketch, full_matrices=False)
        squares = s * s
        cut = float(squares[self.size]) if squares.size > self.size else 0.0
        self.shrinkage += cut
        self._sketch = np.sqrt(np.maximum(squares[: self.size] - cut, 0.0))[:, None] * Vt[: self.size]

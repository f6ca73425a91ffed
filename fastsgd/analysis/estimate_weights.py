"""Rows that do not count alike: a column of sampling weights, or of how many equal rows a row stands for.

Sampling (probability) weights w, of any scale, as `sample_weight` of scikit-learn, `var_weights` of statsmodels and `pweight`
of Stata: the objective is (1/W) sum w_i l_i, W = sum w_i, the gradient of row i of n is (n w_i/W) g_i, and the robust
covariance H^-1 (sum w_i^2 g_i g_i') H^-1 / W^2. Counts c, as `freq_weights` of statsmodels and `fweight` of Stata: every number
is that of the table of sum c_i rows in which row i stands c_i times. Rows of weight 0 are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import InputError
from fastsgd.spec.chunks import Table
from fastsgd.spec.table import choose

Array = NDArray[np.float64]

SAMPLING, COUNTS = "sampling weights", "counts"


@dataclass(frozen=True)
class Weights:
    """How the rows of a table count.

    Attributes:
        column: of the table, or None: all rows alike. kind: `SAMPLING` or `COUNTS`.
        rows: n of the objective: rows of a weight above 0, or the sum of the counts. lines: rows of a weight above 0.
        total: sum of the weights. effective: Kish's n, (sum w)^2 / sum w^2; of counts n.
    """

    column: str | None
    kind: str
    rows: int
    lines: int
    total: float
    effective: float

    def factors(self, w: Array) -> tuple[Array, Array]:
        """(a, c) float64[m] each: a row's gradient is a g, and stands c times, c summing to n."""
        one = np.ones_like(w)
        return (one, w) if self.kind == COUNTS else (w * (self.rows / self.total), one)


@dataclass(frozen=True)
class Weighed:
    """A table with its weights: chunks (features float64[m, p], target float64[m], weights float64[m] > 0)."""

    table: Table
    names: list[str]
    place: int | None

    @classmethod
    def of(cls, table: Table, path: Path, column: str | None) -> Weighed:
        """Raises InputError where there is no such column, or none beside it."""
        if column is None:
            return cls(table, list(table.names), None)
        choose(path, column, table.names, "column", "for the weights")
        place = table.names.index(column)
        names = table.names[:place] + table.names[place + 1 :]
        if not names:
            raise InputError(f'{path} has no feature beside the weights "{column}"; give at least one')
        return cls(table, names, place)

    def every(self) -> Iterator[tuple[Array, Array, Array]]:
        """Rows of weight 0 too."""
        for X, y in self.table:
            if self.place is None:
                yield X, y, np.ones(len(y))
            else:
                yield np.delete(X, self.place, axis=1), y, X[:, self.place].copy()

    def __iter__(self) -> Iterator[tuple[Array, Array, Array]]:
        for X, y, w in self.every():
            inside = w > 0
            yield (X, y, w) if inside.all() else (X[inside], y[inside], w[inside])


def alike(n: int) -> Weights:
    """Of n rows that count alike."""
    return Weights(None, SAMPLING, n, n, float(n), float(n))


def weights_of(table: Weighed, path: Path, kind: str) -> Weights | None:
    """One pass over the weights; None, and no pass, where there are none.

    Raises:
        InputError: a weight below 0, a count that is not whole, or weights that are all 0.
    """
    if table.place is None:
        return None
    column = table.table.names[table.place]
    n, lines, total, squares, wrong, first = 0, 0, 0.0, 0.0, 0, ""
    for X, _ in table.table:
        w = X[:, table.place]
        bad = w < 0 if kind == SAMPLING else (w < 0) | (w != np.floor(w)) | (w > 2.0**53)
        if bad.any():
            row = int(np.argmax(bad))
            first = first or f"{w[row]:.6g} in row {n + row + 1}"
            wrong += int(bad.sum())
        n += len(w)
        lines += int(np.count_nonzero(w > 0))
        total += float(np.sum(w))
        squares += float(np.sum(w * w))
    rule = "weights must be >= 0" if kind == SAMPLING else "counts must be whole numbers >= 0"
    if wrong:
        remedy = (
            "give a weight of 0 to rows that do not count"
            if kind == SAMPLING
            else "give weights of any size as weights"
        )
        raise InputError(f'{path}: {rule} in column "{column}", got {first} ({wrong} such rows); {remedy}')
    if not 0.0 < total < np.inf or not 0.0 < squares < np.inf:
        raise InputError(f'{path}: {rule} and of some size in column "{column}", got a sum of {total:.6g}')
    if kind == COUNTS:
        return Weights(column, kind, int(total), lines, total, total)
    return Weights(column, kind, lines, lines, total, total * total / squares)

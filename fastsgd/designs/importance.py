"""Importance sampling: independent draws with unequal chances, weighted back (Hansen and Hurwitz, 1943)."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.designs.base import PoolDesign, batch_problems, pool_problems
from fastsgd.designs.draws import Draws
from fastsgd.designs.form import Form

if TYPE_CHECKING:
    from fastsgd.designs.pool import Pool

Array = NDArray[np.float64]
UNIFORM = 0.1
"""Share of uniform draws mixed into "norm" and "gradient" when `uniform` is left out."""


class Importance(PoolDesign):
    """Cov = (1/b) [ (1/n^2) sum g_i g_i' / p_i - gmean gmean' ]; the estimate is (1/b) sum g_i / (n p_i).

    `probabilities`: "norm" (of the features of a sample), "gradient" (its norm at the optimum of the pool: the least
    tr Cov there), { column } or { file }, to which p_i is proportional; `uniform` u mixes in equal chances,
    p = (1 - u) q + u/n, which bounds the weights by 1/(b u) (default 0.1 for the two words, else 0).
    """

    name = "importance"
    needs = ("probabilities",)
    takes = ("uniform",)

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """batch >= 1 and a pool."""
        return batch_problems(batch) + pool_problems(self.name, pool_size)

    def form(self, pool: Pool, sampling: Any) -> Form:
        p, b, n = self.chances(pool, sampling), sampling.batch, pool.size
        return Form(1.0 / (b * n * p), np.zeros(n, np.int64), np.array([1.0 / b]))

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        p, b, n = self.chances(pool, sampling), sampling.batch, pool.size
        return Draws("importance", n, b, b, weights=1.0 / (b * n * p), probabilities=p)

    def chances(self, pool: Pool, sampling: Any) -> Array:
        """p float64[n] > 0, sum 1."""
        wanted, u = sampling.probabilities, share(sampling)
        if isinstance(wanted, str):
            q = _norms(pool.features if wanted == "norm" else pool.gradients)
        else:
            q = _named(pool, wanted)
        if not (np.isfinite(q).all() and q.min() >= 0.0):
            row = int(np.argmax(~(q >= 0.0)))
            raise ValueError(f"sampling.probabilities must not be negative, got {q[row]:.6g} in row {row + 1}; mend it")
        total = fsum(q)
        if not total > 0.0:
            raise ValueError("sampling.probabilities must be above 0 somewhere, got zeros only; give others")
        p: Array = (1.0 - u) * (q / total) + u / pool.size
        if p.min() <= 0.0:
            row = int(np.argmin(p))
            raise ValueError(
                f"sampling.probabilities must be above 0, got 0 in row {row + 1}, which would never be drawn; "
                "give sampling.uniform = 0.1 to mix in equal chances"
            )
        return p


def share(sampling: Any) -> float:
    """`uniform`, or its default."""
    if sampling.uniform is not None:
        return float(sampling.uniform)
    return UNIFORM if isinstance(sampling.probabilities, str) else 0.0


def _norms(rows: Array) -> Array:
    """Euclidean norms float64[n], added column by column: the same bits on every machine."""
    total = np.zeros(len(rows))
    for column in rows.T:
        total = total + column * column
    return np.asarray(np.sqrt(total))


def _named(pool: Pool, wanted: Any) -> Array:
    if wanted.file is not None:
        values = pool.array(wanted.file)
        if values.shape != (pool.size,):
            raise ValueError(
                f"sampling.probabilities.file must have one number for each of the {pool.size} samples, got shape "
                f"{list(values.shape)}; save an array of that length"
            )
        return values
    try:
        return pool.column(wanted.column)
    except ValueError as error:
        raise ValueError(f"sampling.probabilities.column {error}") from None


design = Importance()

"""Bernoulli (Poisson) sampling: each sample of the pool enters by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastsgd.designs.base import PoolDesign
from fastsgd.designs.draws import Draws, binomial
from fastsgd.designs.form import Form

if TYPE_CHECKING:
    from fastsgd.designs.pool import Pool


class Bernoulli(PoolDesign):
    """Each sample enters with chance p = b/n: Cov = (1 - p)/b (1/n) sum g_i g_i', not centred; Horvitz-Thompson.

    The estimate is (1/b) sum_drawn g_i; the size of a batch is random with mean b, and may be 0. Because the size is
    random, a gradient common to all samples has variance too: with a ridge the mean gradient at the optimum is not 0.
    """

    name = "bernoulli"

    def form(self, pool: Pool, sampling: Any) -> Form:
        n, b = pool.size, sampling.batch
        return Form(np.full(n, (1.0 - b / n) / b), np.zeros(n, np.int64), np.zeros(1))

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        chances, lowest = binomial(pool.size, sampling.batch)
        return Draws(
            "bernoulli", pool.size, sampling.batch, lowest + len(chances) - 1, chances=chances, lowest=lowest
        )  # fmt: skip


design = Bernoulli()

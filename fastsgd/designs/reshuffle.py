"""Epoch reshuffling: a new random permutation of the pool each epoch, cut into batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastsgd.designs.draws import Draws
from fastsgd.designs.without_replacement import WithoutReplacement

if TYPE_CHECKING:
    from fastsgd.designs.pool import Pool


class Reshuffle(WithoutReplacement):
    """An epoch is floor(n/b) steps; the n mod b samples at the end of a permutation are left out in that epoch.

    Exact for gradients at a fixed point: each step has the covariance of sampling without replacement, two steps of one
    epoch have Cov = -S_n/(n-1), steps of different epochs are independent. For a linear recursion with additive noise
    `theory.reshuffling` has the exact covariance at every step. SGD on other pools has no closed form: products of the
    batches of one permutation do not factor, and its deviation from additive noise does not vanish with the step size.
    """

    name = "reshuffle"
    independent = False

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        return Draws("reshuffle", pool.size, sampling.batch, sampling.batch)


design = Reshuffle()

"""Stratified sampling without replacement, proportional or Neyman allocation."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.designs.base import PoolDesign
from fastsgd.designs.draws import Draws
from fastsgd.designs.form import Form

if TYPE_CHECKING:
    from fastsgd.designs.pool import Pool

Labels = NDArray[np.int64]


class Stratified(PoolDesign):
    """Cov = sum_h W_h^2 (1 - f_h) S_h / n_h, S_h with 1/(N_h - 1), W_h = N_h/n, f_h = n_h/N_h.

    `strata`: "target" (its values), { column, groups } (values of a column, or that many groups of about equal size in
    its order) or { file } (a label for each sample). `allocation`: "proportional" (to N_h), "neyman" (to N_h s_h with
    s_h^2 = tr(F S_h) at the optimum: the smallest tr(F Cov) up to rounding), or n_h for each stratum in the order of its
    labels; at least 1 and at most N_h each, b in all.
    """

    name = "stratified"
    needs = ("strata",)
    takes = ("allocation",)

    def form(self, pool: Pool, sampling: Any) -> Form:
        labels, given = self.allocate(pool, sampling)
        sizes = np.bincount(labels)
        # N_h = 1 has n_h = 1 and no variance.
        centres = (sizes / pool.size) ** 2 * (1.0 - given / sizes) / given * sizes / np.maximum(sizes - 1, 1)
        return Form((centres * pool.size / sizes)[labels], labels, centres)

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        labels, given = self.allocate(pool, sampling)
        sizes = np.bincount(labels)
        return Draws(
            "stratified",
            pool.size,
            sampling.batch,
            sampling.batch,
            members=np.argsort(labels, kind="stable").astype(np.uint32),
            starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64),
            allocation=given.astype(np.uint64),
            weights=sizes / (pool.size * given.astype(np.float64)),
        )

    def allocate(self, pool: Pool, sampling: Any) -> tuple[Labels, NDArray[np.int64]]:
        """Stratum of each sample int64[n], 0 ... H - 1, and n_h int64[H]."""
        from fastsgd.theory.sampling import neyman_allocation, proportional_allocation

        labels, batch, wanted = _labels(pool, sampling.strata), sampling.batch, sampling.allocation
        sizes = np.bincount(labels)
        if isinstance(wanted, tuple | list):
            return labels, _given(wanted, sizes, batch)
        if batch < len(sizes):
            raise ValueError(
                f"sampling.batch must be at least the {len(sizes)} strata that sampling.strata gives (one sample each), "
                f"got {batch}; draw more samples a step, or make fewer strata: {{ column = NAME, groups = {batch} }}"
            )
        if batch > pool.size:
            raise ValueError(f"sampling.batch must be <= the pool size {pool.size}, got {batch}; draw fewer samples")
        if wanted == "neyman":
            return labels, neyman_allocation(sizes, _spreads(pool, labels, sizes), batch)
        return labels, proportional_allocation(sizes, batch)


def _given(wanted: tuple[int, ...] | list[int], sizes: Labels, batch: int) -> NDArray[np.int64]:
    if len(wanted) != len(sizes):
        raise ValueError(
            f"sampling.allocation must have one size for each of the {len(sizes)} strata, got {len(wanted)}; "
            'give as many, or "proportional"'
        )
    for h, (one, most) in enumerate(zip(wanted, sizes, strict=True)):
        if not 1 <= one <= most:
            raise ValueError(
                f"sampling.allocation must be from 1 to the size of its stratum, got {one} for stratum {h} of {most} "
                "samples; draw as many as it has or fewer"
            )
    if sum(wanted) != batch:
        raise ValueError(f"sampling.allocation must add up to sampling.batch = {batch}, got {sum(wanted)}; change one")
    return np.asarray(wanted, dtype=np.int64)


def _labels(pool: Pool, strata: Any) -> Labels:
    """Stratum of each sample, numbered in the order of its values."""
    if strata == "target":
        if pool.targets is None:
            raise ValueError('sampling.strata = "target" needs samples with a target, got none; give { column = NAME }')
        values = pool.targets
    elif strata.file is not None:
        values = pool.array(strata.file)
        if values.shape != (pool.size,):
            raise ValueError(
                f"sampling.strata.file must have one label for each of the {pool.size} samples, got shape "
                f"{list(values.shape)}; save an array of that length"
            )
    else:
        try:
            values = pool.column(strata.column)
        except ValueError as error:
            raise ValueError(f"sampling.strata.column {error}") from None
        if strata.groups is not None:
            if strata.groups > pool.size:
                raise ValueError(
                    f"sampling.strata.groups must be <= the pool size {pool.size}, got {strata.groups}; make fewer"
                )
            ranks = np.empty(pool.size, np.int64)
            ranks[np.argsort(values, kind="stable")] = np.arange(pool.size)
            return ranks * strata.groups // pool.size
    labels: Labels = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return labels


def _spreads(pool: Pool, labels: Labels, sizes: Labels) -> NDArray[np.float64]:
    """sqrt(tr(F S_h)), float64[H]; sums are exactly rounded, so that every machine allocates alike."""
    g, metric, found = pool.gradients, pool.metric, np.zeros(len(sizes))
    for h, size in enumerate(sizes):
        rows = g[labels == h]
        u = np.stack([column - fsum(column) / size for column in rows.T])
        forms = np.zeros(size)
        for i in range(len(u)):
            for j in range(len(u)):
                forms = forms + metric[i, j] * (u[i] * u[j])
        found[h] = np.sqrt(max(fsum(forms), 0.0) / max(size - 1, 1))
    return found


design = Stratified()

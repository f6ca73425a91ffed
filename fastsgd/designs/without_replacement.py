"""Simple random sampling without replacement from a fixed pool, drawn anew at every step."""

from __future__ import annotations

from fastsgd.designs.base import PoolDesign


class WithoutReplacement(PoolDesign):
    """Each of the C(n, b) subsets with equal chance: Cov = (1/b) (n-b)/(n-1) S_n, S_n with 1/n. Lemma 4.1."""

    name = kernel = "without-replacement"

    def factor(self, batch: int, pool_size: int | None) -> float:
        """(n-b)/((n-1) b), relative to S_n with the normalisation 1/n (Remark 4.2); exactly 0 for b = n."""
        assert pool_size is not None
        return 0.0 if batch == pool_size else (pool_size - batch) / ((pool_size - 1) * batch)


design = WithoutReplacement()

"""Independent draws with replacement from a fixed pool."""

from __future__ import annotations

from fastsgd.designs.base import PoolDesign, batch_problems, pool_problems


class WithReplacement(PoolDesign):
    """b independent uniform draws from the pool: Cov = S_n/b, S_n with 1/n. Section 4."""

    name = kernel = "with-replacement"

    def factor(self, batch: int, pool_size: int | None) -> float:
        """1/b, relative to S_n with the normalisation 1/n."""
        return 1.0 / batch

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """batch >= 1 and a pool."""
        return batch_problems(batch) + pool_problems(self.name, pool_size)


design = WithReplacement()

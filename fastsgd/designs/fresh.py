"""Fresh independent data at every step."""

from __future__ import annotations

from fastsgd.designs.base import batch_problems


class Fresh:
    """b new independent samples a step: Cov = G/b exactly. Theorem 4.3."""

    name = "fresh"
    pooled = False
    independent = True
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()

    def factor(self, batch: int, pool_size: int | None = None) -> float:
        """1/b, relative to G."""
        return 1.0 / batch

    def problems(self, batch: int, pool_size: int | None = None) -> list[str]:
        """batch >= 1."""
        return batch_problems(batch)


design = Fresh()

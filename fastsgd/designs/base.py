"""What a sampling design is: how a mini-batch is drawn, and the exact covariance that this gives."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray


@runtime_checkable
class Design(Protocol):
    """A design is a class without state; one file each, found by its `name`.

    Attributes:
        name: the word in `sampling.design` of a spec.
        pooled: True when samples come from a fixed pool of n, whose covariance S_n has the normalisation 1/n.
    """

    name: str
    pooled: bool

    def factor(self, batch: int, pool_size: int | None) -> float:
        """f such that Cov(mean gradient of one mini-batch) = f M, M = G (fresh) or S_n with 1/n (pooled)."""
        ...

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """One line for each impossible argument; empty when all is well."""
        ...


def scaled(design: Design, moment: ArrayLike, batch: int, pool_size: int | None) -> NDArray[np.float64]:
    """f M, float64[d, d], after the design's own checks."""
    wrong = design.problems(batch, pool_size)
    if wrong:
        raise ValueError("; ".join(wrong))
    return design.factor(batch, pool_size) * np.asarray(moment, dtype=np.float64)


def batch_problems(batch: int) -> list[str]:
    """Checks shared by all designs."""
    return [] if batch >= 1 else [f"sampling.batch must be >= 1, got {batch}"]


def pool_problems(name: str, pool_size: int | None) -> list[str]:
    """Checks shared by all designs on a pool."""
    if pool_size is None:
        return [f"design {name!r} needs a pool of data, got a problem without one; use design 'fresh'"]
    return [] if pool_size >= 1 else [f"pool size must be >= 1, got {pool_size}"]

"""What a sampling design is: how a mini-batch is drawn, and the exact covariance that this gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.designs.form import Form

if TYPE_CHECKING:
    from fastsgd.designs.draws import Draws
    from fastsgd.designs.pool import Pool

Array = NDArray[np.float64]


@runtime_checkable
class Design(Protocol):
    """A design is a class without state; one file each, found by its `name`. `PoolDesign` has the defaults.

    Attributes:
        name: the word in `sampling.design` of a spec.
        pooled: True when samples come from a fixed pool of n, whose covariance S_n has the normalisation 1/n.
        independent: True when every step draws anew, whatever was drawn before.
        needs, takes: keys of [sampling] beside design and batch that must, and that may, be given.
    """

    name: str
    pooled: bool
    independent: bool
    needs: tuple[str, ...]
    takes: tuple[str, ...]

    def factor(self, batch: int, pool_size: int | None) -> float | None:
        """f such that Cov(mini-batch gradient) = f M, M = G (fresh) or S_n with 1/n (pooled); None if there is none."""
        ...

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """One line for each impossible argument; empty when all is well."""
        ...


class PoolDesign:
    """A design on a pool: an estimate sum_i w_i g_i over the drawn samples, unbiased for the mean over the pool."""

    name = ""
    pooled = True
    independent = True
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    kernel = ""
    """The built-in design that batches are drawn by if `draws` gives None."""

    def factor(self, batch: int, pool_size: int | None) -> float | None:
        """None: the covariance is not a multiple of S_n."""
        return None

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """1 <= batch <= n."""
        lines = batch_problems(batch) + pool_problems(self.name, pool_size)
        if not lines and pool_size is not None and batch > pool_size:
            lines.append(f"sampling.batch must be <= the pool size {pool_size}, got {batch}; draw fewer samples a step")
        return lines

    def form(self, pool: Pool, sampling: Any) -> Form:
        """The covariance of one step as a form in the gradients. Raises ValueError: one line about a key of `sampling`."""
        factor = self.factor(sampling.batch, pool.size)
        assert factor is not None
        return Form.multiple(pool.size, factor)

    @property
    def has_form(self) -> bool:
        """Whether there is a `form`."""
        return True

    def check(self, pool: Pool, sampling: Any) -> None:
        """Raises ValueError: one line about a key of `sampling` that does not go with the pool."""
        self.form(pool, sampling)
        self.draws(pool, sampling)

    def covariance(self, pool: Pool, sampling: Any) -> Array:
        """Exact covariance of the mini-batch gradient of one step, given the pool, at its gradients; float64[d, d]."""
        kept = pool.kept(sampling)
        return self.form(pool, sampling).covariance(pool.gradients) if kept is None else kept

    def draws(self, pool: Pool, sampling: Any) -> Draws | None:
        """How batches are drawn; None: by the kernels for samples of equal weight."""
        return None


def scaled(design: Design, moment: ArrayLike, batch: int, pool_size: int | None) -> Array:
    """f M, float64[d, d], after the design's own checks."""
    wrong = design.problems(batch, pool_size)
    if wrong:
        raise ValueError("; ".join(wrong))
    factor = design.factor(batch, pool_size)
    if factor is None:
        raise ValueError(f"design {design.name!r} needs the gradients of a pool; use designs.get(name).covariance")
    return factor * np.asarray(moment, dtype=np.float64)


def batch_problems(batch: int) -> list[str]:
    """Checks shared by all designs."""
    return [] if batch >= 1 else [f"sampling.batch must be >= 1, got {batch}"]


def pool_problems(name: str, pool_size: int | None) -> list[str]:
    """Checks shared by all designs on a pool."""
    if pool_size is None:
        return [f"design {name!r} needs a pool of data, got a problem without one; use design 'fresh'"]
    return [] if pool_size >= 1 else [f"pool size must be >= 1, got {pool_size}"]

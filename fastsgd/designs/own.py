"""A user's own design: `sampling.design = "file.py:name"`, how a batch is drawn from a pool in a Python file.

    @numba.njit
    def name(n, b, stream, indices):                       # weights 1/b, or 1/(n pi_i) with `inclusion`
    def name(n, b, stream, indices, weights):              # or its own
    def name(n, b, stream, params, indices, weights):      # with `sampling.parameters`, or what `prepare` returns
        ...
        return size                                        # b if nothing is returned

`stream` is for the functions of `fastsgd.stream`. `name` may also be an `OwnDesign`, which says more of the draws; so may
`design` itself (in Python), or the name of an entry point of the group fastsgd.designs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsgd.designs.base import PoolDesign, batch_problems, pool_problems

if TYPE_CHECKING:
    from fastsgd.designs.draws import Draws
    from fastsgd.designs.form import Form
    from fastsgd.designs.pool import Pool

Array = NDArray[np.float64]
Function = Callable[..., Any]

OWN = re.compile(r"(?s)(.+\.py):([A-Za-z_]\w*)")
"""`file.py:name`: a design of a user's file; group 1 the file, group 2 the name in it."""


@dataclass(frozen=True)
class OwnDesign:
    """What is known of a draw function. All but `draw` are plain Python and optional; they may take params last.

    Attributes:
        draw: writes the samples of a batch, see above; the estimate is sum_i w_i g_i.
        covariance: (scores, batch) -> float64[d, d], the exact covariance of the estimate from the gradients float64[n, d].
        inclusion: (n, batch) -> float64[n], pi_i > 0, the chance of sample i to be in a batch. Weights that `draw` does not
            write are 1/(n pi_i) (Horvitz-Thompson).
        joint: (n, batch) -> float64[n, n], pi_ij, the chance of i and j to be in the same batch; with it the covariance is
            sum_ij (pi_ij / (pi_i pi_j) - 1) g_i g_j' / n^2, exactly.
        prepare: (pool, batch) or (pool, batch, parameters) -> float64[m], params. `pool` has `size`, `features`, `targets`,
            `gradients` and `metric`; `parameters` are those of the spec.
        largest: the largest size of a batch, a number or (n, batch) -> number; b by default.
        distinct: whether no sample is drawn twice into a batch; claimed by `inclusion` too.

    Without `covariance` and `joint` the covariance is estimated from `sampling.pilot` batches, and its error goes into z.
    """

    draw: Function
    covariance: Function | None = None
    inclusion: Function | None = None
    joint: Function | None = None
    prepare: Function | None = None
    largest: int | Function | None = None
    distinct: bool = False


class Bound(Protocol):
    """A design of one's own with its code, for one spec; made by `fastsgd.problems`."""

    def check(self, pool: Pool, sampling: Any) -> None:
        """ValueError, one line, if batches are not what they should be."""

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        """How batches are drawn; `Draws.own` is None if the code is not at hand."""

    def covariance(self, pool: Pool, sampling: Any) -> tuple[Array, Array | None]:
        """Cov float64[d, d], and estimates of it by parts of a pilot float64[C, d, d] if it is not exact."""


class Own(PoolDesign):
    """A user's design by its name in a spec."""

    takes: tuple[str, ...] = ("parameters", "pilot")

    def __init__(self, name: str):
        self.name = name

    @property
    def has_form(self) -> bool:
        return False

    def problems(self, batch: int, pool_size: int | None) -> list[str]:
        """batch >= 1 and a pool."""
        return batch_problems(batch) + pool_problems(self.name, pool_size)

    def form(self, pool: Pool, sampling: Any) -> Form:
        raise NotImplementedError("the covariance of a design of one's own is a matrix")

    def check(self, pool: Pool, sampling: Any) -> None:
        _bound(pool).check(pool, sampling)

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        return _bound(pool).draws(pool, sampling)

    def covariance(self, pool: Pool, sampling: Any) -> Array:
        return _bound(pool).covariance(pool, sampling)[0]

    def parts(self, pool: Pool, sampling: Any) -> Array | None:
        """Independent estimates of the covariance, float64[C, d, d]; None if it is exact."""
        return _bound(pool).covariance(pool, sampling)[1]


def _bound(pool: Pool) -> Bound:
    assert pool.own is not None
    return pool.own

"""What a design may know of a pool: its samples, the gradients at its optimum, and what a spec names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastsgd.designs.own import Bound

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool of n samples.

    Attributes:
        features: float64[n, p], as the problem sees them.
        targets: float64[n], or None if samples have none.
        metric: float64[d, d], F.
        compute: gives the gradients of the samples at the optimum of the pool, float64[n, d], without what is the same
            for every sample (a ridge).
        column: float64[n] by the name of a column, as the data were read; raises ValueError with a part of a line.
        array: float64 array by the name of a file of the spec.
        own: the design of the spec if it is one's own.
        kept: gives the covariance that a stored run holds of a table [sampling], float64[d, d]; None if it holds none.
    """

    features: Array
    targets: Array | None
    metric: Array
    compute: Callable[[], Array]
    column: Callable[[str], Array]
    array: Callable[[str], Array]
    own: Bound | None = None
    kept: Callable[[Any], Array | None] = lambda sampling: None

    @property
    def size(self) -> int:
        """n."""
        return len(self.features)

    @cached_property
    def gradients(self) -> Array:
        """g_i at the optimum, float64[n, d]."""
        return self.compute()

"""When time averages take samples, and the running sums of them: what a stepper needs to sample on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.base import Array


@dataclass(frozen=True)
class Samples:
    """Sample m = 0 ... count - 1 is taken after step burn_in + (m + 1) thin.

    Attributes:
        batches: successive samples are cut into this many batches; sample m is in batch m * batches // count.
        metric: F of each arm in working coordinates, padded with zeros to whole vectors of eight: float64[A, side^2],
            or float64[A, side] its diagonal if `diagonal`.
    """

    burn_in: int
    thin: int
    count: int
    batches: int
    metric: Array
    diagonal: bool

    @property
    def batch_counts(self) -> NDArray[np.int64]:
        """int64[batches], samples of each batch."""
        edges = -(-np.arange(self.batches + 1) * self.count // self.batches)
        return np.diff(edges)

    def after(self, step: int) -> tuple[int, int] | None:
        """(number, step) of the first sample taken after more than `step` steps; None when there is none left."""
        number = max(step - self.burn_in, 0) // self.thin
        return (number, self.burn_in + (number + 1) * self.thin) if number < self.count else None


@dataclass(frozen=True)
class Sums:
    """Sums over samples, of groups of 16 replicates in working coordinates (`kernels.average`).

    Attributes:
        first: float64[groups, A, side], of Delta.
        second: float64[groups, A, tiles], of Delta Delta', lower triangle in tiles.
        risk: float64[A, R, batches], of the risk of each replicate over each batch.
    """

    first: Array
    second: Array
    risk: Array


@runtime_checkable
class SamplingStepper(Protocol):
    """A stepper whose kernels take samples by themselves."""

    def advance_sampling(
        self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int, samples: Samples, sums: Sums
    ) -> None:
        """As `Stepper.advance`, to the same bits, and add the samples on the way to the sums."""
        ...

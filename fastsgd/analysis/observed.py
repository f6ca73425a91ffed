"""What a stored run holds of one arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST_KEPT = 2**24  # numbers of trajectories that are read


@dataclass(frozen=True)
class Observed:
    """Committed replicates of one arm.

    Attributes:
        risk: risk of each replicate, float64[R, S]; NaN from the step at which a replicate diverged.
        count, mean, covariance: int64[S], float64[S, d], float64[S, d, d] (normalised by count - 1) of Delta over the
            replicates that had not diverged.
        final: Delta of each replicate at the last recorded step, float64[R, d]; not finite where it diverged.
        diverged_at: step at which a replicate diverged, int64[R]; -1 for none.
        trajectories: Delta of the first replicates at every recorded step, float64[K, S, d], read when it is called; K is 0
            where none are kept.
    """

    risk: Array
    count: NDArray[np.int64]
    mean: Array
    covariance: Array
    final: Array
    diverged_at: NDArray[np.int64]
    trajectories: Callable[[], Array] = field(repr=False, compare=False)

    @classmethod
    def of(cls, run: Any, arm: str) -> Observed:
        """Read one arm of a run."""
        risk = np.asarray(run.risk(arm), dtype=np.float64)
        count, mean, covariance = run.moments(arm)
        diverged_at = np.asarray(run.diverged_at(arm))[: len(risk)]
        final = np.asarray(run.final(arm), dtype=np.float64)
        most = LARGEST_KEPT // max(np.size(mean), 1)
        return cls(
            risk, np.asarray(count), np.asarray(mean), np.asarray(covariance), final, diverged_at,
            lambda: np.asarray(run.trajectories(arm, most), dtype=np.float64),
        )  # fmt: skip

    @property
    def replicates(self) -> int:
        """R, diverged ones included."""
        return len(self.risk)

    @property
    def diverged(self) -> int:
        """Replicates that diverged."""
        return int(np.count_nonzero(self.diverged_at >= 0))

    def whole(self, index: int) -> bool:
        """True when every replicate still has a finite risk at steps[index]."""
        return bool(np.all(np.isfinite(self.risk[:, index])))

    def survivors(self, index: int) -> Array:
        """Risks at steps[index] of the replicates that had not diverged, float64[<= R]."""
        column = self.risk[:, index]
        return column[np.isfinite(column)]

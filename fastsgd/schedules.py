"""Step sizes eta_k, the same to the last bit on every processor: they enter the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _dd

NAMES = ("constant", "power")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """eta_k = size (constant) or size/(k + offset)^exponent (power), k = 0, 1, ...

    size > 0; offset >= 0; exponent in (0, 1]. With offset = 0 the first step (k = 0) would be infinite, so a power
    schedule needs offset > 0. Callable on int64[n], returning float64[n].
    """

    schedule: str
    size: float
    offset: float = 0.0
    exponent: float = 1.0

    def __post_init__(self) -> None:
        if self.schedule not in NAMES:
            raise ValueError(f"step.schedule must be one of {', '.join(NAMES)}, got {self.schedule!r}")
        if not (np.isfinite(self.size) and self.size > 0):
            raise ValueError(f"step.size must be > 0, got {self.size!r}; give a positive number")
        if self.schedule == "power":
            if not (np.isfinite(self.offset) and self.offset > 0):
                raise ValueError(f"step.offset must be > 0, got {self.offset!r}: step 0 would divide by zero")
            if not 0 < self.exponent <= 1:
                raise ValueError(f"step.exponent must be in (0, 1], got {self.exponent!r}")

    def __call__(self, k: ArrayLike) -> NDArray[np.float64]:
        """eta_k at step numbers k, int64[n] -> float64[n]."""
        steps = np.asarray(k, dtype=np.int64)
        if self.schedule == "constant":
            return np.full(steps.shape, float(self.size))
        base = steps.astype(np.float64) + float(self.offset)
        if self.exponent == 1:
            return self.size / base
        if self.exponent == 0.5:
            return self.size / np.sqrt(base)
        return self.size / _dd.power(base, float(self.exponent)).reshape(base.shape)

    def sizes(self, k0: int, k1: int) -> NDArray[np.float64]:
        """eta_k for k0 <= k < k1, float64[k1-k0]."""
        if not 0 <= k0 <= k1:
            raise ValueError(f"steps must satisfy 0 <= k0 <= k1, got {k0} and {k1}")
        return self(np.arange(k0, k1, dtype=np.int64))

    def largest(self) -> float:
        """eta_0, the largest step: steps never grow."""
        return float(self.sizes(0, 1)[0])

    @property
    def constant(self) -> bool:
        """True when every step has the same size."""
        return self.schedule == "constant"


def step_sizes(schedule: str, size: float, offset: float, exponent: float, k0: int, k1: int) -> NDArray[np.float64]:
    """eta_k for k0 <= k < k1, float64[k1-k0]; see `Schedule`."""
    return Schedule(schedule=schedule, size=size, offset=offset, exponent=exponent).sizes(k0, k1)


def from_spec(step: Any) -> Schedule:
    """Schedule of the `step` table of a spec (attributes schedule, size and, for power, offset, exponent)."""
    if step.schedule == "constant":
        return Schedule(schedule="constant", size=float(step.size))
    return Schedule(
        schedule=step.schedule, size=float(step.size), offset=float(step.offset), exponent=float(step.exponent)
    )

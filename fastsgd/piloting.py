"""Cells of a budget simulated in memory: what a plan is corrected by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import problems
from fastsgd.plan import make_plan
from fastsgd.spec.sections import PointStart, Record
from fastsgd.threads import kernel_lock, use_threads
from fastsgd.wave import Wave

if TYPE_CHECKING:
    from fastsgd.spec import Spec

Array = NDArray[np.float64]

SEGMENT = 2**22  # samples of a call of the kernels, so that an interrupt is heard


class Pilot:
    """Simulates one arm with other batches and step sizes; each cell has random numbers of its own.

    Args:
        spec: a checked spec of one arm. start: theta_0 - theta* float64[d] if not the spec's start.
    """

    def __init__(self, spec: Spec, start: Array | None = None):
        changes: dict[str, Any] = {"arms": None, "sweep": None}
        if start is not None:
            changes["start"] = PointStart(kind="point", value=tuple(float(x) for x in start))
        self.spec = spec.model_copy(update=changes)
        self.problem = problems.build(spec)

    def __call__(self, batch: int, size: float, steps: int, replicates: int) -> Array:
        """Risk of each replicate after so many steps, float64[replicates]; infinite where it diverged."""
        spec = self.spec.model_copy(
            update={
                "seed": self._seed(batch, size, steps, replicates),
                "replicates": replicates,
                "sampling": self.spec.sampling.model_copy(update={"batch": batch}),
                "step": self.spec.step.model_copy(update={"size": size}),
                "record": Record(steps=(steps,)),
            }
        )
        with kernel_lock, np.errstate(over="ignore", invalid="ignore"):
            use_threads(None)
            plan, found = make_plan(spec, problem=self.problem), []
            for first in range(0, replicates, plan.wave):
                wave = Wave(plan, first, min(plan.wave, replicates - first), 0)
                while not wave.done:
                    wave.advance(max(1, SEGMENT // (wave.count * batch)))
                found.append(wave.risk[0, :, 0])
        risks = np.concatenate(found)
        return np.where(np.isfinite(risks), risks, np.inf)

    def _seed(self, *cell: float) -> int:
        text = repr((self.spec.seed or 0, *cell))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

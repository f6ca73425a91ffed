"""Cells of a budget, or some replicates of a spec, simulated in memory: what a plan is corrected by."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import averages, problems
from fastsgd.moments import columns, total, unpack
from fastsgd.plan import make_plan
from fastsgd.spec.sections import PointStart, Record
from fastsgd.threads import kernel_lock, use_threads
from fastsgd.wave import Wave

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.store.format import Node

Array = NDArray[np.float64]

MOST, FEWEST = 2048, 256  # replicates of a rehearsal
WORK = 3e8  # samples in all of them, some three seconds
LARGEST_KEPT = 2**24  # numbers of trajectories
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
        risks = _simulated(spec, replicates, self.problem).risk[0, :, 0]
        return np.where(np.isfinite(risks), risks, np.inf)

    def _seed(self, *cell: float) -> int:
        return _own_seed(self.spec.seed, *cell)


@dataclass(frozen=True)
class Rehearsal:
    """Some replicates of a spec as it is, with other random numbers: what their scatter says of a run.

    Attributes:
        risk: float64[A, R, S]; average: time-averaged risk float64[A, R], None without; final: theta - theta* at the last
            recorded step, float64[A, R, d]; NaN where one diverged.
        count, mean, covariance: int64[A, S], float64[A, S, d], float64[A, S, d, d] (normalised by count - 1) of theta -
            theta* over those that had not diverged; kept: float64[A, K, S, d], as many trajectories as a run of the spec
            keeps, of these replicates and of `LARGEST_KEPT` numbers.
    """

    risk: Array
    final: Array
    average: Array | None
    count: NDArray[np.int64]
    mean: Array
    covariance: Array
    kept: Array


def rehearse(spec: Spec) -> Rehearsal | None:
    """A rehearsal of a checked spec, 2048 replicates or fewer; None where 256 would be too much work."""
    d = float(getattr(spec.problem, "dimension", None) or 1)
    steps = [
        1.0 + d + d * d / 100 if arm.problem.kind in ("quadratic", "ou") else 1.0 + arm.sampling.batch
        for arm in spec.arm_specs().values()
    ]
    cost = sum(steps) * spec.horizon
    count = min(MOST, 1 << max(0, int(math.log2(max(WORK / cost, 1.0)))))
    if count < FEWEST:
        return None
    seed = _own_seed(spec.seed, spec.horizon)
    return _simulated(spec.model_copy(update={"seed": seed, "replicates": count, "sweep": None}), count)


def _simulated(spec: Spec, replicates: int, problem: problems.Problem | None = None) -> Rehearsal:
    risks, ends, means = [], [], []
    nodes: list[Node] = []
    with kernel_lock, np.errstate(over="ignore", invalid="ignore"):
        use_threads(None)
        plan = make_plan(spec, problem=problem)
        steps = len(plan.steps)
        keep = min(spec.record.trajectories, replicates, LARGEST_KEPT // (len(plan.arms) * steps * plan.dimension))
        kept = [np.empty((len(plan.arms), 0, steps, plan.dimension))]
        for first in range(0, replicates, plan.wave):
            count = min(plan.wave, replicates - first)
            wave = Wave(plan, first, count, max(0, min(keep - first, count)))
            work = wave.count * sum(arm.batch for arm in plan.arms)
            while not wave.done:
                wave.advance(max(1, SEGMENT // work))
            risks.append(wave.risk)
            ends.append(wave.final)
            kept.append(wave.kept)
            nodes += wave.nodes
            if plan.samples is not None and wave.sums is not None:
                means.append(averages.risk_rows(plan.samples, wave.sums)[0])
        moments = columns(total(nodes), steps)
        divisor = np.maximum(moments.count - 1, 1)[..., None]
        spread = unpack(moments.m2 / divisor, plan.dimension)
    return Rehearsal(
        np.concatenate(risks, axis=1), np.concatenate(ends, axis=1), np.concatenate(means, axis=1) if means else None,
        moments.count, moments.mean, spread, np.concatenate(kept, axis=1),
    )  # fmt: skip


def _own_seed(seed: int | None, *cell: float) -> int:
    text = repr((seed or 0, *cell))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

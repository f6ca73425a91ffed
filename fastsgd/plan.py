"""From a spec to everything a run needs, resolved once: arms, step sizes, starts, kernels, and how the work is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import averages, designs, problems, schedules
from fastsgd.errors import InputError
from fastsgd.problems import Arm, Stepper, grouped, pools
from fastsgd.problems.samples import Samples
from fastsgd.problems.working import factor, to_working

if TYPE_CHECKING:
    from fastsgd.spec import Spec

# A wave is what is in memory at once. Its size is part of the file's layout, so it depends on the spec alone.
_WAVE_BYTES = 32 * 2**20
_LARGEST_WAVE = 2**14
# Gradients of a pool of one's own that a run keeps, 8 MB, so that other batches can be predicted from it; of a larger one
# it keeps the covariance of its own batches alone.
_LARGEST_KEPT = 2**20


@dataclass(frozen=True)
class Plan:
    """A run, resolved.

    Attributes:
        spec: the spec, seed drawn.
        names: names of the A arms; ("main",) without arms.
        arms: the arms, in the same order.
        schedules: step sizes of each arm.
        first, rows: the replicates first .. first + rows - 1 are simulated; all of the spec's, or a shard of them.
        steps: int64[S], recorded steps.
        wave: replicates in memory at once, a power of two and a multiple of the block of the moment tree.
        start_mean: float64[A, d], mean of Delta_0 in working coordinates.
        start_factor: float64[A, d, d], lower triangular root of its covariance, or None for a fixed start.
        stepper: the kernels.
        samples: of the time averages, or None.
    """

    spec: Spec
    names: tuple[str, ...]
    arms: tuple[Arm, ...]
    schedules: tuple[schedules.Schedule, ...]
    first: int
    rows: int
    steps: NDArray[np.int64]
    wave: int
    start_mean: NDArray[np.float64]
    start_factor: NDArray[np.float64] | None
    stepper: Stepper
    samples: Samples | None = None

    @property
    def columns(self) -> int:
        """Columns of the moment tree: the recorded steps, and the time averages if there are any."""
        return len(self.steps) + (self.samples is not None)

    @property
    def dimension(self) -> int:
        return self.arms[0].problem.dimension

    @property
    def rotated(self) -> bool:
        """Whether working coordinates differ from the original ones."""
        return any(arm.problem.basis is not None for arm in self.arms)

    @property
    def horizon(self) -> int:
        return int(self.steps[-1])

    @property
    def coordinates(self) -> Sequence[str]:
        return self.arms[0].problem.coordinates

    def sizes(self, first: int, last: int) -> NDArray[np.float64]:
        """Step sizes float64[A, last - first]."""
        return np.stack([s.sizes(first, last) for s in self.schedules])


def resolve_arm(spec: Spec, problem: problems.Problem | None = None) -> Arm:
    """One arm of a checked spec: its problem (if it is not at hand) and the covariance of its mini-batch gradient."""
    problem = problem or problems.build(spec)
    sampling, design = spec.sampling, designs.get(spec.sampling.design)
    drawing, kernel = sampling.model_dump_json(), getattr(design, "kernel", "") or design.name
    if not problem.at_hand:
        return Arm(problem, sampling.batch, kernel, np.zeros_like(problem.noise), drawing=drawing)
    draws, coefficient = None, None
    if isinstance(design, designs.SimulationDesign):
        simulation = problem.simulation(spec)
        assert simulation is not None
        covariance, coefficient = design.covariance(simulation, sampling), design.coefficient(simulation, sampling)
        problem = replace(problem, arrays=problem.arrays | _kept(design.name, simulation))
    if isinstance(design, designs.PoolDesign):
        pool = problem.pool(spec)
        assert pool is not None
        draws = design.draws(pool, sampling)
    if isinstance(design, designs.PoolDesign) and design.factor(sampling.batch, problem.pool_size) is None:
        assert pool is not None
        if isinstance(design, designs.Own):
            covariance, parts = _of_own(design, pool, sampling, draws)
            kept = {pools.DESIGN: covariance} | ({} if parts is None else {pools.DESIGN_PARTS: parts})
            problem = replace(problem, arrays=problem.arrays | kept)
        else:
            covariance = design.covariance(pool, sampling)
        if design.has_form and "pool_samples" in problem.arrays:
            large = pool.gradients.size > _LARGEST_KEPT
            held = {pools.DESIGN: covariance} if large else {pools.GRADIENTS: pool.gradients}
            problem = replace(problem, arrays=problem.arrays | held)
    elif not isinstance(design, designs.SimulationDesign):
        covariance = designs.design_covariance(design.name, problem.noise, sampling.batch, problem.pool_size)
    return Arm(
        problem=problem,
        batch=sampling.batch,
        design=kernel,
        covariance=covariance,
        draws=draws,
        coefficient=coefficient,
        drawing=drawing,
    )


def _of_own(
    design: designs.Own, pool: designs.Pool, sampling: Any, draws: designs.Draws | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Covariance of a design of one's own, and estimates of it by parts; zeros for a merge, which draws nothing."""
    if draws is None or draws.own is None:
        return np.zeros_like(pool.metric), None
    try:
        return design.covariance(pool, sampling), design.parts(pool, sampling)
    except ValueError as error:
        raise InputError(str(error)) from None


def _kept(design: str, simulation: designs.Simulation) -> dict[str, NDArray[np.float64]]:
    """What the covariance of a design is made of, for the run file."""
    if design == "antithetic":
        kept, parts = {pools.PAIRED: simulation.paired()}, {pools.PAIRED_PARTS: simulation.paired_parts()}
    else:
        kept = {pools.CROSS: simulation.cross(), pools.VARIANCES: simulation.variances}
        parts = {pools.CROSS_PARTS: simulation.cross_parts()}
    return kept | {name: array for name, array in parts.items() if array is not None}


def _alike(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Arms whose problems have the same arrays: not a number where an arm has no use for one."""
    found = {name: array for arm in arms for name, array in arm.problem.arrays.items()}
    if all(len(arm.problem.arrays) == len(found) for arm in arms):
        return tuple(arms)
    filled = []
    for arm in arms:
        arrays = {name: arm.problem.arrays.get(name, np.full_like(array, np.nan)) for name, array in found.items()}
        filled.append(replace(arm, problem=replace(arm.problem, arrays=arrays)))
    return tuple(filled)


def make_plan(spec: Spec, span: tuple[int, int] | None = None, problem: problems.Problem | None = None) -> Plan:
    """Resolve a checked spec with its seed set; `span`: (first replicate, how many) if not all of them.

    `problem`: that of all arms, where it was built before.
    """
    first, rows = span or (0, spec.replicates)
    specs = spec.arm_specs()
    arms = _alike([resolve_arm(arm, problem) for arm in specs.values()])
    plans = tuple(schedules.from_spec(arm.step) for arm in specs.values())
    starts = [_start(arm_spec, arm) for arm_spec, arm in zip(specs.values(), arms, strict=True)]
    factors = [f for _, f in starts if f is not None]
    samples, d = averages.samples_of(spec, arms), arms[0].problem.dimension
    return Plan(
        spec=spec,
        names=tuple(specs),
        arms=arms,
        schedules=plans,
        first=first,
        rows=rows,
        steps=np.array(spec.record_steps(), dtype=np.int64),
        wave=_wave(rows, len(arms) * d + averages.numbers_per_replicate(samples, len(arms), d) + _permutation(arms)),
        start_mean=np.stack([mean for mean, _ in starts]),
        start_factor=np.stack(factors) if factors else None,
        stepper=grouped.stepper(arms),
        samples=samples,
    )


def unstable(plan: Plan) -> list[str]:
    """One line for each arm whose constant step is at or past the edge of stability, 2 / lambda_max (Prop. 5.13)."""
    lines = []
    what = "2 / (time_step lambda_max(H))" if plan.spec.problem.kind == "ou" else "2 / lambda_max(H)"
    for name, arm, schedule in zip(plan.names, plan.arms, plan.schedules, strict=True):
        if not schedule.constant:
            continue
        edge = arm.problem.largest_stable_step()
        if schedule.size >= edge:
            key = "step.size" if len(plan.arms) == 1 else f"arms.{name}: step.size"
            lines.append(
                f"{key} must be below {what} = {edge:.6g} for a stationary law to exist, "
                f"got {schedule.size:.6g}; give a smaller step, or --allow-unstable to run all the same"
            )
    return lines


def _start(spec: Spec, arm: Arm) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Mean and root of the covariance of Delta_0 in working coordinates."""
    d, basis = arm.problem.dimension, arm.problem.basis
    start = spec.start
    if start.kind == "point":
        return to_working(basis, np.broadcast_to(np.asarray(start.value, dtype=np.float64), (d,))), None
    if start.kind == "gaussian":
        return np.zeros(d), np.eye(d) * start.scale
    schedule = schedules.from_spec(spec.step)
    if not schedule.constant:
        raise InputError("start.kind = stationary needs step.schedule = constant, got power; use point or gaussian")
    return np.zeros(d), factor(basis, arm.problem.stationary(arm.covariance, schedule.size))


def _permutation(arms: Sequence[Arm]) -> int:
    """float64 that the permutation of an epoch takes: smaller waves go through more of an epoch in a time segment."""
    return max((arm.draws.n // 2 for arm in arms if arm.draws is not None and arm.draws.epochs), default=0)


def _wave(replicates: int, width: int) -> int:
    """Replicates of a wave: all of them if they fit into `_WAVE_BYTES` and `_LARGEST_WAVE`, else a power of two."""
    from fastsgd.kernels.moments import BLOCK

    limit = min(_LARGEST_WAVE, max(BLOCK, _WAVE_BYTES // (8 * width)))
    limit = 1 << (limit.bit_length() - 1)
    return min(limit, max(BLOCK, 1 << (replicates - 1).bit_length()))

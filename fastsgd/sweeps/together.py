"""Small cells of a sweep, simulated together in memory: one file a cell, whole from its first instant.

Cells that differ in step size and batch only are arms of one wave, which share every random number, and have the bits that
they have alone. What takes longer than a commit may, or is stopped, becomes ordinary unfinished runs that go on later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsgd import averages, engine
from fastsgd.errors import FastsgdError, InputError, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.sweeps import grid
from fastsgd.threads import kernel_lock, use_threads

if TYPE_CHECKING:
    from fastsgd.plan import Plan
    from fastsgd.spec import Spec
    from fastsgd.wave import Wave

MOST = 32  # cells at once
LARGEST = 2.5e9  # cost of a cell (`grid.cost`), about half a second; of all cells at once four times as much
BYTES = 2**26
FREE = ("step.size", "sampling.batch")


def alike(spec: Spec) -> str | None:
    """Cells of which this is equal can be arms of one wave; None for a cell that cannot share one."""
    from fastsgd.spec.sections import has_pool
    from fastsgd.spec.variants import ARM_TABLES

    kind = "own" if ":" in spec.problem.kind else spec.problem.kind
    if spec.arms or kind not in ARM_TABLES:
        return None
    raw = spec.raw()
    # Cells on a pool share their batches, and with them the size of these.
    for key in FREE[:1] if has_pool(spec.problem) else FREE:
        table, _, name = key.partition(".")
        if key in ARM_TABLES[kind]:
            raw[table] = {k: v for k, v in raw[table].items() if k != name}
    return json.dumps(raw, sort_keys=True)


@dataclass
class Part:
    """A cell: its number, its plan and its file."""

    number: int
    plan: Plan
    path: Path


class Together:
    """Simulates cells that are alike and stores each.

    Args:
        cells: (number, spec, path) of each; none of the files exists, or they are to be replaced.
        options: of `engine.run`.
        progress: called with (done, total, seconds) of each cell.
        ended: called with (number, error or None) when a cell is finished, or cannot be run.
    """

    def __init__(
        self,
        cells: Sequence[tuple[int, Spec, Path]],
        options: dict[str, Any],
        progress: Callable[[int, int, float], None],
        ended: Callable[[int, Exception | None], None],
    ):
        self.cells, self.options, self.progress, self.ended = cells, options, progress, ended

    def run(self, threads: int | None) -> list[int]:
        """All cells; the numbers of those that are to go on as ordinary runs, because they take long or much memory.

        Raises:
            StoppedEarly: after the cells under way were stored.
        """
        from fastsgd.wave import Wave

        with kernel_lock, StopRequest() as stop:
            self.threads = use_threads(threads)
            stop.saving = True
            parts = self._parts()
            large = [part.number for part in parts if part.plan.rows > part.plan.wave]
            parts = [part for part in parts if part.number not in large]
            if not parts:
                return large
            plan = _joined([part.plan for part in parts])
            _load(plan)
            wave = Wave(plan, plan.first, plan.rows, max(engine.kept(part.plan) for part in parts))
            self._drive(wave, stop)
            for i, part in enumerate(parts):
                self._store(part, wave.part(slice(i, i + 1), part.plan), stop)
            if stop.reason is not None and not wave.done:
                raise StoppedEarly(stop.reason)
            return large if wave.done else [*large, *(part.number for part in parts)]

    def _parts(self) -> list[Part]:
        from fastsgd.plan import make_plan, unstable

        found: list[Part] = []
        for number, spec, path in self.cells:
            try:
                same = found[0].plan if found and spec.problem.kind == "quadratic" else None
                plan = make_plan(spec, problem=None if same is None else same.arms[0].problem)
                if not self.options.get("allow_unstable") and (lines := unstable(plan)):
                    raise InputError(lines)
                found.append(Part(number, plan, path))
            except FastsgdError as error:
                self.ended(number, error)
        return found

    def _drive(self, wave: Wave, stop: StopRequest) -> None:
        """Take the wave to its end, or as far as it comes before it must be stored."""
        begun = time.monotonic()
        steps, total = 1, wave.plan.rows * wave.plan.horizon
        while not wave.done:
            before = time.monotonic()
            taken = wave.advance(steps)
            now = time.monotonic()
            if taken == steps:
                steps = max(1, int(taken * min(4.0, engine.SEGMENT_SECONDS / max(now - before, 1e-6))))
            self.progress(wave.count * wave.step, total, now - begun)
            if stop.reason is not None or now - begun > engine.COMMIT_SECONDS:
                return

    def _store(self, part: Part, wave: Wave, stop: StopRequest) -> None:
        def fill(writer: Any) -> None:
            engine.Runner(part.plan, writer, stop).take(wave)

        try:
            force = bool(self.options.get("force"))
            engine.create_file(part.plan, part.path, self.threads, force, fill=fill).close()
        except (FastsgdError, OSError) as error:
            self.ended(part.number, error)
            return
        if wave.done:
            self.ended(part.number, None)


_loaded: set[tuple[str, bool, bool]] = set()


def _load(plan: Plan) -> None:
    """Compile or load the kernels, once a process and kind of problem, so that it is not taken for simulation."""
    from fastsgd.wave import warm

    kind = plan.spec.problem.kind, plan.arms[0].problem.single, plan.samples is None
    if kind not in _loaded:
        warm(plan)
        _loaded.add(kind)


def _joined(plans: Sequence[Plan]) -> Plan:
    """The plan whose arms are those of several plans that differ in step size and batch only."""
    first, arms = plans[0], tuple(plan.arms[0] for plan in plans)
    if len(plans) == 1:
        return first
    factors = [plan.start_factor for plan in plans if plan.start_factor is not None]
    return replace(
        first,
        names=tuple(str(i) for i in range(len(plans))),
        arms=arms,
        schedules=tuple(plan.schedules[0] for plan in plans),
        start_mean=np.concatenate([plan.start_mean for plan in plans]),
        start_factor=np.concatenate(factors) if factors else None,
        stepper=arms[0].problem.stepper(arms),
        samples=averages.samples_of(first.spec, arms),
    )


def most(spec: Spec) -> int:
    """How many cells like this one go at once: few enough for the memory, and so that half a second is lost at most."""
    dimension = getattr(spec.problem, "dimension", None) or 64
    steps = len(spec.record_steps())
    kept = min(spec.record.trajectories, spec.replicates) * steps * dimension
    numbers = spec.replicates * (4 * dimension + steps) + kept + 8 * steps * dimension**2
    return int(max(1, min(MOST, BYTES // (8 * numbers), 4 * LARGEST // grid.cost(spec))))

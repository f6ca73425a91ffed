"""A short measurement of the kernels of one run on this machine; nothing is cached, what was measured is returned."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastsgd import engine
from fastsgd.plan import Plan, make_plan
from fastsgd.spec.sections import Record
from fastsgd.threads import kernel_lock, use_threads
from fastsgd.wave import Wave, warm

SECONDS = 0.6  # for one measurement, repeats together
REPEATS = 5
_BLOCK = 64  # replicates
DISK_BYTES = 8 * 2**20
Clock = Callable[[], float]


@dataclass(frozen=True)
class Rates:
    """Seconds that the parts of a run take on this machine.

    Attributes:
        threads: kernel threads. replicates: of the wave that was measured.
        start: loading (or compiling) the kernels and resolving the problem, the first time in a process.
        run: a run of 64 replicates and one step with everything loaded: making, syncing and closing its file.
        step: one step of one replicate in all arms; record: one recorded step of one replicate in all arms.
        spread: relative standard deviation of `step` between repeats.
        disk: writing and syncing one byte.
        resident: bytes of this process with the problem and the kernels loaded.
        measured: seconds that the measurement took, `start` excluded.
    """

    threads: int
    replicates: int
    start: float
    run: float
    step: float
    record: float
    spread: float
    disk: float
    resident: int
    measured: float

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def measure(spec: Any, threads: int | None = None, seconds: float = SECONDS, clock: Clock = time.perf_counter) -> Rates:
    """Time the kernels of a checked spec on a wave of its own size; about `seconds`, and compilation if need be.

    The numbers that are simulated are those of the run, in memory, and are thrown away. With one thread, `clock` may be
    `time.process_time`: what a core of its own would take, however busy the machine is.
    """
    seeded = spec if spec.seed is not None else spec.with_seed(0)
    with kernel_lock:
        begun = clock()
        used = use_threads(threads)
        plan = make_plan(seeded)
        warm(plan)
        loaded = clock()
        count = _count(plan, seconds / REPEATS, clock)
        step, spread = _step(plan, count, seconds, clock)
        record = _record(plan, count, step, clock)
        disk = _disk(clock)
    run = _run(seeded, clock)
    taken = clock() - loaded
    return Rates(used, count, loaded - begun, run, step, record, spread, disk, _resident(), taken)


def _count(plan: Plan, share: float, clock: Clock) -> int:
    """Replicates to measure on: a wave, or whole blocks of which a step fills a repeat where a wave takes longer."""
    few, whole = 4 * _BLOCK, min(plan.wave, plan.rows)
    if whole <= few:
        return whole
    wave = Wave(replace(plan, steps=np.array([2**40]), samples=None), plan.first, few, 0)
    begun = clock()
    wave.advance(1)
    each = (clock() - begun) / few
    return int(min(whole, max(few, share / max(each, 1e-12) // _BLOCK * _BLOCK)))


def _step(plan: Plan, count: int, seconds: float, clock: Clock) -> tuple[float, float]:
    """Seconds of a step of a replicate, and the relative standard deviation between repeats."""
    wave = Wave(replace(plan, steps=np.array([2**40]), samples=None), plan.first, count, 0)
    wave.advance(1)  # what is loaded at the first step is not of the steps
    steps, share = 1, seconds / REPEATS
    while True:  # as many steps as fill a repeat, as the engine does with its segments
        begun = clock()
        wave.advance(steps)
        taken = clock() - begun
        if taken > 0.5 * share or steps > 2**30:
            break
        steps = max(steps + 1, int(steps * min(8.0, 0.8 * share / max(taken, 1e-6))))
    found = []
    for _ in range(REPEATS):
        begun = clock()
        wave.advance(steps)
        found.append((clock() - begun) / (steps * count))
    return float(np.median(found)), float(np.std(found, ddof=1) / np.mean(found))


def _record(plan: Plan, count: int, step: float, clock: Clock) -> float:
    """Seconds of recording one step of a replicate."""
    few = min(REPEATS, 2**22 // max(plan.dimension**2, 1) + 1)
    wave = Wave(replace(plan, steps=np.arange(1, few + 1), samples=None), plan.first, count, 0)
    found = []
    for _ in range(few):
        begun = clock()
        wave.advance(1)
        found.append((clock() - begun) / count - step)
    return max(float(np.median(found)), 0.0)


def _run(spec: Any, clock: Clock) -> float:
    """Seconds of the smallest run of this kind, in the folder of temporary files."""
    small = spec.model_copy(update={"replicates": 64, "record": Record(steps=(1,))})
    with tempfile.TemporaryDirectory() as folder:
        begun = clock()
        engine.run(small, Path(folder) / "run.h5", threads=1, allow_unstable=True)
        return clock() - begun


def _disk(clock: Clock) -> float:
    """Seconds to write and sync one byte to the folder of temporary files."""
    with tempfile.TemporaryFile() as file:
        block = os.urandom(DISK_BYTES)
        begun = clock()
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return (clock() - begun) / DISK_BYTES


def _resident() -> int:
    """Largest resident size of this process so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit

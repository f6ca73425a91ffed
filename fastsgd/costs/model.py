"""Time, memory and disk of a run, and of a study of many runs on many machines, from measured rates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastsgd import averages
from fastsgd.costs.measure import SECONDS, Rates, measure
from fastsgd.plan import Plan, make_plan

MOST_MEASURED = 8
STRUCTURE = 64 * 1024  # names, attributes, provenance of a run file, bytes
CHEAP = ("step.", "start.", "seed")  # keys that change no cost of a step


@dataclass(frozen=True)
class Cost:
    """What one run takes.

    Attributes:
        replicate_steps: in all arms. seconds: of simulating, recording and writing, with the kernels loaded.
        spread: relative standard deviation of `seconds` as far as the measurement can tell.
        memory: largest resident size of the process, bytes; disk: size of the run file, bytes.
    """

    replicate_steps: float
    seconds: float
    spread: float
    memory: float
    disk: float

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


@dataclass(frozen=True)
class Study:
    """What all cells of a sweep take on several machines like this one.

    Attributes:
        cells, machines: how many; replicates: of one cell. blocks: of 64 replicates, in all cells together.
        seconds: until the last machine is done, loading included; core_hours: of all machines.
        memory: of the largest process on one machine; disk: of all run files, shards merged; disk_shards: of the shards
            beside them, 0 where no cell is cut.
        spread: as in `Cost`.
        notes: what a reader must know.
    """

    cells: int
    machines: int
    replicates: int
    blocks: int
    replicate_steps: float
    seconds: float
    core_hours: float
    memory: float
    disk: float
    disk_shards: float
    spread: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def cost_of_run(spec: Any, rates: Rates, plan: Plan | None = None) -> Cost:
    """Cost of running a checked spec at measured rates.

    Time is that of the smallest run, plus what is linear in replicates x steps and in replicates x recorded steps, plus
    writing the file; every wave but the last has the size that was measured, and a smaller one takes its share.
    """
    at = plan or make_plan(spec if spec.seed is not None else spec.with_seed(0))
    rows, arms = at.rows, len(at.arms)
    disk = file_size(at, spec.record.trajectories)
    simulated = rows * (at.horizon * rates.step + len(at.steps) * rates.record)
    # The structure is made once with all its space, every byte of results is written once, state every few seconds.
    written = disk * 2 * rates.disk
    memory = rates.resident + wave_bytes(at)
    return Cost(float(rows) * at.horizon * arms, rates.run + simulated + written, rates.spread, memory, disk)


def wave_bytes(plan: Plan) -> float:
    """Memory of the replicates that are simulated at once, with what is copied of them, bytes."""
    a, w, d, s = len(plan.arms), min(plan.wave, max(plan.rows, 64)), plan.dimension, len(plan.steps)
    per_replicate = a * (3 * d + s + d + 2) + averages.numbers_per_replicate(plan.samples, a, d)
    nodes = (w // 64).bit_length() + _levels(plan)
    return 8.0 * (w * per_replicate + nodes * _node(plan))


def file_size(plan: Plan, trajectories: int) -> float:
    """Size of the run file, bytes."""
    a, d, s, r = len(plan.arms), plan.dimension, len(plan.steps), plan.rows
    kept = min(trajectories, r)
    numbers = r * (1 + a * (s + d + 1)) + kept * a * s * d  # replicate, risk, final, diverged_at, trajectory
    numbers += r * a * d if plan.rotated else 0
    numbers += a * plan.columns * (1 + d + d * d)  # moments
    numbers += a * (3 * d * d + d) + s * (1 + a)
    numbers += 2 * plan.wave * a * (d + 1)  # two slots of state
    numbers += 2 * _levels(plan) * _node(plan)
    if plan.samples is not None:
        for shape in averages.shapes(plan.samples, a, plan.wave, d).values():
            numbers += 2 * int(np.prod(shape))
        rows, results = averages.datasets(plan.samples, d)
        numbers += sum(r * a * int(np.prod(given[0])) for given in rows.values())
        numbers += sum(a * int(np.prod(given[0])) for given in results.values())
    arrays = sum(array.nbytes for array in plan.arms[0].problem.arrays.values())
    files = sum(array.nbytes for array in plan.spec.arrays().values())
    return 8.0 * numbers + arrays + files + STRUCTURE


def _node(plan: Plan) -> int:
    """Numbers of one node of the moment tree."""
    d = plan.dimension
    return len(plan.arms) * plan.columns * (1 + d + d * (d + 1) // 2)


def _levels(plan: Plan) -> int:
    """Nodes of the moment tree that are alive at once, as the engine has it."""
    blocks = -(-plan.rows // 64)
    return blocks.bit_length() + (plan.wave // 64).bit_length() + 2


def cells_of(spec: Any) -> tuple[int, dict[str, tuple[Any, int]]]:
    """Cells of a spec's [sweep], and of those one for each that costs differently: {name: (spec, how many like it)}.

    Keys of step sizes and starts change no cost; the others are all looked at.
    """
    keys = {key: values for key, values in (spec.sweep or {}).items() if isinstance(values, (list, tuple))}
    base = spec.model_copy(update={"sweep": None})
    alike = math.prod(len(v) for k, v in keys.items() if k.startswith(CHEAP))
    dear = {k: v for k, v in keys.items() if not k.startswith(CHEAP)}
    found = {}
    for values in itertools.product(*dear.values()):
        changes = dict(zip(dear, values, strict=True))
        name = ", ".join(f"{k} = {v}" for k, v in changes.items()) or spec.name
        found[name] = (base.with_overrides(_texts(changes)) if changes else base, alike)
    return sum(count for _, count in found.values()), found


def _texts(changes: Mapping[str, Any]) -> list[str]:
    from fastsgd.spec import toml

    return [f"{key}={toml.value(value)}" for key, value in changes.items()]


def study(
    spec: Any,
    machines: int,
    cells: int | None = None,
    measured: Callable[[Any], Rates] | None = None,
    seconds: float = SECONDS,
) -> Study:
    """Cost of all cells of a spec's sweep on `machines` machines like this one, each cell cut into shards at need.

    Args:
        cells: number of cells like the spec, for a study whose sweep is not written yet; default: those of [sweep].
        measured: rates of a spec (default: `measure`, at most 8 kinds of cells; the others take the mean per number).
    """
    notes = []
    total, kinds = cells_of(spec)
    if cells is not None:
        kinds = {name: (s, 0) for name, (s, _) in kinds.items()}
        share, rest = divmod(cells, len(kinds))
        kinds = {name: (s, share + (i < rest)) for i, (name, (s, _)) in enumerate(kinds.items())}
        total = cells
    chosen = list(kinds)[:: max(1, -(-len(kinds) // MOST_MEASURED))]
    share_of_time = max(0.15, min(seconds, 2.0 / len(chosen)))
    time_it = measured or (lambda one: measure(one, seconds=share_of_time))
    rates = {name: time_it(kinds[name][0]) for name in chosen}
    if len(chosen) < len(kinds):
        notes.append(f"{len(chosen)} of {len(kinds)} kinds of cells were measured, the others are taken as the nearest")
    work = disk = steps = memory = spread = 0.0
    blocks, last = 0, rates[chosen[0]]
    for name, (one, count) in kinds.items():
        last = rates.get(name, last)
        cost = cost_of_run(one, last)
        work, disk, steps = work + count * cost.seconds, disk + count * cost.disk, steps + count * cost.replicate_steps
        blocks += count * -(-one.replicates // 64)
        memory, spread = max(memory, cost.memory), max(spread, cost.spread)
    used = min(machines, blocks)
    if used < machines:
        notes.append(f"only {blocks} blocks of 64 replicates: no more than as many machines have work")
    whole = work / used * (math.ceil(blocks / used) * used / blocks)
    seconds_all = whole + last.start  # cells of one machine go through one process
    if spec.record.average is not None:
        notes.append("time averages are taken in the file size and memory, not in the time")
    shards = disk if total % used and total < used * 10 else 0.0
    return Study(
        total, machines, spec.replicates, blocks, steps, seconds_all, seconds_all * used * last.threads / 3600,
        memory, disk, shards, spread, tuple(notes),
    )  # fmt: skip

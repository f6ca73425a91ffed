"""`run` and `sweep` on a Dask cluster: the results have the bytes that they have on one machine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd import engine, shards, store
from fastsgd.cluster.client import connected
from fastsgd.cluster.pool import ClusterPool
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.merging import merge
from fastsgd.sweeps import grid
from fastsgd.sweeps.pool import Job
from fastsgd.sweeps.run import Status, sweep_with
from fastsgd.threads import cores

if TYPE_CHECKING:
    from fastsgd.spec import Spec

TASKS = 4  # a worker: so that a slow machine holds up little, and little is lost with one that dies
LARGEST = 2**27  # bytes of a shard's file, which passes through memory
DEAREST = 1e11  # cost of a shard (`grid.cost`), about 20 seconds of a core: what a stop or a dead worker loses at most
MOST = 1000  # shards on account of their cost


def sweep(
    spec: Spec | str | Path | Mapping[str, object],
    path: str | Path | None = None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    **options: Any,
) -> Path:
    """`fastsgd.sweep` with its cells as tasks of a Dask cluster.

    Args:
        scheduler: address of a Dask scheduler. workers: or so many processes on this machine.
        threads: cores of this machine for `workers`; default all.
        options: those of `fastsgd.sweep`.

    Raises:
        InputError, RunError, StoppedEarly: as `fastsgd.sweep`; also if there is no cluster.
    """
    wanted = cores(threads)
    with connected(scheduler, workers, wanted) as (client, kernel_threads):
        many = _workers(client)
        return sweep_with(partial(ClusterPool, client, kernel_threads), many, spec, path, **options)


def run(
    spec: Spec | str | Path | Mapping[str, object],
    path: str | Path | None = None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    threads: int | None = None,
    progress: engine.Progress | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    force: bool = False,
    allow_unstable: bool = False,
) -> store.Run:
    """`fastsgd.run` with blocks of replicates as tasks of a Dask cluster, merged to the bytes of the single run.

    Finished shards are kept in `<path>.parts` until all are there, so that a run that was stopped goes on.

    Args:
        scheduler: address of a Dask scheduler. workers: or so many processes on this machine.
        threads: cores of this machine for `workers`; default all. The others as for `fastsgd.run`.

    Raises:
        SpecError, InputError, RunError, StoppedEarly: as `fastsgd.run`; also if there is no cluster.
    """
    from fastsgd.spec import Spec, load_spec

    say = note or (lambda text: None)
    checked = spec if isinstance(spec, Spec) and not overrides else load_spec(spec, overrides)  # type: ignore[arg-type]
    if checked.sweep:
        raise InputError("the spec has a [sweep], one run cannot hold its cells; use `fastsgd sweep`")
    target = Path(path) if path is not None else engine.default_path(spec, checked)
    if not target.parent.is_dir():
        raise InputError(f"folder {target.parent} does not exist; make it first")
    if target.exists() and not force:
        existing = store.open_run(target)
        checked = engine.existing_seed(checked, existing)
        engine.compare(checked, existing, 0, checked.replicates)
        if not existing.sealed:
            raise InputError(f"{target} is unfinished; go on without a cluster, or --force to begin again")
        say(f"{target} is complete already; nothing to do")
        return existing
    deadline = None if time_limit is None else time.monotonic() + time_limit
    with connected(scheduler, workers, cores(threads)) as (client, kernel_threads), StopRequest() as stop:
        stop.saving = True
        job = Parts(checked, target, _workers(client), force, stop, deadline, progress, say)
        engine.checked_plan(job.spec, (0, checked.replicates), allow_unstable)
        pool = partial(ClusterPool, client, kernel_threads)
        job.run(pool, {"allow_unstable": allow_unstable})
    return job.merged(force)


class Parts:
    """The shards of one run, in a folder beside it."""

    def __init__(
        self, spec: Spec, target: Path, workers: int, force: bool, stop: StopRequest, deadline: float | None,
        progress: engine.Progress | None, say: Callable[[str], None],
    ):  # fmt: skip
        self.target, self.folder = target, target.with_name(f"{target.name}.parts")
        self.stop, self.deadline, self.say = stop, deadline, say
        self.progress = progress or (lambda done, total, seconds: None)
        self.begun = time.monotonic()
        if force:
            self.clear()
        there = self.kept()
        self.count = there[0][1] if there else _parts(spec, workers)
        if there:
            spec = engine.existing_seed(spec, store.open_run(self.path(there[0][0])))
        self.spec = spec.draw_seed()
        self.missing = [i for i in range(1, self.count + 1) if not self.whole(i)]
        self.done = dict.fromkeys(self.missing, 0)
        arms = max(len(spec.arms or ()), 1)
        self.total = spec.replicates * spec.horizon * arms
        rows = sum(shards.rows_of(spec.replicates, (i, self.count))[1] for i in self.missing)
        self.before = self.total - rows * spec.horizon * arms

    def kept(self) -> list[tuple[int, int]]:
        """(I, N) of the shards in the folder."""
        if not self.folder.is_dir():
            return []
        found = (re.fullmatch(r"shard-(\d+)-of-(\d+)\.h5", file.name) for file in sorted(self.folder.iterdir()))
        return [(int(one[1]), int(one[2])) for one in found if one]

    def path(self, index: int) -> Path:
        return self.folder / f"shard-{index}-of-{self.count if hasattr(self, 'count') else self.kept()[0][1]}.h5"

    def whole(self, index: int) -> bool:
        """Whether a shard is there; InputError if it is of another run."""
        if not self.path(index).exists():
            return False
        run = store.open_run(self.path(index))
        engine.compare(self.spec, run, *shards.rows_of(self.spec.replicates, (index, self.count)))
        return run.sealed

    def run(self, pool: Any, options: dict[str, Any]) -> None:
        """All missing shards."""
        if not self.missing:
            return
        self.folder.mkdir(exist_ok=True)
        tables, jobs = self.spec.raw(), []
        for i in self.missing:
            jobs.append(Job([(i, tables, str(self.path(i)))], options={"shard": (i, self.count)}))
        if len(jobs) < self.count:
            self.say(f"{self.count - len(jobs)} of {self.count} shards are finished already")
        self.spec.arrays()  # what is in files is read, and travels
        failed = []
        for outcome in pool(jobs, self.spec._files, options, self._report, self._noted, self._left).outcomes():
            if outcome.state == "failed":
                failed.append(f"shard {outcome.number}/{self.count}: {'; '.join(outcome.lines)}")
            elif outcome.state == "finished":
                self.missing.remove(outcome.number)
                rows = shards.rows_of(self.spec.replicates, (outcome.number, self.count))[1]
                self.done[outcome.number] = rows * self.spec.horizon * max(len(self.spec.arms or ()), 1)
        if failed:
            raise RunError("\n".join([f"{len(failed)} of {self.count} shards failed", *failed[:20]]))
        if self.missing:
            why = self.stop.reason or "time limit reached"
            there = self.count - len(self.missing)
            raise StoppedEarly(
                f"{why} with {there} of {self.count} shards finished; {self.folder} keeps them and the same command goes on"
            )

    def merged(self, force: bool) -> store.Run:
        """The run, in place of its shards."""
        found = merge([self.path(i) for i in range(1, self.count + 1)], self.target, force=force)
        self.clear()
        return found

    def clear(self) -> None:
        """Remove the shards."""
        for index, count in self.kept():
            (self.folder / f"shard-{index}-of-{count}.h5").unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _report(self, number: int, done: int, total: int) -> None:
        self.done[number] = max(done, self.done[number])

    def _noted(self, number: int, text: str) -> None:
        if not text.startswith(("loading kernels", "resuming")):
            self.say(f"shard {number}/{self.count}: {text}")

    def _left(self) -> float | None:
        now = time.monotonic()
        self.progress(self.before + sum(self.done.values()), self.total, now - self.begun)
        if self.stop.reason is not None:
            return 0.0
        return None if self.deadline is None else self.deadline - now


def _parts(spec: Spec, workers: int) -> int:
    """Into how many shards a run is cut."""
    from fastsgd.kernels.moments import BLOCK

    steps, arms = len(spec.record_steps()), max(len(spec.arms or ()), 1)
    size = 8.0 * spec.replicates * arms * (steps + 4)
    blocks = -(-spec.replicates // BLOCK)
    return int(min(blocks, max(TASKS * workers, size // LARGEST + 1, min(MOST, grid.cost(spec) // DEAREST + 1))))


def _workers(client: Any) -> int:
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"]))


__all__ = ["Status", "run", "sweep"]

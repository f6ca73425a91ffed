"""`sweep`: every cell of a grid as an ordinary run in one folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd import shards, store
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.store import index as folder_index
from fastsgd.store.index import FAILED, FINISHED, STOPPED, WAITING, CellEntry, Index
from fastsgd.sweeps import grid, together
from fastsgd.sweeps.pool import Job, Outcome, Pool, started
from fastsgd.threads import available, cores

if TYPE_CHECKING:
    from fastsgd.spec import Spec

SAVE_EVERY = 2.0
SHOWN = 20  # lines about broken cells in the final message


@dataclass(frozen=True)
class Status:
    """How far a sweep is: cells finished, failed and in all, and replicate-steps done and in all."""

    finished: int
    failed: int
    cells: int
    done: int
    total: int
    seconds: float


def sweep(
    spec: Spec | str | Path | Mapping[str, object],
    path: str | Path | None = None,
    *,
    vary: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    overrides: Sequence[str] = (),
    independent: bool | None = None,
    shard: str | None = None,
    threads: int | None = None,
    progress: Callable[[Status], None] | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    force: bool = False,
    allow_unstable: bool = False,
) -> Path:
    """Run every cell of a grid and store each as an ordinary run in one folder, with an index.

    Finished cells are left alone, unfinished ones go on. A cell that fails does not stop the others. All cells share
    one seed, so that they see the same random numbers, unless they are to be independent.

    Args:
        spec: as for `run`, with a [sweep] or without.
        path: the folder; default: the spec's file without its suffix, or its name.
        vary: key -> values, or "KEY=V1,V2" texts; in the place of the spec's or beside them.
        overrides: "key.subkey=value" settings on top of the spec.
        independent: each cell gets its own seed, from the base seed and its values; default: as the spec says, or no.
        shard: "I/N": run only every N-th cell, from the I-th on, for job arrays that share the folder.
        threads: cores in all; default all. No number depends on it.
        progress: called a few times a second with a Status.
        note: called with one-line remarks.
        time_limit: seconds after which the running cells are saved and StoppedEarly raised.
        force: replace run files that are there.
        allow_unstable: run cells past the largest stable step too.

    Returns:
        The folder; its `sweep.json` lists the cells, each file in it is opened by `fastsgd.open_run`.

    Raises:
        SpecError: the spec has problems. InputError: nothing is swept, or the folder holds other runs. Nothing was
        started.
        RunError: some cells failed, after all others were run.
        StoppedEarly: interrupt or time limit; the same call goes on.
    """
    wanted = cores(threads)
    new = path is None or not folder_index.is_sweep(path)
    with started(min(wanted, available()) if new else 0, wanted) as workers:
        return sweep_with(
            partial(Pool, cores=wanted, started=workers), wanted, spec, path, vary=vary, overrides=overrides,
            independent=independent, shard=shard, progress=progress, note=note, time_limit=time_limit, force=force,
            allow_unstable=allow_unstable,
        )  # fmt: skip


def sweep_with(
    pool: Callable[..., Any],
    workers: int,
    spec: Any,
    path: str | Path | None = None,
    *,
    progress: Callable[[Status], None] | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    allow_unstable: bool = False,
    shard: str | None = None,
    force: bool = False,
    **grid_options: Any,
) -> Path:
    """`sweep` on any pool of workers.

    Args:
        pool: called with jobs, files, options, report, note and left, as `Pool` has them; gives an object with `outcomes()`.
        workers: how many cells go at once.
        grid_options: vary, overrides, independent.
    """
    made = prepare(spec, path, shard=shard, force=force, **grid_options)
    job = Sweeping(made, _part(shard, len(made.cells)), progress, note or (lambda text: None), time_limit)
    job.run(pool, workers, {"force": force, "allow_unstable": allow_unstable})
    return made.folder


@dataclass
class Prepared:
    """A sweep about to run: base spec, cells, folder and the index that is in it."""

    spec: Spec
    cells: list[grid.Cell]
    folder: Path
    index: Index


def prepare(
    spec: Any,
    path: str | Path | None,
    *,
    vary: Mapping[str, Sequence[Any]] | Sequence[str] = (),
    overrides: Sequence[str] = (),
    independent: bool | None = None,
    shard: str | None = None,
    force: bool = False,
) -> Prepared:
    """Check everything that can be checked, make the folder and its index; nothing is simulated."""
    from fastsgd.spec import Spec, load_spec

    base = spec if isinstance(spec, Spec) and not overrides else load_spec(spec, overrides, cells=False)
    folder = Path(path) if path is not None else default_folder(spec, base)
    before = folder_index.read_index(folder) if folder_index.is_sweep(folder) else None
    if before is not None and base.seed is None:
        base = base.with_seed(before.seed)
    if shard is not None and base.seed is None:
        raise InputError(shards.NO_SEED)
    base = base.draw_seed()
    axes = grid.axes_of(base, vary if isinstance(vary, Mapping) else grid.parse_vary(vary))
    own = base.independent if independent is None else independent
    cells = grid.cells_of(base, axes, own)
    if all(cell.error for cell in cells):
        raise InputError(list(dict.fromkeys(f"{cell.name}: {cell.error}" for cell in cells))[:SHOWN])
    entries = tuple(
        CellEntry(cell.values, cell.file, cell.identity, FAILED if cell.error else WAITING, cell.error)
        for cell in cells
    )
    made = Index(base.name, base.seed or 0, own, tuple(axes), entries)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; give another one with -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {folder} cannot be made: {error.strerror or error}") from None
    with folder_index.locked_index(folder):
        if folder_index.is_sweep(folder) and not force:
            made = joined(folder, folder_index.read_index(folder), made)
        folder_index.write_index(folder, made)
    return Prepared(base, cells, folder, made)


def default_folder(source: object, spec: Spec) -> Path:
    """Where a sweep goes if nobody says: beside its spec, named like it."""
    return Path(source).with_suffix("") if isinstance(source, str | Path) else Path(spec.name)


def joined(folder: Path, old: Index, new: Index) -> Index:
    """The index of a folder that has one already: further values are fine, another spec or other keys are not."""
    if old.keys != new.keys:
        raise InputError(
            f"{folder} holds a sweep over {', '.join(old.keys)}, not {', '.join(new.keys)}; give another folder with "
            "-o, or --force to begin again"
        )
    known = {cell.file: cell for cell in old.cells}
    for cell in new.cells:
        before = known.get(cell.file)
        if before is not None and before.identity and cell.identity and before.identity != cell.identity:
            raise InputError(
                f"{folder} holds a sweep of another spec ({cell.file} differs); give another folder with -o, or "
                "--force to begin again"
            )
    cells = [cell if cell.error else known.get(cell.file, cell) for cell in new.cells]
    mine = {cell.file for cell in cells}
    return replace(new, cells=(*cells, *(cell for cell in old.cells if cell.file not in mine)))


def _part(shard: str | None, cells: int) -> slice:
    if shard is None:
        return slice(None)
    first, parts = shards.parse(shard)
    if parts > cells:
        raise InputError(f"shard {first}/{parts}: the sweep has {cells} cells; give N <= {cells}")
    return slice(first - 1, None, parts)


class Sweeping:
    """Runs the cells of a prepared sweep, or a part of them, and keeps the index."""

    def __init__(
        self,
        made: Prepared,
        part: slice,
        progress: Callable[[Status], None] | None,
        note: Callable[[str], None],
        time_limit: float | None,
    ):
        self.made, self.note = made, note
        self.progress = progress or (lambda status: None)
        self.begun = time.monotonic()
        self.deadline = None if time_limit is None else self.begun + time_limit
        self.cells = dict(enumerate(made.cells))
        self.mine = list(range(len(made.cells)))[part]
        self.entries = {number: made.index.cells[number] for number in self.mine}
        totals = {n: cell_total(cell.spec) for n in self.mine if (cell := self.cells[n]).spec is not None}
        self.totals, self.done = totals, dict.fromkeys(totals, 0)
        self.unsaved: set[int] = set()
        self.saved = self.begun

    def run(self, pool: Callable[..., Any], workers: int, options: dict[str, Any]) -> None:
        """All cells; see `sweep` for what it raises."""
        todo = [number for number in self.mine if self._to_do(number, options["force"])]
        for number in self.mine:
            if (cell := self.cells[number]).error:
                self.note(f"{cell.name}: no valid spec, the others go on")
        already = sum(entry.state == FINISHED for entry in self.entries.values())
        if already:
            self.note(f"{already} of {len(self.mine)} cells are finished already")
        stopped = None
        if todo:
            stopped = self._drive(self._jobs(todo, workers), pool, options)
        self._save()
        self._end(stopped)

    def _to_do(self, number: int, force: bool) -> bool:
        """Whether a cell has work left; its state is that of its file."""
        cell, path = self.cells[number], self.made.folder / self.cells[number].file
        if cell.spec is None:
            return False
        there = path.exists()
        self._mark(number, STOPPED if there and not force else WAITING)
        if force or not there:
            return True
        try:
            run = store.open_run(path)
        except (InputError, RunError):
            return True  # its own message comes when it is tried
        whole = run.sealed and run.identity == cell.identity and run.replicates == cell.spec.replicates
        if whole:
            self._mark(number, FINISHED)
            self.done[number] = self.totals[number]
        return not whole

    def _jobs(self, todo: Sequence[int], cores: int) -> list[Job]:
        """The cheapest first; small cells that are alike as one job, of which there are several for each core."""
        folder = self.made.folder
        specs = {number: spec for number in todo if (spec := self.cells[number].spec) is not None}
        costs = {number: grid.cost(spec) for number, spec in specs.items()}
        groups: dict[str, list[int]] = {}
        for number, spec in specs.items():
            small = costs[number] < together.LARGEST and self.entries[number].state == WAITING
            key = together.alike(spec) if small else None
            groups.setdefault(key or str(number), []).append(number)
        jobs = []
        for members in groups.values():
            spec = specs[members[0]]
            most = min(together.most(spec), max(1, -(-len(specs) // (4 * cores))))
            for at in range(0, len(members), most):
                some = members[at : at + most]
                cells = [(n, specs[n].raw(), str(folder / self.cells[n].file)) for n in some]
                small = self.entries[some[0]].state == WAITING and costs[some[0]] < together.LARGEST
                jobs.append((sum(costs[n] for n in some), some[0], Job(cells, small)))
        return [job for _, _, job in sorted(jobs, key=lambda one: one[:2])]

    def _drive(self, jobs: list[Job], pool: Callable[..., Any], options: dict[str, Any]) -> str | None:
        """Runs jobs; why it stopped before the end, or None."""
        with StopRequest() as stop:
            stop.saving = True
            left = self._left(stop)
            made = pool(jobs, self.made.spec._files, options=options, report=self._report, note=self._noted, left=left)
            try:
                for outcome in made.outcomes():
                    self._ended(outcome)
            except KeyboardInterrupt:
                return "interrupted twice"
            finally:
                self._save()
            if any(entry.state in (WAITING, STOPPED) for entry in self.entries.values()):
                late = self.deadline is not None and time.monotonic() >= self.deadline
                return stop.reason or ("time limit reached" if late else "a worker process was terminated")
        return None

    def _left(self, stop: StopRequest) -> Callable[[], float | None]:
        def left() -> float | None:
            self._tell()
            if stop.reason is not None:
                return 0.0
            return None if self.deadline is None else self.deadline - time.monotonic()

        return left

    def _report(self, number: int, done: int, total: int) -> None:
        self.done[number], self.totals[number] = done, total

    def _noted(self, number: int, text: str) -> None:
        if not text.startswith(("loading kernels", "resuming")):
            self.note(f"{self.cells[number].name}: {text}")

    def _ended(self, outcome: Outcome) -> None:
        number, lines = outcome.number, outcome.lines
        if outcome.state == FINISHED:
            self.done[number] = self.totals[number]
            self._mark(number, FINISHED)
        elif outcome.state == STOPPED:
            self._mark(number, STOPPED)
        else:
            self._mark(number, FAILED, "; ".join(lines))
            self.note(f"{self.cells[number].name}: failed, the others go on")
        if time.monotonic() - self.saved > SAVE_EVERY:
            self._save()
        self._tell()

    def _mark(self, number: int, state: str, error: str | None = None) -> None:
        entry = replace(self.entries[number], state=state, error=error)
        if entry != self.entries[number]:
            self.entries[number] = entry
            self.unsaved.add(number)

    def _save(self) -> None:
        if self.unsaved:
            folder_index.update_index(self.made.folder, [self.entries[number] for number in self.unsaved])
            self.unsaved.clear()
        self.saved = time.monotonic()

    def _tell(self) -> None:
        states = [entry.state for entry in self.entries.values()]
        finished, failed = states.count(FINISHED), states.count(FAILED)
        done, total = sum(self.done.values()), sum(self.totals.values())
        self.progress(Status(finished, failed, len(states), done, total, time.monotonic() - self.begun))

    def _end(self, stopped: str | None) -> None:
        failed = [entry for entry in self.entries.values() if entry.state == FAILED]
        finished = sum(entry.state == FINISHED for entry in self.entries.values())
        if stopped is not None:
            raise StoppedEarly(
                f"{stopped} with {finished} of {len(self.entries)} cells finished; {self.made.folder} is saved and "
                "goes on when the same command is given again"
            )
        if failed:
            lines = [f"{entry.file}: {entry.error}" for entry in failed[:SHOWN]]
            more = [f"... and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
            raise RunError("\n".join([f"{len(failed)} of {len(self.entries)} cells failed", *lines, *more]))


def cell_total(spec: Spec) -> int:
    """Replicate-steps of a cell, as the engine counts them."""
    return spec.replicates * spec.horizon * max(len(spec.arms or ()), 1)

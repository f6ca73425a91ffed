"""The runs of all chosen entries on all cores, and each entry's analysis as soon as its runs are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastsgd import store
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.experiments.analysts import Analysts
from fastsgd.experiments.base import Entry
from fastsgd.experiments.saved import known
from fastsgd.experiments.scale import Planned
from fastsgd.interrupts import StopRequest
from fastsgd.spec.files import Files
from fastsgd.sweeps import Status
from fastsgd.sweeps.grid import cost
from fastsgd.sweeps.pool import Job, Outcome, Pool

FINISHED = "finished"
Submit = Callable[[dict[str, Any]], "Future[dict[str, Any]]"]
Needs = Sequence[tuple[Entry, Sequence[Planned]]]
# Seconds, about, that compiling takes; kernels of other names are taken as the smallest.
COMPILING = {"linear": 8, "pool": 12, "weighted": 8, "fresh": 7, "newsvendor": 5, "queue": 4}


class Queue:
    """Takes the runs of entries through worker processes of one core each; files that are whole are left alone.

    Args:
        needs: entry and its runs; a run that several entries need is simulated once.
        later: gives the needs of further entries, which take long to plan: called in a thread while the first are simulated.
        names: of all entries, in the order of the results.
        scale, folder: of the results. specs: folder of the specs.
    """

    def __init__(
        self,
        needs: Needs,
        later: Callable[[], Needs] | None,
        names: Sequence[str],
        scale: str,
        folder: Path,
        specs: Path,
        progress: Callable[[Status], None] | None,
        note: Callable[[str], None],
    ):
        self.scale, self.folder, self.specs = scale, folder, specs
        self.note, self.later, self.names = note, later, names
        self.progress = progress or (lambda status: None)
        self.needs: list[tuple[Entry, Sequence[Planned]]] = []
        self.runs: list[Planned] = []
        self.done: dict[Path, int] = {}
        self.finished: set[Path] = set()
        self.failed: dict[Path, list[str]] = {}
        self.begun = time.monotonic()
        self.results: dict[str, Future[dict[str, Any]]] = {}
        self.order: list[Planned] = []
        self._take(needs)

    def _take(self, needs: Needs) -> list[Planned]:
        """Make entries known; their runs that are to be simulated. Results that are stored and whole are read."""
        self.needs += needs
        new = {run.path: run for _, of in needs for run in of if run.path not in self.done}
        self.runs += new.values()
        self.done |= {path: run.total if whole(run) else 0 for path, run in new.items()}
        self.finished |= {path for path in new if self.done[path]}
        for entry, runs in needs:
            result = known(entry, runs, self.scale, self.folder) if self._ready(runs) else None
            if result is not None:
                self.results[entry.name] = Future()
                self.results[entry.name].set_result(result)
        return [run for path, run in new.items() if path not in self.finished]

    def run(self, cores: int, deadline: float | None) -> list[dict[str, Any]]:
        """Results of the entries, in their order.

        Raises:
            StoppedEarly: interrupted or late; what is there stays. RunError: a run failed, after all others were run.
        """
        todo = [run for run in self.runs if run.path not in self.finished]
        if not todo and self.later is not None:
            todo, self.later = self._take(self.later()), None
        if not todo:
            self.note(f"all {len(self.runs)} runs are stored already; nothing is simulated")
        elif self.later is None:
            self.note(f"{len(todo)} of {len(self.runs)} runs to simulate")
        count = min(cores, len(self.names) - len(self.results))
        if not count:
            return self._results()
        analysts = Analysts(count)
        try:
            with StopRequest() as stop, ThreadPoolExecutor(max_workers=count) as threads:
                try:
                    return self._work(
                        todo, cores, deadline, stop, lambda request: threads.submit(analysts.ask, request)
                    )
                except BaseException:
                    threads.shutdown(wait=False, cancel_futures=True)
                    analysts.close()
                    raise
        finally:
            analysts.close()

    def _work(
        self, todo: list[Planned], cores: int, deadline: float | None, stop: StopRequest, submit: Submit
    ) -> list[dict[str, Any]]:
        self._finish_ready(submit)
        stopped = self._simulate(todo, cores, deadline, stop, submit) if todo else None
        stop.saving = False
        try:
            if stopped is not None:
                count = f"{len(self.finished)} of {len(self.runs)} runs finished"
                raise StoppedEarly(f"{stopped} with {count}; the same command goes on")
            self._raise_failed()
            if any(not future.done() for future in self.results.values()):
                self.note("analysing, drawing")
            return self._results()
        except KeyboardInterrupt:
            raise StoppedEarly(f"{stop.reason} while results were written; the same command goes on") from None

    def _results(self) -> list[dict[str, Any]]:
        return [self.results[name].result() for name in self.names]

    def _simulate(
        self, todo: list[Planned], cores: int, deadline: float | None, stop: StopRequest, submit: Submit
    ) -> str | None:
        """Run all jobs; why it stopped before the end, or None."""
        stop.saving = True
        planner = ThreadPoolExecutor(max_workers=1)
        coming = None if self.later is None else planner.submit(self.later)

        def jobs(runs: Sequence[Planned]) -> list[Job]:
            first = len(self.order)
            self.order += runs
            return [
                Job([(first + n, run.spec.raw(), str(run.path))], options={"allow_unstable": run.part.unstable})
                for n, run in enumerate(runs)
            ]

        def admit() -> None:
            """The entries that were planned meanwhile."""
            nonlocal coming
            if coming is not None and coming.done():
                needs, coming = coming.result(), None
                new = self._take(needs)
                self.note(f"{len(new) + len(todo)} of {len(self.runs)} runs to simulate")
                first, between, last = _order(new, loaded={_kernels(run) for run in todo})
                pool.add(jobs([*first, *between]), jobs(last))
                self._finish_ready(submit)

        def left() -> float | None:
            admit()
            self._tell()
            if stop.reason is not None:
                return 0.0
            return None if deadline is None else deadline - time.monotonic()

        def report(number: int, done: int, total: int) -> None:
            self.done[self.order[number].path] = done

        def noted(number: int, text: str) -> None:
            if not text.startswith(("loading kernels", "resuming")):
                self.note(f"{self.order[number].path.name}: {text}")

        first, between, last = _order(todo)
        pool = Pool(
            jobs([*first, *between, *reversed(last)]), Files(self.specs), cores, {"force": False}, report, noted, left,
            stagger=not first or not last, expecting=coming is not None,
        )  # fmt: skip
        try:
            for outcome in pool.outcomes():
                self._ended(self.order[outcome.number], outcome)
                self._finish_ready(submit)
        except KeyboardInterrupt:
            return "interrupted twice"
        finally:
            planner.shutdown(wait=False, cancel_futures=True)
        self._tell()
        if coming is None and len(self.finished) + len(self.failed) == len(self.runs):
            return None
        return stop.reason or ("time limit reached" if left() is not None else "a worker process was terminated")

    def _ended(self, run: Planned, outcome: Outcome) -> None:
        if outcome.state == FINISHED:
            self.finished.add(run.path)
            self.done[run.path] = run.total
        elif outcome.state == "failed":
            self.failed[run.path] = outcome.lines
        self._tell()

    def _ready(self, runs: Sequence[Planned]) -> bool:
        return all(run.path in self.finished for run in runs)

    def _finish_ready(self, submit: Submit) -> None:
        about = {"scale": self.scale, "folder": str(self.folder)}
        for entry, runs in self.needs:
            if entry.name not in self.results and self._ready(runs):
                files = [(run.part.spec, run.label, str(run.path)) for run in runs]
                self.results[entry.name] = submit({"name": entry.name, "runs": files, **about})

    def _tell(self) -> None:
        done, total = sum(self.done.values()), sum(run.total for run in self.runs)
        seconds = time.monotonic() - self.begun
        self.progress(Status(len(self.finished), len(self.failed), len(self.runs), done, total, seconds))

    def _raise_failed(self) -> None:
        if self.failed:
            lines = [f"{path.name}: {'; '.join(why)}" for path, why in self.failed.items()]
            raise RunError("\n".join([f"{len(self.failed)} of {len(self.runs)} runs failed", *lines]))


def _order(todo: Sequence[Planned], loaded: Collection[str] = ()) -> tuple[list[Planned], list[Planned], list[Planned]]:
    """Runs for the first workers, the cheapest first; runs between; runs for the last workers, in the order they take them.

    Workers begin at the two ends. A run of each kind of kernels that is not `loaded` stands there, about the same time of
    compiling at either end, so that nothing is compiled twice.
    """
    between = sorted(todo, key=lambda run: cost(run.spec))
    ends: tuple[list[Planned], list[Planned]] = ([], [])
    times = [0, 0]
    kinds = {_kernels(run) for run in todo} - set(loaded)
    for kind in sorted(kinds, key=lambda kind: (-COMPILING.get(kind, 0), kind)):
        place = 1 if times[1] <= times[0] else 0
        one = next(run for run in between if _kernels(run) == kind)
        between.remove(one)
        ends[place].append(one)
        times[place] += COMPILING.get(kind, min(COMPILING.values()))
    return ends[0], between, ends[1]


def _kernels(run: Planned) -> str:
    """A name for the kernels that a run compiles."""
    kind = str(run.spec.problem.kind)
    if kind in ("quadratic", "ou"):
        return "linear"
    if kind != "glm":
        return kind
    designs = {spec.sampling.design for spec in run.spec.arm_specs().values()}
    if "fresh" in designs:
        return "fresh"
    return "pool" if designs <= {"with-replacement", "without-replacement"} else "weighted"


def whole(run: Planned) -> bool:
    """Whether the file of a run is there and finished. InputError if something else stands in its place."""
    if not run.path.exists():
        return False
    stored = store.open_run(run.path)
    if stored.identity != run.identity or stored.replicates != run.spec.replicates:
        raise InputError(f"{run.path} holds another run; move it away or give another folder with -o")
    return bool(stored.sealed)

"""The runs of all chosen entries on all cores, and each entry's analysis as soon as its runs are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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


class Queue:
    """Takes the runs of entries through worker processes of one core each; files that are whole are left alone.

    Args:
        needs: entry and its runs; a run that several entries need is simulated once.
        scale, seed, folder: of the results. specs: folder of the specs.
    """

    def __init__(
        self,
        needs: Sequence[tuple[Entry, Sequence[Planned]]],
        scale: str,
        seed: int | None,
        folder: Path,
        specs: Path,
        progress: Callable[[Status], None] | None,
        note: Callable[[str], None],
    ):
        self.needs, self.scale, self.seed, self.folder, self.specs = needs, scale, seed, folder, specs
        self.note = note
        self.progress = progress or (lambda status: None)
        runs: dict[Path, Planned] = {run.path: run for _, of in needs for run in of}
        self.runs = list(runs.values())
        self.done = {run.path: run.total if whole(run) else 0 for run in self.runs}
        self.finished = {path for path, done in self.done.items() if done}
        self.failed: dict[Path, list[str]] = {}
        self.begun = time.monotonic()
        self.results: dict[str, Future[dict[str, Any]]] = {}

    def run(self, cores: int, deadline: float | None) -> list[dict[str, Any]]:
        """Results of the entries, in their order.

        Raises:
            StoppedEarly: interrupted or late; what is there stays. RunError: a run failed, after all others were run.
        """
        todo = [run for run in self.runs if run.path not in self.finished]
        if todo:
            self.note(f"{len(todo)} of {len(self.runs)} runs to simulate")
        else:
            self.note(f"all {len(self.runs)} runs are stored already; nothing is simulated")
        for entry, runs in self.needs:
            result = known(entry, runs, self.scale, self.folder) if self._ready(runs) else None
            if result is not None:
                self.results[entry.name] = Future()
                self.results[entry.name].set_result(result)
        left = len(self.needs) - len(self.results)
        count = min(cores, left)
        if not count:
            return [self.results[entry.name].result() for entry, _ in self.needs]
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
            return [self.results[entry.name].result() for entry, _ in self.needs]
        except KeyboardInterrupt:
            raise StoppedEarly(f"{stop.reason} while results were written; the same command goes on") from None

    def _simulate(
        self, todo: list[Planned], cores: int, deadline: float | None, stop: StopRequest, submit: Submit
    ) -> str | None:
        """Run all jobs; why it stopped before the end, or None."""
        stop.saving = True
        order, alike = _order(todo)
        jobs = [
            Job([(n, run.spec.raw(), str(run.path))], options={"allow_unstable": run.part.unstable})
            for n, run in enumerate(order)
        ]

        def left() -> float | None:
            self._tell()
            if stop.reason is not None:
                return 0.0
            return None if deadline is None else deadline - time.monotonic()

        def report(number: int, done: int, total: int) -> None:
            self.done[order[number].path] = done

        def noted(number: int, text: str) -> None:
            if not text.startswith(("loading kernels", "resuming")):
                self.note(f"{order[number].path.name}: {text}")

        pool = Pool(jobs, Files(self.specs), cores, {"force": False}, report, noted, left, stagger=alike)
        try:
            for outcome in pool.outcomes():
                self._ended(order[outcome.number], outcome)
                self._finish_ready(submit)
        except KeyboardInterrupt:
            return "interrupted twice"
        self._tell()
        if len(self.finished) + len(self.failed) == len(self.runs):
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
        about = {"scale": self.scale, "seed": self.seed, "folder": str(self.folder), "specs": str(self.specs)}
        for entry, runs in self.needs:
            if entry.name not in self.results and self._ready(runs):
                self.results[entry.name] = submit({"name": entry.name, **about})

    def _tell(self) -> None:
        done, total = sum(self.done.values()), sum(run.total for run in self.runs)
        seconds = time.monotonic() - self.begun
        self.progress(Status(len(self.finished), len(self.failed), len(self.runs), done, total, seconds))

    def _raise_failed(self) -> None:
        if self.failed:
            lines = [f"{path.name}: {'; '.join(why)}" for path, why in self.failed.items()]
            raise RunError("\n".join([f"{len(self.failed)} of {len(self.runs)} runs failed", *lines]))


def _order(todo: Sequence[Planned]) -> tuple[list[Planned], bool]:
    """The cheapest first, but before it one that needs other kernels than the dearest: two workers begin at the two ends,
    and need not compile the same at the same time. And whether there is no such run.
    """
    order = sorted(todo, key=lambda run: cost(run.spec))
    other = next((run for run in order if _kernels(run) != _kernels(order[-1])), None)
    if other is not None:
        order.remove(other)
        order.insert(0, other)
    return order, other is None


def _kernels(run: Planned) -> str:
    kind = str(run.spec.problem.kind)
    return "linear" if kind in ("quadratic", "ou") else kind


def whole(run: Planned) -> bool:
    """Whether the file of a run is there and finished. InputError if something else stands in its place."""
    if not run.path.exists():
        return False
    stored = store.open_run(run.path)
    if stored.identity != run.identity or stored.replicates != run.spec.replicates:
        raise InputError(f"{run.path} holds another run; move it away or give another folder with -o")
    return bool(stored.sealed)

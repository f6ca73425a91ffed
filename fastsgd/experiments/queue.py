"""The runs of all chosen entries on all cores, and each entry's analysis as soon as its runs are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastsgd import store
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.experiments.base import Entry
from fastsgd.experiments.saved import finish
from fastsgd.experiments.scale import Planned
from fastsgd.interrupts import StopRequest
from fastsgd.spec.files import Files
from fastsgd.sweeps import Status
from fastsgd.sweeps.grid import cost
from fastsgd.sweeps.pool import Job, Outcome, Pool

FINISHED = "finished"


class Queue:
    """Takes the runs of entries through worker processes of one core each; files that are whole are left alone.

    Args:
        needs: entry and its runs; a run that several entries need is simulated once.
        scale, folder: of the results. specs: folder that file names in the specs are relative to.
    """

    def __init__(
        self,
        needs: Sequence[tuple[Entry, Sequence[Planned]]],
        scale: str,
        folder: Path,
        specs: Path,
        progress: Callable[[Status], None] | None,
        note: Callable[[str], None],
    ):
        self.needs, self.scale, self.folder, self.specs, self.note = needs, scale, folder, specs, note
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
        with StopRequest() as stop, ThreadPoolExecutor(max_workers=1) as analyst:
            try:
                self._finish_ready(analyst)
                stopped = self._simulate(todo, cores, deadline, stop, analyst) if todo else None
                stop.saving = False
                if stopped is not None:
                    count = f"{len(self.finished)} of {len(self.runs)} runs finished"
                    raise StoppedEarly(f"{stopped} with {count}; the same command goes on")
                self._raise_failed()
                return [self.results[entry.name].result() for entry, _ in self.needs]
            except KeyboardInterrupt:
                raise StoppedEarly(f"{stop.reason} while results were written; the same command goes on") from None
            finally:
                analyst.shutdown(wait=False, cancel_futures=True)

    def _simulate(
        self, todo: list[Planned], cores: int, deadline: float | None, stop: StopRequest, analyst: ThreadPoolExecutor
    ) -> str | None:
        """Run all jobs; why it stopped before the end, or None."""
        stop.saving = True
        order = sorted(todo, key=lambda run: cost(run.spec))
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

        pool = Pool(jobs, Files(self.specs), cores, {"force": False}, report, noted, left)
        try:
            for outcome in pool.outcomes():
                self._ended(order[outcome.number], outcome)
                self._finish_ready(analyst)
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

    def _finish_ready(self, analyst: ThreadPoolExecutor) -> None:
        for entry, runs in self.needs:
            if entry.name not in self.results and all(run.path in self.finished for run in runs):
                self.results[entry.name] = analyst.submit(finish, entry, runs, self.scale, self.folder)

    def _tell(self) -> None:
        done, total = sum(self.done.values()), sum(run.total for run in self.runs)
        seconds = time.monotonic() - self.begun
        self.progress(Status(len(self.finished), len(self.failed), len(self.runs), done, total, seconds))

    def _raise_failed(self) -> None:
        if self.failed:
            lines = [f"{path.name}: {'; '.join(why)}" for path, why in self.failed.items()]
            raise RunError("\n".join([f"{len(self.failed)} of {len(self.runs)} runs failed", *lines]))


def whole(run: Planned) -> bool:
    """Whether the file of a run is there and finished. InputError if something else stands in its place."""
    if not run.path.exists():
        return False
    stored = store.open_run(run.path)
    if stored.identity != run.identity or stored.replicates != run.spec.replicates:
        raise InputError(f"{run.path} holds another run; move it away or give another folder with -o")
    return bool(stored.sealed)

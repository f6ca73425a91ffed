"""Cells on this machine's cores: worker processes of one core each, and what falls idle goes to the cells that are left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fastsgd.errors import RunError
from fastsgd.interrupts import without_ctrl_c

POLL = 0.25
GRACE = 20.0  # seconds that workers get to save when the sweep stops
TRIES = 2
REMARKS = ("progress", "note")


@dataclass
class Job:
    """Cells for one worker.

    Attributes:
        cells: of each its place in the sweep, its tables and its file; those that have ended are taken out.
        together: whether they may be simulated at once (`together.alike`).
        tries: how often it was begun.
        options: of `engine.run`, beside those of the pool.
    """

    cells: list[tuple[int, dict[str, Any], str]]
    together: bool = False
    tries: int = 0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a cell ended: "finished", "stopped" or "failed", with lines that say why."""

    number: int
    state: str
    lines: list[str]


def pass_on(kind: str, rest: Any, report: Callable[[int, int, int], None], note: Callable[[int, str], None]) -> None:
    """What a worker remarked of its cells, one of REMARKS."""
    if kind == "note":
        note(*rest)
        return
    numbers, done, total = rest
    for number in numbers:
        report(number, done, total)


class Process:
    """One worker process and what it is doing."""

    def __init__(self, cores: int):
        mine, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            command = [sys.executable, "-m", "fastsgd.sweeps.worker", str(theirs.fileno())]
            with without_ctrl_c():
                self.process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=2,
                    env=environment(cores),
                )  # fmt: skip
        self.pipe = Connection(mine.detach())
        self.dear = False
        self.ready = False
        self.job: Job | None = None
        self.threads = 1

    def send(self, *message: Any) -> None:
        """Best effort: that a worker died is seen when its pipe ends."""
        with suppress(OSError):
            self.pipe.send(message)

    def begin(self, job: Job, threads: int, options: dict[str, Any]) -> None:
        self.job, self.threads = job, threads
        job.tries += 1
        self.send("cells", job.cells, job.together, threads, options | job.options)

    def end(self) -> str:
        """Take leave of a process that ended or should; how it ended, in words."""
        self.pipe.close()
        try:
            code = self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


@contextmanager
def started(count: int, cores: int) -> Iterator[list[Process]]:
    """Processes that import what they need meanwhile; those that nobody took are ended."""
    spare = [Process(cores) for _ in range(count)]
    try:
        yield spare
    finally:
        for worker in spare:
            worker.process.kill()
            worker.end()


def environment(cores: int) -> dict[str, str]:
    """The environment of a worker: it finds this very package, and may grow to all cores."""
    folder = str(Path(__file__).resolve().parents[2])
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    inherited = {key: value for key, value in os.environ.items() if key != "FASTSGD_THREADS"}
    return inherited | {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": str(cores)}


class Pool:
    """Runs jobs; iterate over `outcomes()`.

    Half of the workers take the dearest cell first, the others the cheapest: results of cheap cells come early, dear
    ones are not left for the end. When no cell waits any more, idle cores become threads of the running ones.

    Args:
        jobs: the cheapest first.
        files: `Files` of the spec, for the workers.
        cores: threads in all.
        options: of `engine.run` (force, allow_unstable).
        report: called with (number, done, total) of a cell.
        note: called with remarks of cells.
        left: seconds until the sweep must stop, asked before each cell and while they run; None for no limit.
        started: processes that wait for work already.
        stagger: give the other workers work when the first one has its kernels, so that they are not compiled twice.
        expecting: jobs are still to come, by `add`; workers wait for them.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        files: Any,
        cores: int,
        options: dict[str, Any],
        report: Callable[[int, int, int], None],
        note: Callable[[int, str], None],
        left: Callable[[], float | None],
        started: list[Process] | None = None,
        stagger: bool = False,
        expecting: bool = False,
    ):
        self.stagger, self.expecting = stagger, expecting
        self.waiting = deque(jobs)
        self.files, self.cores, self.options = files, cores, options
        self.report, self.note, self.left = report, note, left
        self.workers: list[Process] = []
        self.spare = started if started is not None else []
        self.stopping = False
        self.absent: list[bool] = []

    @property
    def running(self) -> list[Process]:
        return [worker for worker in self.workers if worker.job is not None]

    def outcomes(self) -> Iterator[Outcome]:
        """Each cell's end, as it comes. Ends early, with the running cells saved, once `stop` was called."""
        try:
            wanted = self.cores if self.expecting else min(self.cores, len(self.waiting))
            self.absent = [place % 2 == 0 for place in range(wanted)]
            self._enter(1 if self.stagger else wanted)
            while self.workers or (self.expecting and not self.stopping):
                yield from self._listen(POLL)
                left = self.left()
                if left is not None and left <= 0:
                    self.stop()
        finally:
            self._close()

    def add(self, first: Iterable[Job], last: Iterable[Job]) -> None:
        """The jobs that were expected: those of both ends, in the order in which workers take them from there."""
        self.expecting = False
        if self.stopping:
            return
        self.waiting.extendleft(reversed(list(first)))
        self.waiting.extend(reversed(list(last)))
        self._enter(len(self.absent))
        for worker in [worker for worker in self.workers if worker.ready and worker.job is None]:
            self._feed(worker)

    def stop(self) -> None:
        """Begin no further cell and let the running ones save."""
        if not self.stopping:
            self.stopping = True
            self.waiting.clear()
            for worker in self.workers:
                worker.send("stop")

    def _enter(self, count: int) -> None:
        """Start so many of the workers that are still to come, as far as there is work for them."""
        for _ in range(min(count, len(self.absent), len(self.waiting))):
            if not self.stopping:
                self._start(self.absent.pop(0))

    def _start(self, dear: bool) -> None:
        worker = self.spare.pop() if self.spare else Process(self.cores)
        worker.dear = dear
        worker.send("files", self.files)
        self.workers.append(worker)

    def _listen(self, seconds: float) -> Iterator[Outcome]:
        by_pipe: dict[Any, Process] = {worker.pipe: worker for worker in self.workers}
        for pipe in wait(list(by_pipe), seconds):
            worker = by_pipe[pipe]
            try:
                kind, *rest = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._died(worker)
                continue
            if kind in ("progress", "done"):
                self._enter(len(self.absent))
            if kind in REMARKS:
                pass_on(kind, rest, self.report, self.note)
            elif kind == "done":
                assert worker.job is not None
                worker.job.cells = [cell for cell in worker.job.cells if cell[0] != rest[0]]
                yield Outcome(*rest)
            else:
                worker.ready, worker.job = True, None
                self._feed(worker)

    def _feed(self, worker: Process) -> None:
        if self.waiting and not self.stopping:
            job = self.waiting.pop() if worker.dear else self.waiting.popleft()
            worker.begin(job, 1, self.options)
        elif not self.expecting or self.stopping:
            worker.send("end")
            self.workers.remove(worker)
            worker.end()
        self._share()

    def _share(self) -> None:
        """Cores that no waiting cell will take, spread over the running ones."""
        running = self.running
        if self.waiting or not running or any(not worker.ready for worker in self.workers):
            return
        for place, worker in enumerate(running):
            threads = self.cores // len(running) + (place < self.cores % len(running))
            if threads != worker.threads:
                worker.threads = threads
                worker.send("threads", threads)

    def _died(self, worker: Process) -> Iterator[Outcome]:
        """A worker that ended by itself: its cells are tried once more, elsewhere and one by one, from their last commit."""
        self.workers.remove(worker)
        how, job = worker.end(), worker.job
        if job is None and not worker.ready:
            raise RunError(f"a worker process could not start ({how}); its message stands above")
        for cell in job.cells if job is not None else ():
            assert job is not None
            if not self.stopping and job.tries < TRIES:
                self.note(cell[0], f"its process died ({how}); going on with it in another")
                self.waiting.appendleft(Job([cell], False, job.tries, job.options))
            else:
                yield Outcome(cell[0], "stopped" if self.stopping else "failed", [f"its process died ({how})"])
        if self.waiting and not self.stopping:
            self._start(worker.dear)

    def _close(self) -> None:
        """No process stays behind; those that run save first, unless interrupted at once."""
        try:
            self.stop()
            deadline = time.monotonic() + GRACE
            while self.running and time.monotonic() < deadline:
                for _ in self._listen(POLL):
                    pass
            for worker in self.workers:
                worker.send("end")
                worker.end()
        except KeyboardInterrupt:
            for worker in self.workers:
                worker.process.kill()
            raise
        self.workers.clear()

"""Jobs of a sweep as tasks of a Dask cluster, with the face of `sweeps.pool.Pool`."""

from __future__ import annotations

import os
import queue
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fastsgd.cluster import task
from fastsgd.errors import RunError
from fastsgd.store.raw import sync_folder
from fastsgd.sweeps.pool import POLL, Job, Outcome, pass_on


class ClusterPool:
    """Runs jobs on a cluster; iterate over `outcomes()`. Files come back through the client and appear here whole.

    A task whose worker dies is run again elsewhere by Dask; one that has cost several workers their lives has failed.
    """

    def __init__(
        self,
        client: Any,
        threads: int | None,
        jobs: Iterable[Job],
        files: Any,
        options: dict[str, Any],
        report: Callable[[int, int, int], None],
        note: Callable[[int, str], None],
        left: Callable[[], float | None],
    ):
        self.client, self.threads, self.jobs, self.files, self.options = client, threads, list(jobs), files, options
        self.report, self.note, self.left = report, note, left
        self.topic = f"fastsgd-{uuid.uuid4().hex}"
        self.messages: queue.Queue[Any] = queue.Queue()

    def outcomes(self) -> Iterator[Outcome]:
        """Each cell's end, as it comes. Ends early once nothing is `left`."""
        client = self.client
        client.subscribe_topic(self.topic, lambda event: self.messages.put(("event", event[1])))
        files = client.submit(task.given, self.files, pure=False)
        running: dict[Any, tuple[Any, Job]] = {}
        try:
            for rank, job in enumerate(reversed(self.jobs)):  # the dearest first
                cells = [(number, tables) for number, tables, _ in job.cells]
                future = client.submit(
                    task.simulate, files, cells, job.together, self.threads, self.options | job.options, self.topic,
                    pure=False, priority=-rank,
                )  # fmt: skip
                running[future.key] = (future, job)
                future.add_done_callback(lambda one: self.messages.put(("end", one.key)))
            while running:
                yield from self._listen(running)
                left = self.left()
                if left is not None and left <= 0:
                    return
        finally:
            self._close([future for future, _ in running.values()])

    def _listen(self, running: dict[Any, tuple[Any, Job]]) -> Iterator[Outcome]:
        try:
            kind, what = self.messages.get(timeout=POLL)
        except queue.Empty:
            return
        if kind == "event":
            pass_on(what[0], what[1:], self.report, self.note)
            return
        future, job = running.pop(what)
        if future.status != "finished":
            lines = [_reason(future)]
            yield from (Outcome(number, "failed", lines) for number, _, _ in job.cells)
            return
        paths = {number: Path(path) for number, _, path in job.cells}
        for number, state, lines, content in future.result():
            if content is not None:
                place(content, paths[number])
            yield Outcome(number, state, lines)

    def _close(self, futures: list[Any]) -> None:
        """Tasks under way hear of it within a second."""
        if futures:
            from distributed import Event

            Event(self.topic, client=self.client).set()
            self.client.cancel(futures)
        self.client.unsubscribe_topic(self.topic)


def place(content: bytes, path: Path) -> None:
    """Write a run file that came from elsewhere, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    sync_folder(path.parent)


def _reason(future: Any) -> str:
    error = future.exception() if future.status == "error" else None
    if type(error).__name__ == "KilledWorker":
        return "its workers died again and again; it may need more memory than they have"
    text = " ".join(str(error).split()) if error is not None else ""
    return f"{type(error).__name__}: {text}" if error is not None else f"its task was {future.status}"

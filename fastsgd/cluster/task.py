"""What a Dask worker does: simulates some cells, or a shard, in a folder of its own and gives back the files' bytes."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd.errors import NotEnding
from fastsgd.sweeps.pool import REMARKS
from fastsgd.sweeps.worker import Worker

if TYPE_CHECKING:
    from fastsgd.spec.files import Files

LISTEN = 1.0  # seconds between questions whether to stop

Result = tuple[int, str, list[str], bytes | None]

_folder: list[tempfile.TemporaryDirectory[str]] = []


def _calm() -> None:
    """The client that Dask makes in a worker finds its loop closed when an interrupt ends the worker: that is no news."""
    from distributed import Client

    if getattr(Client, "_calm", False):
        return
    collected = Client.__del__

    def calmly(self: Any) -> None:
        with suppress(RuntimeError):
            collected(self)

    setattr(Client, "__del__", calmly)  # noqa: B010
    setattr(Client, "_calm", True)  # noqa: B010


def software() -> tuple[str, str]:
    """Version of the package and of its random numbers."""
    from fastsgd import __version__
    from fastsgd.kernels import SINGLE_VERSION

    return __version__, SINGLE_VERSION


def given(files: Files) -> Files:
    """Arrays and code of the user, as a task that Dask can repeat where they were lost with a worker."""
    return files


def simulate(
    files: Files,
    cells: list[tuple[int, dict[str, Any]]],
    together: bool,
    threads: int | None,
    options: dict[str, Any],
    topic: str,
) -> list[Result]:
    """(number, state, lines, bytes of the run file if it is finished) of each cell."""
    from distributed import get_worker

    _calm()
    me = get_worker()
    _unpack(files)
    with tempfile.TemporaryDirectory(prefix="fastsgd-", dir=me.local_directory) as folder:
        task = Task(files, me, topic)
        paths = {number: Path(folder) / f"{number}.h5" for number, _ in cells}
        task.cells([(n, tables, str(paths[n])) for n, tables in cells], together, threads or me.state.nthreads, options)
        return [
            (n, state, lines, paths[n].read_bytes() if state == "finished" else None) for n, state, lines in task.ended
        ]


class Task(Worker):
    """A sweep's worker that talks through Dask: its reports are events of a topic, a wish to stop is a Dask event."""

    def __init__(self, files: Files, me: Any, topic: str):
        super().__init__(None)  # type: ignore[arg-type]
        self.files, self.me, self.topic = files, me, topic
        self.ended: list[tuple[int, str, list[str]]] = []
        self.heard = time.monotonic()

    def send(self, *message: Any) -> None:
        """Keep what is a result; the rest is an event."""
        kind, *rest = message
        if kind == "done":
            self.ended.append((rest[0], rest[1], rest[2]))
        elif kind in REMARKS:
            self.me.log_event(self.topic, message)

    def given_up(self, numbers: list[int], error: NotEnding) -> None:
        """The cells have failed; what else runs in a Dask worker is not ours to end."""
        self.done(numbers, error)

    def listen(self) -> None:
        """Stop (KeyboardInterrupt) if the client wishes so, or has gone."""
        now = time.monotonic()
        if now - self.heard < LISTEN:
            return
        self.heard = now
        from distributed import Event

        try:
            self.stopping = Event(self.topic).is_set()
        except Exception:
            self.stopping = True
        if self.stopping:
            raise KeyboardInterrupt


def _unpack(files: Files) -> None:
    """Put code that came with a task into files of this process."""
    if not _folder:
        _folder.append(tempfile.TemporaryDirectory(prefix="fastsgd-code-"))
    files.unpack(Path(_folder[0].name))

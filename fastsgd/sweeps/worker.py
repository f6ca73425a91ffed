"""A worker process of a sweep: runs the cells that it is sent over a pipe, one after the other, as ordinary runs.

Started as `python -m fastsgd.sweeps.worker FD`, not by multiprocessing, so that a user's script needs no main guard.

Messages to it: ("files", Files), ("cells", [(number, tables, path)], together, threads, options), ("threads", n), ("stop",),
("end",). From it: ("ready",), ("progress", numbers, done, total) of each, ("note", number, text), ("done", number, state,
lines).
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastsgd.errors import NotEnding, StoppedEarly

EVERY = 0.2  # seconds between reports
STATE_OF_EXIT = {75: "stopped"}


class Worker:
    """Runs cells; its engine's progress calls are when it listens."""

    def __init__(self, pipe: Connection):
        self.pipe = pipe
        self.files: Any = None
        self.stopping = False
        self.gone = False
        self.numbers: list[int] = []
        self.left: set[int] = set()
        self.reported = 0.0

    def loop(self) -> None:
        """Until told to end, or until nobody is there to tell."""
        import fastsgd.sweeps.together
        import fastsgd.wave  # noqa: F401  (while the sweep itself is prepared)

        self.send("ready")
        while not self.gone:
            try:
                kind, *rest = self.pipe.recv()
            except (EOFError, OSError):
                return
            if kind == "files":
                (self.files,) = rest
            elif kind == "cells":
                self.cells(*rest)
                self.send("ready")
            elif kind in ("end", "stop"):
                return

    def send(self, *message: Any) -> None:
        try:
            self.pipe.send(message)
        except (BrokenPipeError, OSError):
            self.gone = True

    def cells(
        self, cells: list[tuple[int, dict[str, Any], str]], together: bool, threads: int, options: dict[str, Any]
    ) -> None:
        """Cells, to their end or until stopped; whatever goes wrong is told and the next can come."""
        self.stopping, self.left = False, {number for number, _, _ in cells}
        if together:
            self.attempt([number for number, _, _ in cells], lambda: self.together(cells, threads, options))
        for number, tables, path in cells:
            if number in self.left:
                self.attempt([number], partial(self.alone, number, tables, path, threads, options))

    def attempt(self, numbers: list[int], act: Callable[[], None]) -> None:
        """Do what ends or fails some cells."""
        self.numbers = numbers
        try:
            act()
        except KeyboardInterrupt:
            self.done(numbers, StoppedEarly("stopped"))
        except NotEnding as error:
            self.given_up(numbers, error)
        except Exception as error:
            self.done(numbers, error)

    def given_up(self, numbers: list[int], error: NotEnding) -> None:
        """A function that does not end keeps cores of this process, so the process ends. The pool gives what is left of its
        cells to another one, one by one.
        """
        if len(numbers) == 1:
            self.done(numbers, error)
        self.pipe.close()
        sys.stderr.flush()
        os._exit(NotEnding.exit_code)

    def done(self, numbers: list[int], error: Exception | None = None) -> None:
        """Tell how cells ended that have not ended yet."""
        state, lines = "finished", []
        if error is not None:
            state = STATE_OF_EXIT.get(getattr(error, "exit_code", 1), "failed")
            lines = list(getattr(error, "lines", None) or [str(error) or type(error).__name__])
            if not hasattr(error, "exit_code"):
                lines = [f"{type(error).__name__}: {' '.join(str(error).split())}"]
                if os.environ.get("FASTSGD_TRACEBACK", "") not in ("", "0"):
                    traceback.print_exception(error)
        for number in numbers:
            if number in self.left:
                self.left.remove(number)
                self.send("done", number, state, lines)

    def together(self, cells: list[tuple[int, dict[str, Any], str]], threads: int, options: dict[str, Any]) -> None:
        from fastsgd.spec import Spec
        from fastsgd.sweeps.together import Together

        specs = [(number, Spec.build(tables, self.files), Path(path)) for number, tables, path in cells]
        job = Together(specs, options, self.progress, lambda number, error: self.done([number], error))
        job.run(threads)

    def alone(self, number: int, tables: dict[str, Any], path: str, threads: int, options: dict[str, Any]) -> None:
        from fastsgd.engine import run
        from fastsgd.spec import Spec

        spec = Spec.build(tables, self.files)
        run(spec, path, threads=threads, progress=self.progress, note=self.note, **options)
        self.done([number])

    def note(self, text: str) -> None:
        self.send("note", self.numbers[0], text)

    def progress(self, done: int, total: int, seconds: float) -> None:
        """Report, and listen: more threads when other cores fell idle, or stop."""
        now = time.monotonic()
        if now - self.reported > EVERY:
            self.reported = now
            self.send("progress", self.numbers, done, total)
        self.listen()

    def listen(self) -> None:
        """Take what was said meanwhile."""
        while not self.stopping and (self.gone or self.pipe.poll()):
            try:
                kind, *rest = ("stop",) if self.gone else self.pipe.recv()
            except (EOFError, OSError):
                kind, rest = "stop", []
                self.gone = True
            if kind == "threads":
                from fastsgd.threads import use_threads

                use_threads(rest[0])
            elif kind == "stop":
                self.stopping = True
                signal.raise_signal(signal.SIGTERM)  # the engine saves, then raises StoppedEarly


def main() -> None:
    """Serve on the file descriptor that is the one argument."""
    # A terminal's Ctrl-C reaches this process too; the sweep tells it what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    try:
        Worker(pipe).loop()
    except KeyboardInterrupt:
        pass
    finally:
        pipe.close()
    # Every run file is closed by now; taking the compiler apart would keep the sweep waiting.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

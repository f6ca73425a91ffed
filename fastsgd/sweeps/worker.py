"""A worker process of a sweep: runs the cells that it is sent over a pipe, one after the other, as ordinary runs.

Started as `python -m fastsgd.sweeps.worker FD`, not by multiprocessing, so that a user's script needs no main guard.

Messages to it: ("files", Files), ("cell", number, tables, path, threads, options), ("threads", n), ("stop",), ("end",).
From it: ("ready",), ("progress", number, done, total), ("note", number, text), ("done", number, state, lines).
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

EVERY = 0.2  # seconds between reports
STATE_OF_EXIT = {75: "stopped"}


class Worker:
    """Runs cells; its engine's progress calls are when it listens."""

    def __init__(self, pipe: Connection):
        self.pipe = pipe
        self.files: Any = None
        self.stopping = False
        self.gone = False
        self.number = -1
        self.reported = 0.0

    def loop(self) -> None:
        """Until told to end, or until nobody is there to tell."""
        self.send("ready")
        while not self.gone:
            try:
                kind, *rest = self.pipe.recv()
            except (EOFError, OSError):
                return
            if kind == "files":
                (self.files,) = rest
            elif kind == "cell":
                self.cell(*rest)
            elif kind in ("end", "stop"):
                return

    def send(self, *message: Any) -> None:
        try:
            self.pipe.send(message)
        except (BrokenPipeError, OSError):
            self.gone = True

    def cell(self, number: int, tables: dict[str, Any], path: str, threads: int, options: dict[str, Any]) -> None:
        """One cell, to its end or until stopped; whatever goes wrong is told and the next cell can come."""
        self.number, self.stopping = number, False
        state, lines = "finished", []
        try:
            self.run(tables, path, threads, options)
        except KeyboardInterrupt:
            state = "stopped"
        except Exception as error:
            state = STATE_OF_EXIT.get(getattr(error, "exit_code", 1), "failed")
            lines = list(getattr(error, "lines", None) or [str(error) or type(error).__name__])
            if not hasattr(error, "exit_code"):
                lines = [f"{type(error).__name__}: {' '.join(str(error).split())}"]
                if os.environ.get("FASTSGD_TRACEBACK", "") not in ("", "0"):
                    traceback.print_exception(error)
        self.send("done", number, state, lines)

    def run(self, tables: dict[str, Any], path: str, threads: int, options: dict[str, Any]) -> None:
        from fastsgd.engine import run
        from fastsgd.spec import Spec

        spec = Spec.build(tables, self.files)
        run(spec, path, threads=threads, progress=self.progress, note=self.note, **options)

    def note(self, text: str) -> None:
        self.send("note", self.number, text)

    def progress(self, done: int, total: int, seconds: float) -> None:
        """Report, and listen: more threads when other cores fell idle, or stop."""
        now = time.monotonic()
        if now - self.reported > EVERY:
            self.reported = now
            self.send("progress", self.number, done, total)
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

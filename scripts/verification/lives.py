"""Processes that live until they end or are killed, and what a killer can see of a run file from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastsgd.errors import FastsgdError
from fastsgd.store.format import RECORDS
from fastsgd.store.opened import opened, structure
from fastsgd.store.record import Record, valid_records

POLL = 2e-4
PATIENCE = 300.0


def rehearse(arguments: Sequence[str]) -> None:
    """Load what a command loads without running a parallel loop: a child of a process with such threads would die.

    Its numbers are nonsense, and so it may fail; the children then start in half the time.
    """
    import numba
    from fastsgd.kernels import parallel

    from fastsgd import engine, threads
    from fastsgd.cli.entry import exit_code

    def one(*given: Any) -> int:
        return 1

    places = [(parallel, "_loop"), (engine, "use_threads"), (threads, "use_threads"), (numba, "get_num_threads")]
    kept = [getattr(*place) for place in places]
    for place in places:
        setattr(*place, one)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):  # noqa: PTH123
            exit_code(list(arguments))
    finally:
        for place, value in zip(places, kept, strict=True):
            setattr(*place, value)


def start_forked(arguments: Sequence[str], log: Path) -> int:
    """Run the command line in a child of this process, which has everything imported and never ran a kernel; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        from fastsgd.cli.entry import exit_code

        code = exit_code(list(arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


PROGRAM = "import sys; from verification.lives import small; small(); from fastsgd.cli import main; main()"


def small() -> None:
    """Small waves and frequent checkpoints, so that a life of half a second has every moment of a long one."""
    from fastsgd import engine, plan

    plan._LARGEST_WAVE, engine.COMMIT_SECONDS, engine.SEGMENT_SECONDS = 128, 0.0, 0.01


def environment() -> dict[str, str]:
    """Of an interpreter that is to find this folder."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}


def start_program(arguments: Sequence[str], log: Path) -> int:
    """Run the command line in an interpreter of its own; its pid."""
    with log.open("wb") as out:
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment()).pid


@dataclass
class Watch:
    """The newest commit record of a file, read past everything else.

    `path` may not be there yet, and may be replaced.
    """

    path: Path
    _inode: int = -1
    _offset: int = 0
    _size: int = 0

    def newest(self) -> Record | None:
        """The record that holds, None if there is no file yet."""
        try:
            with self.path.open("rb", buffering=0) as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    with opened(self.path) as h5:
                        place = structure(self.path, h5).extents[RECORDS]
                    self._inode, self._offset, self._size = inode, place.offset, place.shape[1]
                rows = [os.pread(file.fileno(), self._size, self._offset + i * self._size) for i in (0, 1)]
        except (OSError, FastsgdError):
            return None
        found = valid_records([bytearray(row) for row in rows])
        return found[0] if found else None


def ended(pid: int) -> int | None:
    """The exit code of a process that has ended (negative: the signal), None if it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def wait(pid: int) -> int:
    """The exit code of a process, when it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_when(pid: int, event: Callable[[], bool], delay: float) -> int | None:
    """kill -9 some seconds after an event is seen; the exit code if the process ended before that, else None."""
    limit = time.monotonic() + PATIENCE
    while not event():
        if (code := ended(pid)) is not None:
            return code
        if time.monotonic() > limit:
            os.kill(pid, signal.SIGKILL)
            wait(pid)
            raise TimeoutError(f"process {pid} hung")
        time.sleep(POLL)
    end = time.monotonic() + delay
    while time.monotonic() < end:
        if (code := ended(pid)) is not None:
            return code
        time.sleep(min(POLL, delay))
    if (code := ended(pid)) is not None:
        return code
    os.kill(pid, signal.SIGKILL)
    code = wait(pid)
    return None if code == -signal.SIGKILL else code

"""One writer a run: a lock beside the file, held by the system for as long as the process lives."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastsgd.errors import RunError


class WriterLock:
    """Exclusive right to write a run, by the lock file `<run>.lock`.

    The system frees the lock of a dead process by itself; its text then only says whose it was.

    Attributes:
        note: a sentence when the lock of a dead process was taken over, else None.

    Raises:
        RunError: another writer holds the lock (said who), or the lock file cannot be made.
    """

    def __init__(self, run: Path):
        from filelock import FileLock, SoftFileLock, Timeout

        self.path = run.with_name(run.name + ".lock")
        before = _holder(self.path)
        self._lock = FileLock(self.path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout as error:
            holder = _describe(_holder(self.path) or before)
            raise RunError(f"{run} is being written by {holder}; wait for it or choose another file") from error
        except OSError as error:
            raise RunError(f"cannot lock {run}: {error.strerror or error}") from error
        self.note = f"took over the lock of {_describe(before)}, which is gone" if before else None
        # A soft lock, the fallback where the system has no locks, keeps its own text.
        if not isinstance(self._lock, SoftFileLock):
            with suppress(OSError):
                me = {"pid": os.getpid(), "host": socket.gethostname()}
                self.path.write_text(json.dumps(me) + "\n", encoding="utf-8")

    def release(self) -> None:
        """Gives the right back and removes the lock file. Harmless when repeated."""
        if self._lock.is_locked:
            with suppress(OSError):
                self.path.unlink()
            with suppress(OSError):
                self._lock.release()


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "pid" in found else None


def _describe(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    if holder.get("pid") == os.getpid() and holder.get("host") == socket.gethostname():
        return f"this process ({os.getpid()})"
    return f"process {holder.get('pid')} on {holder.get('host')}"

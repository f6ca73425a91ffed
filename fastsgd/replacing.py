"""Makes a run file beside its place and puts it there when it is complete, so that a failure changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastsgd.store.creation import check_place
from fastsgd.store.lock import WriterLock


@contextmanager
def locked(target: Path) -> Iterator[WriterLock]:
    """Hold the lock of a run file, whether it exists or not."""
    check_place(target)
    lock = WriterLock(target)
    try:
        yield lock
    finally:
        lock.release()


def discard(work: Path) -> None:
    """Remove an unfinished file and its lock."""
    for path in (work, work.with_name(work.name + ".lock")):
        with suppress(OSError):
            path.unlink()

"""Files whose calls fail on purpose: the n-th open, write, read, sync or rename of a run file, or all from the n-th on."""

import os
from pathlib import Path

import pytest

from fastsgd.store import raw

NO_SPACE, BAD_DISK = 28, 5


class Faulty:
    """An open file that counts its calls with those of all others; `fail_at` 0 fails none."""

    count, fail_at, forever, code = 0, 0, False, 0

    def __init__(self, file):
        self._file = file

    @classmethod
    def tick(cls) -> None:
        cls.count += 1
        if cls.count == cls.fail_at or (cls.forever and cls.fail_at and cls.count > cls.fail_at):
            code = cls.code or (NO_SPACE if cls.fail_at % 2 else BAD_DISK)
            raise OSError(code, os.strerror(code))

    @classmethod
    def set(cls, fail_at: int, forever: bool = False, code: int = 0) -> None:
        cls.count, cls.fail_at, cls.forever, cls.code = 0, fail_at, forever, code

    def write(self, data):
        if len(data) > 100 and Faulty.count + 1 == Faulty.fail_at:
            self._file.write(data[: len(data) // 2])  # a full disk takes a part
        self.tick()
        return self._file.write(data)

    def readinto(self, view):
        self.tick()
        return self._file.readinto(view)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def faults(monkeypatch):
    """Counts and fails opens, writes, reads, syncs and renames of run files."""
    opens, rename = Path.open, Path.replace

    def open_(self, mode="r", *args, **kwargs):
        if "b" not in mode or "buffering" not in kwargs:
            return opens(self, mode, *args, **kwargs)
        Faulty.tick()
        return Faulty(opens(self, mode, *args, **kwargs))

    monkeypatch.setattr(Path, "open", open_)
    monkeypatch.setattr(raw.os, "fdatasync", lambda handle: Faulty.tick())  # no power is cut here
    monkeypatch.setattr(Path, "replace", lambda self, other: (Faulty.tick(), rename(self, other)))
    yield Faulty
    Faulty.set(0)

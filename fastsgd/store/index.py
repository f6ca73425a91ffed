"""The index of a sweep's folder: which cells there are, their values, files, identities and states, as JSON.

    {"format": "fastsgd-sweep", "format_version": 1, "name", "seed", "independent", "keys": [...],
     "cells": [{"values": {key: value}, "file", "identity", "state", "error"}]}

Files are relative to the folder. The index is only a list of contents: every run file stands alone, and the state of a
cell that is there is read from its file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fastsgd.errors import InputError, RunError

INDEX = "sweep.json"
FORMAT = "fastsgd-sweep"
FORMAT_VERSION = 1
WAITING, STOPPED, FINISHED, FAILED = "waiting", "stopped", "finished", "failed"
STATES = (WAITING, STOPPED, FINISHED, FAILED)


@dataclass(frozen=True)
class CellEntry:
    """One cell: its value of each swept key, its file's name, the identity of its spec, and how far it is.

    `state` is waiting, stopped (interrupted, to be resumed), finished or failed; `error` says why it failed.
    """

    values: dict[str, Any]
    file: str
    identity: str
    state: str = WAITING
    error: str | None = None


@dataclass(frozen=True)
class Index:
    """A sweep: its name, base seed, keys in the order of the grid, and cells in the order of the grid."""

    name: str
    seed: int
    independent: bool
    keys: tuple[str, ...]
    cells: tuple[CellEntry, ...] = field(default_factory=tuple)

    def document(self) -> dict[str, Any]:
        """What `sweep.json` holds."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION}
        return head | {key: value for key, value in asdict(self).items() if value is not None}

    def with_states(self, changed: Iterable[CellEntry]) -> Index:
        """The same index with the entries of some files replaced."""
        by_file = {cell.file: cell for cell in changed}
        return replace(self, cells=tuple(by_file.get(cell.file, cell) for cell in self.cells))


def is_sweep(path: str | os.PathLike[str]) -> bool:
    """True for a folder that has an index, and for the index itself."""
    path = Path(path)
    return (path / INDEX).is_file() or (path.name == INDEX and path.is_file())


def read_index(folder: Path) -> Index:
    """The index of a folder.

    Raises:
        InputError: there is none, or it is not one; one line.
    """
    path = folder / INDEX
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is no sweep: it has no {INDEX}; make it with `fastsgd sweep`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    version = found.get("format_version") if isinstance(found, dict) and found.get("format") == FORMAT else None
    if version != FORMAT_VERSION:
        raise InputError(f"{path} is not a sweep of format version {FORMAT_VERSION}, got {version}")
    try:
        cells = tuple(_entry(cell, path) for cell in found["cells"])
        keys = tuple(str(key) for key in found["keys"])
        if any(set(cell.values) - set(keys) for cell in cells):
            raise ValueError("a cell has a value of no key")
        return Index(str(found["name"]), int(found["seed"]), bool(found["independent"]), keys, cells)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__} {error}; run the sweep again") from None


def _entry(found: Any, path: Path) -> CellEntry:
    cell = CellEntry(dict(found["values"]), str(found["file"]), str(found["identity"]), found["state"], found["error"])
    if Path(cell.file).name != cell.file or not cell.file:
        raise ValueError(f"{path} names a file outside of its folder")
    if cell.state not in STATES:
        raise ValueError(f"state {cell.state!r}")
    return cell


def write_index(folder: Path, index: Index) -> None:
    """Put a new index in place of the old one at once; RunError if the disk fails."""
    temporary = folder / f".{INDEX}.{os.getpid()}.partial"
    try:
        temporary.write_text(
            json.dumps(index.document(), indent=1, allow_nan=False, default=str) + "\n", encoding="utf-8"
        )
        temporary.replace(folder / INDEX)
    except OSError as error:
        raise RunError(f"cannot write {folder / INDEX}: {error.strerror or error}") from error


def update_index(folder: Path, changed: Iterable[CellEntry]) -> None:
    """Replace the entries of some files; others, which another process may be at, stay as they are."""
    with locked_index(folder):
        write_index(folder, read_index(folder).with_states(changed))


@contextmanager
def locked_index(folder: Path) -> Iterator[None]:
    """Nobody else changes the index meanwhile; RunError after a minute of waiting."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / f".{INDEX}.lock", timeout=60):
            yield
    except Timeout:
        raise RunError(f"{folder / INDEX} is held by another process") from None

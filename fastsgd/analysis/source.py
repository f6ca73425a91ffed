"""What a user points at: a spec, the file of one, or a stored run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_run_file(path: Path) -> bool:
    """True for an HDF5 file, and for a missing file named like one (so that the store says it is missing)."""
    if path.suffix == ".h5":
        return True
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            return file.read(8) == HDF5_SIGNATURE
    except (OSError, ValueError):
        return False


def opened(run: Any) -> Any:
    """An open run: `run` itself, or the run stored at this path."""
    if isinstance(run, (str, os.PathLike)):
        from fastsgd import store

        return store.open_run(Path(run))
    return run


def resolved(source: Any, overrides: Sequence[str] = ()) -> tuple[Any, bool]:
    """(spec with `overrides`, False) of a spec, a mapping or a TOML file; (run as it is, True) of a run or its file."""
    if isinstance(source, (str, os.PathLike)) and is_run_file(Path(source)):
        return opened(source), True
    if isinstance(source, (str, os.PathLike, Mapping)):
        from fastsgd.spec import load_spec

        return load_spec(source if isinstance(source, Mapping) else Path(source), list(overrides)), False
    if hasattr(source, "moments"):
        return source, True
    return source.with_overrides(list(overrides)) if overrides else source, False

"""A sweep's folder: what it holds, and one table of all its cells against their predictions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastsgd.analysis import tables
from fastsgd.errors import InputError
from fastsgd.store.index import FINISHED, STATES, Index, is_sweep, read_index


def describe_sweep(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts about a sweep as plain Python values: its index, with the number of cells in each state."""
    index = read(folder)
    counts = {state: sum(cell.state == state for cell in index.cells) for state in STATES}
    described: dict[str, Any] = tables.plain({"sweep": str(folder), "counts": counts, **index.document()})
    return described


def sweep_text(folder: str | os.PathLike[str]) -> str:
    """The same for people: facts and a line for each cell."""
    index = read(folder)
    counts = describe_sweep(folder)["counts"]
    numbers = "independent of each other" if index.independent else "the same in all cells"
    facts = [
        ("sweep", str(folder)),
        ("name", index.name),
        ("seed", str(index.seed)),
        ("random numbers", numbers),
        ("cells", ", ".join(f"{count} {state}" for state, count in counts.items() if count)),
    ]
    rows = [(cell.file, cell.state) for cell in index.cells]
    errors = [f"{cell.file}: {cell.error}" for cell in index.cells if cell.error]
    return "\n".join([tables.pairs(facts), "", tables.aligned(("cell", "state"), rows), *errors])


def expand(paths: Sequence[Path]) -> list[Path]:
    """Run files, with each sweep's folder replaced by the files of its finished cells; InputError if it has none."""
    found: list[Path] = []
    for path in paths:
        if not is_sweep(path):
            found.append(path)
            continue
        folder = path if path.is_dir() else path.parent
        files = [folder / cell.file for cell in read_index(folder).cells if cell.state == FINISHED]
        if not files:
            raise InputError(f"{folder} has no finished cells yet; go on with `fastsgd sweep`, then ask again")
        found += files
    return found


def unfinished_note(path: Path) -> str | None:
    """What a reader must know who sees the finished cells only; None when all are, or for no sweep."""
    if not is_sweep(path):
        return None
    cells = read(path).cells
    missing = sum(cell.state != FINISHED for cell in cells)
    return f"{path}: {missing} of {len(cells)} cells are not finished and left out" if missing else None


def read(folder: str | os.PathLike[str]) -> Index:
    """The index of a folder, or of the index's own path."""
    path = Path(folder)
    return read_index(path if path.is_dir() or not is_sweep(path) else path.parent)

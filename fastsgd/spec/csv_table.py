"""Reading a CSV file of numbers; of a bad one every bad cell is known by its line and column."""

import csv
import io
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from fastsgd.errors import InputError
from fastsgd.spec.reading import text_of
from fastsgd.spec.table import DataTable, choose, fail

if TYPE_CHECKING:
    from _csv import Reader

    import numpy as np


def read_csv(path: Path, target: str, skip: Collection[str] = ()) -> DataTable:
    """Features and the column `target` of `read_numbers`, whose errors it raises."""
    import numpy as np

    values, names = read_numbers(path, target, skip)
    at = names.index(target)
    return DataTable(np.delete(values, at, axis=1), values[:, at].copy(), names[:at] + names[at + 1 :])


def read_numbers(path: Path, target: str | None, skip: Collection[str] = ()) -> "tuple[np.ndarray, list[str]]":
    """float64[n, columns] and the names of the columns, of which `target` must be one, if given; those of `skip` left out.

    A header line, then a row of numbers a line; empty lines and, before the header, lines with # are skipped.

    Raises:
        InputError: one line a problem (at most 6), naming line and column.
    """
    try:
        text = text_of(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} {error}; save it as UTF-8") from None
    stream = io.StringIO(text, newline="")
    lines = csv.reader(stream, strict=True)
    try:
        header = next((cells for cells in lines if cells and not cells[0].lstrip().startswith("#")), None)
        if header is None:
            raise InputError(f"{path} is empty; give a header line and rows of numbers")
        every = _header(path, header, target)
        kept, names = keep(path, every, target, skip)
        start = stream.tell()
        values = _quickly(stream, len(every))
        if values is None:
            stream.seek(start)
            values = _row_by_row(path, lines, every, kept)
        elif skip:
            values = values.take(kept, axis=1)
    except csv.Error as error:
        raise InputError(f"{path} is not CSV at line {lines.line_num} ({error}); mend the line") from None
    return values, names


def _quickly(stream: io.StringIO, width: int) -> "np.ndarray | None":
    """The rows by NumPy's parser (the same numbers, twice as fast), None if anything is wrong with them."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = np.loadtxt(stream, delimiter=",", quotechar='"', comments=None, ndmin=2)
        except ValueError:
            return None
    return values if values.size and values.shape[1] == width and np.isfinite(values).all() else None


def keep(path: Path, names: list[str], target: str | None, skip: Collection[str]) -> tuple[list[int], list[str]]:
    """Places and names of the columns that are not to be skipped."""
    for name in skip:
        choose(path, name, names, "column", "to leave out")
        if name == target:
            raise InputError(f'{path} must not leave out its target "{name}"; leave out other columns')
    kept = [place for place, name in enumerate(names) if name not in skip]
    if len(kept) < 2 and target is not None:
        raise InputError(f'{path} has no column beside "{target}" left; give at least one feature')
    return kept, [names[place] for place in kept]


def _row_by_row(path: Path, lines: "Reader", names: list[str], kept: list[int]) -> "np.ndarray":
    """float64[n, p + 1] of the rows after the header, or InputError with the place of each bad cell."""
    import numpy as np

    problems: list[str] = []
    rows = [_numbers(cells, names, lines.line_num, problems, kept) for cells in lines if cells]
    if not rows:
        raise InputError(f"{path} has a header but no rows; give rows of numbers")
    fail(path, problems)
    return np.array(rows, dtype=np.float64)


def _header(path: Path, cells: list[str], target: str | None) -> list[str]:
    names = [cell.strip() for cell in cells]
    if all(_is_number(name) for name in names):
        raise InputError(f"{path} must begin with the names of its columns, got {names[0]}; add a header line")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise InputError(f"{path} has no commas in its header, got {names[0][:40]!r}; separate its columns by commas")
    for place, name in enumerate(names):
        if not name:
            raise InputError(f"{path} has no name for column {place + 1}; name every column")
        if name in names[:place]:
            raise InputError(f'{path} has two columns named "{name}"; name each column differently')
    if target is None:
        return names
    choose(path, target, names, "column")
    if len(names) == 1:
        raise InputError(f'{path} has no column beside "{target}"; give at least one feature')
    return names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells: list[str], names: list[str], line: int, problems: list[str], kept: list[int]) -> list[float]:
    """Numbers of the kept columns of a row; what is wrong with them is added to `problems`."""
    if len(cells) != len(names):
        problems.append(f"must have {len(names)} cells in each row, got {len(cells)} at line {line}; mend the row")
        return [0.0] * len(kept)
    cells, names = [cells[place] for place in kept], [names[place] for place in kept]
    try:
        row = [float(cell) for cell in cells]
    except ValueError:
        row = []
    # A finite sum has finite terms only; a sum that overflows is sorted out cell by cell.
    if row and abs(sum(row)) < float("inf") and "_" not in "".join(cells):
        return row
    for name, cell in zip(names, cells, strict=True):
        where = f'at line {line}, column "{name}"'
        if not cell.strip():
            problems.append(f"has an empty cell {where}; fill it or remove the row")
        elif not _is_number(cell) or "_" in cell:
            problems.append(f'must hold numbers, got "{cell.strip()[:40]}" {where}; code it as a number')
        elif not abs(float(cell)) < float("inf"):
            problems.append(f"must hold finite numbers, got {cell.strip()[:40]} {where}; remove or fill the row")
    return row or [0.0] * len(names)

"""Reading a CSV file of numbers, in plain Python so that every bad cell is known by its line and column."""

import csv
import io
from pathlib import Path

from fastsgd.errors import InputError
from fastsgd.spec.reading import text_of
from fastsgd.spec.table import DataTable, choose, fail


def read_csv(path: Path, target: str) -> DataTable:
    """A header line, then a row of numbers a line; empty lines and, before the header, lines with # are skipped.

    Raises:
        InputError: one line a problem (at most 6), naming line and column.
    """
    import numpy as np

    try:
        text = text_of(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} {error}; save it as UTF-8") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    problems: list[str] = []
    rows: list[list[float]] = []
    names: list[str] | None = None
    try:
        for cells in lines:
            if not cells or (names is None and cells[0].lstrip().startswith("#")):
                continue
            if names is None:
                names = _header(path, cells, target)
            else:
                rows.append(_numbers(cells, names, lines.line_num, problems))
    except csv.Error as error:
        raise InputError(f"{path} is not CSV at line {lines.line_num} ({error}); mend the line") from None
    if names is None:
        raise InputError(f"{path} is empty; give a header line and rows of numbers")
    if not rows:
        raise InputError(f"{path} has a header but no rows; give rows of numbers")
    fail(path, problems)
    values = np.array(rows, dtype=np.float64)
    at = names.index(target)
    return DataTable(np.delete(values, at, axis=1), values[:, at].copy(), names[:at] + names[at + 1 :])


def _header(path: Path, cells: list[str], target: str) -> list[str]:
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


def _numbers(cells: list[str], names: list[str], line: int, problems: list[str]) -> list[float]:
    if len(cells) != len(names):
        problems.append(f"must have {len(names)} cells in each row, got {len(cells)} at line {line}; mend the row")
        return [0.0] * len(names)
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

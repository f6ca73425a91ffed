"""Plain tables and JSON: aligned text for people, CSV and strict JSON for programs."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def number(value: float | int | None, digits: int = 6) -> str:
    """A number with `digits` significant digits; a dash for a missing one."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}g}"


def fixed(value: float | None, decimals: int) -> str:
    """A number with `decimals` decimals (scientific from 1e6 on); a dash for a missing one."""
    if value is None:
        return "-"
    return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.{decimals}e}"


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Columns two spaces apart: the first `left` flush left, the others flush right; no trailing blanks."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = []
    for row in table:
        cells = zip(range(len(row)), row, widths, strict=True)
        lines.append("  ".join(cell.ljust(w) if i < left else cell.rjust(w) for i, cell, w in cells).rstrip())
    return "\n".join(lines)


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """`name  value` lines with the values aligned."""
    items = list(items)
    width = max((len(name) for name, _ in items), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in items)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a header line, full precision and an empty cell for a missing value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in row])
    return out.getvalue()


def plain(value: Any) -> Any:
    """`value` made of plain JSON types: NumPy values converted, NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def json_text(value: Any) -> str:
    """Strict JSON, indented by two, keys in the given order."""
    return json.dumps(plain(value), indent=2, allow_nan=False)

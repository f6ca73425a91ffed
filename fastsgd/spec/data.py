"""Reading a table of numbers: CSV, NPZ or HDF5 to features and a target."""

import csv
import io
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastsgd.errors import InputError

if TYPE_CHECKING:
    import numpy as np

SHOWN = 5


class DataTable(NamedTuple):
    """features float64[n, p], target float64[n], names list[p] of the feature columns."""

    features: "np.ndarray"
    target: "np.ndarray"
    names: list[str]


def read_table(path: Path, target: str) -> DataTable:
    """Reads a pool. CSV: a header line, then numbers (lines before it that begin with # are skipped). NPZ and HDF5: the
    array `target` [n] and, as features, every other array [n] or [n, p] beside it.

    Raises:
        InputError: one line a problem (at most 6), each naming the file and the line, column or array.
    """
    from fastsgd.spec.files import why_unreadable

    if reason := why_unreadable(path):
        raise InputError(f"{path} {reason}")
    readers = {".csv": _read_csv, ".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must end in {', '.join(readers)}; convert it to one of them")
    return reader(path, target)


def _fail(path: Path, problems: Sequence[str]) -> None:
    if problems:
        more = (
            [f"{path} has {len(problems) - SHOWN} more such problems; mend them all"] if len(problems) > SHOWN else []
        )
        raise InputError([f"{path} {problem}" for problem in problems[:SHOWN]] + more)


def _choose(path: Path, target: str, names: Sequence[str], what: str) -> None:
    if target not in names:
        near = get_close_matches(target, names, 1) or [n for n in names if n.lower() == target.lower()]
        shown = ", ".join(list(names)[:10]) + (", ..." if len(names) > 10 else "")
        remedy = f'did you mean "{near[0]}"?' if near else f"it has {shown or 'none'}"
        raise InputError(f'{path} has no {what} "{target}" for the target; {remedy}')


def _read_csv(path: Path, target: str) -> DataTable:
    import numpy as np

    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        raise InputError(
            f"{path} is not UTF-8 text (byte 0x{raw[error.start]:02x} at line {line}, byte {column}); save it as UTF-8"
        ) from None
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
    _fail(path, problems)
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
    _choose(path, target, names, "column")
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


def _read_npz(path: Path, target: str) -> DataTable:
    import numpy as np

    from fastsgd.spec.files import reason_of

    remedy = "save named arrays of numbers with numpy.savez"
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("a single array without a name")
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile and NumPy raise anything for a damaged file
        raise InputError(f"{path} is not a whole NPZ file ({reason_of(error)}); {remedy}") from None
    return _assemble(path, target, arrays)


def _read_hdf5(path: Path, target: str) -> DataTable:
    import h5py

    from fastsgd.spec.files import reason_of

    parent, _, leaf = target.strip("/").rpartition("/")
    arrays = None
    try:
        with h5py.File(path, "r") as file:
            group = file.get(parent) if parent else file
            if isinstance(group, h5py.Group):
                arrays = {name: item[()] for name, item in group.items() if _is_data(item)}
    except Exception as error:  # the HDF5 library raises anything for a damaged file
        raise InputError(f"{path} is not a whole HDF5 file ({reason_of(error)}); give one with arrays") from None
    if arrays is None:
        raise InputError(f'{path} has no group "{parent}" for the target; name an array of the file')
    return _assemble(path, leaf, arrays)


def _is_data(item: Any) -> bool:
    """Whether an HDF5 object is an array and not the labels of a dimension."""
    import h5py

    return isinstance(item, h5py.Dataset) and item.attrs.get("CLASS") != b"DIMENSION_SCALE"


def _columns(name: str, array: "np.ndarray") -> Iterator[str]:
    if array.ndim == 1:
        yield name
    else:
        yield from (f"{name}_{j + 1}" for j in range(array.shape[1]))


def _assemble(path: Path, target: str, arrays: "dict[str, np.ndarray]") -> DataTable:
    """Features and target of named arrays, after checking dtype, shape and finiteness of each."""
    import numpy as np

    _choose(path, target, list(arrays), "array")
    problems: list[str] = []
    n = np.shape(arrays[target])[0] if np.ndim(arrays[target]) else 0
    if np.ndim(arrays[target]) != 1 or n == 0:
        problems.append(
            f'must have a target "{target}" of shape [n], got shape {list(np.shape(arrays[target]))}; flatten it'
        )
    for name, array in arrays.items():
        if getattr(array, "dtype", np.dtype(object)).kind not in "iufb":
            problems.append(
                f'must hold numbers, got dtype {getattr(array, "dtype", "?")} in "{name}"; remove or code it'
            )
        elif array.ndim not in (1, 2) or (n and array.shape[0] != n) or array.size == 0:
            if name != target:
                problems.append(f'must hold {n} rows in "{name}", got shape {list(array.shape)}; make it [n] or [n, p]')
        elif not np.isfinite(array).all():
            at = [int(k) + 1 for k in np.argwhere(~np.isfinite(array))[0]]
            value = array[tuple(k - 1 for k in at)]
            problems.append(f'must hold finite numbers, got {value} in "{name}" at row {at[0]}; remove or fill the row')
    _fail(path, problems)
    features = {name: array for name, array in arrays.items() if name != target}
    if not features:
        raise InputError(f'{path} has no array beside "{target}"; give at least one feature')
    stacked = np.column_stack([np.asarray(array, dtype=np.float64) for array in features.values()])
    names = [column for name, array in features.items() for column in _columns(name, array)]
    return DataTable(stacked, np.asarray(arrays[target], dtype=np.float64), names)

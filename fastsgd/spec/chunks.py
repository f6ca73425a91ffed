"""Reading a table of numbers in chunks of rows, as often as needed: files larger than memory.

What a file may hold, and what is said when it does not, is as in `data.read_table`. The rows of a chunk depend on the
number of columns alone, so that sums over chunks are the same numbers whether a file is in memory or not.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import InputError
from fastsgd.spec.csv_table import _header, _numbers, keep, read_csv
from fastsgd.spec.data import _columns, hdf5_arrays, hollow, read_table
from fastsgd.spec.reading import reason_of, why_unreadable
from fastsgd.spec.table import DataTable, choose, fail

Array = NDArray[np.float64]
Chunk = tuple[Array, Array]

IN_MEMORY = 2**28  # bytes of numbers (of text for CSV) up to which a file is read at once


class Table(Protocol):
    """`names` list[p] of the feature columns; iteration gives chunks (float64[m, p], float64[m]), again each time."""

    names: list[str]

    def __iter__(self) -> Iterator[Chunk]: ...


def is_in_memory(table: Table) -> bool:
    """Whether passes over the table read no file."""
    return is_in_memory(table.table) if isinstance(table, Without) else isinstance(table, MemoryTable)


def chunk_rows(columns: int) -> int:
    """Rows of a chunk with so many columns: a power of two, 256 to 16384."""
    wanted = 2**21 // max(columns, 1)
    return int(min(max(1 << max(wanted.bit_length() - 1, 0), 256), 16384))


def open_table(path: Path, target: str, in_memory: int = IN_MEMORY, skip: Collection[str] = ()) -> Table:
    """The table of a CSV, NPZ or HDF5 file: in memory when its numbers take `in_memory` bytes or less.

    skip: columns to leave out; those of a CSV file need not hold numbers.

    Raises:
        InputError: as `read_table`; the rows of a file that is not read at once are checked when they are read.
    """
    if reason := why_unreadable(path):
        raise InputError(f"{path} {reason}")
    if path.suffix.lower() == ".csv":
        whole = _bytes(path) <= in_memory
        return MemoryTable(read_csv(path, target, skip)) if whole else CsvTable(path, target, skip)
    kinds: dict[str, type[NpzTable] | type[Hdf5Table]] = {".npz": NpzTable, ".h5": Hdf5Table, ".hdf5": Hdf5Table}
    kind = kinds.get(path.suffix.lower())
    whole = kind is None or _bytes(path) <= in_memory
    table: Table = MemoryTable(read_table(path, target)) if kind is None or whole else kind(path, target)
    return Without(table, path, skip) if skip else table


def _bytes(path: Path) -> int:
    """Bytes of the numbers in a file, unpacked."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return sum(info.file_size for info in archive.infolist())
        if path.suffix.lower() in (".h5", ".hdf5"):
            import h5py

            sizes: list[int] = []
            with h5py.File(path, "r") as file:
                file.visititems(lambda _, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
            return sum(sizes)
    except Exception:  # damaged: reading it at once says what is wrong
        return 0
    return path.stat().st_size


class MemoryTable:
    """A table that is in memory."""

    def __init__(self, table: DataTable):
        self.table = table
        self.names = list(table.names)

    def __iter__(self) -> Iterator[Chunk]:
        rows, n = chunk_rows(len(self.names)), len(self.table.target)
        for start in range(0, n, rows):
            yield self.table.features[start : start + rows], self.table.target[start : start + rows]


class Without:
    """A table without some of its columns."""

    def __init__(self, table: Table, path: Path, skip: Collection[str]):
        for name in skip:
            choose(path, name, table.names, "column", "to leave out")
        self.table = table
        self._kept = [place for place, name in enumerate(table.names) if name not in skip]
        self.names = [table.names[place] for place in self._kept]
        if not self.names:
            raise InputError(f"{path} has no feature left; leave out fewer columns")

    def __iter__(self) -> Iterator[Chunk]:
        for X, y in self.table:
            yield X.take(self._kept, axis=1), y


class CsvTable:
    """A CSV file, lines parsed anew on every pass."""

    def __init__(self, path: Path, target: str, skip: Collection[str] = ()):
        self.path = path
        with path.open(encoding="utf-8-sig", newline="") as stream:
            self._columns, self._head = self._names(stream, target)
        self._kept, names = keep(path, self._columns, target, skip)
        self._at = names.index(target)
        self.names = names[: self._at] + names[self._at + 1 :]

    def _names(self, stream: IO[str], target: str) -> tuple[list[str], int]:
        """Columns, and the number of lines up to the header's."""
        try:
            for number, line in enumerate(stream, 1):
                cells = next(csv.reader([line], strict=True), [])
                if cells and not cells[0].lstrip().startswith("#"):
                    return _header(self.path, cells, target), number
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{self.path} is not CSV in UTF-8 ({reason_of(error)}); mend the header") from None
        raise InputError(f"{self.path} is empty; give a header line and rows of numbers")

    def __iter__(self) -> Iterator[Chunk]:
        rows, line, found = chunk_rows(len(self.names)), self._head, False
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            for _ in range(self._head):
                stream.readline()
            while lines := self._lines(stream, rows, line):
                values = self._values(lines, line)
                line += len(lines)
                if len(values):
                    found = True
                    yield np.delete(values, self._at, axis=1), values[:, self._at].copy()
        if not found:
            raise InputError(f"{self.path} has a header but no rows; give rows of numbers")

    def _lines(self, stream: IO[str], rows: int, line: int) -> list[str]:
        try:
            return list(islice(stream, rows))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path} is not UTF-8 text after line {line} ({reason_of(error)}); save it as UTF-8"
            ) from None

    def _values(self, lines: list[str], line: int) -> Array:
        filled = [text for text in lines if text.strip()]
        if not filled:
            return np.empty((0, len(self._kept)))
        try:
            values = np.loadtxt(filled, delimiter=",", quotechar='"', comments=None, ndmin=2)
            if values.shape[1] == len(self._columns) and np.isfinite(values).all():
                return values.take(self._kept, axis=1)
        except ValueError:
            pass
        problems: list[str] = []
        reader = csv.reader(lines, strict=True)
        try:
            rows = [
                _numbers(cells, self._columns, line + reader.line_num, problems, self._kept)
                for cells in reader
                if cells
            ]
        except csv.Error as error:
            raise InputError(
                f"{self.path} is not CSV at line {line + reader.line_num} ({error}); mend the line"
            ) from None
        fail(self.path, problems)
        return np.asarray(rows, dtype=np.float64)


class _Arrays:
    """Named arrays [n] or [n, p] whose rows are read side by side."""

    def __init__(self, path: Path, target: str, shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]):
        self.path, self._target, self._shapes = path, target, shapes
        choose(path, target, list(shapes), "array")
        shape, _ = shapes[target]
        problems = []
        self.rows = shape[0] if shape else 0
        if len(shape) != 1 or self.rows == 0:
            problems.append(f'must have a target "{target}" of shape [n], got shape {list(shape)}; flatten it')
        for name, (shape, dtype) in shapes.items():
            if dtype.kind not in "iufb":
                problems.append(f'must hold numbers, got dtype {dtype} in "{name}"; remove or code it')
            elif len(shape) not in (1, 2) or (self.rows and shape[0] != self.rows):
                problems.append(
                    f'must hold {self.rows} rows in "{name}", got shape {list(shape)}; make it [n] or [n, p]'
                )
        fail(path, problems)
        self.features = [name for name in shapes if name != target]
        if not self.features:
            raise InputError(f'{path} has no array beside "{target}"; give at least one feature')
        # Of a broadcast view the shape alone is needed.
        views = {name: np.broadcast_to(np.float64(0), shapes[name][0]) for name in self.features}
        self.names = [column for name, view in views.items() for column in _columns(name, view)]

    def _chunk(self, parts: dict[str, NDArray[Any]], first: int) -> Chunk:
        problems = []
        for name, part in parts.items():
            if not np.isfinite(part).all():
                at = np.argwhere(~np.isfinite(part))[0]
                row, value = first + int(at[0]) + 1, part[tuple(at)]
                problems.append(
                    f'must hold finite numbers, got {value} in "{name}" at row {row}; remove or fill the row'
                )
        fail(self.path, problems)
        stacked = np.column_stack([np.asarray(parts[name], dtype=np.float64) for name in self.features])
        return stacked, np.asarray(parts[self._target], dtype=np.float64)


class Hdf5Table(_Arrays):
    """Datasets of one group of an HDF5 file."""

    def __init__(self, path: Path, target: str):
        import h5py

        self._group, _, leaf = target.strip("/").rpartition("/")
        with h5py.File(path, "r") as file:
            group = file.get(self._group) if self._group else file
            if not isinstance(group, h5py.Group):
                raise InputError(f'{path} has no group "{self._group}" for the target; name an array of the file')
            items = hdf5_arrays(group)
            if reason := hollow(items):
                raise InputError(f"{path} {reason}")
            shapes = {name: (item.shape, item.dtype) for name, item in items.items()}
        super().__init__(path, leaf, shapes)

    def __iter__(self) -> Iterator[Chunk]:
        import h5py

        rows = chunk_rows(len(self.names))
        with h5py.File(self.path, "r") as file:
            group = file[self._group] if self._group else file
            for first in range(0, self.rows, rows):
                yield self._chunk({name: group[name][first : first + rows] for name in self._shapes}, first)


class NpzTable(_Arrays):
    """Arrays of an NPZ file, packed or not, read from front to back; only one in Fortran order is read at once."""

    def __init__(self, path: Path, target: str):
        self._whole: dict[str, NDArray[Any]] = {}
        shapes = {}
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as stream:
                    shape, fortran, dtype = _npy_header(stream)
                shapes[entry.removesuffix(".npy")] = (shape, dtype)
                if fortran and len(shape) > 1:
                    with np.load(path, allow_pickle=False) as arrays:
                        self._whole[entry.removesuffix(".npy")] = arrays[entry.removesuffix(".npy")]
        super().__init__(path, target, shapes)

    def __iter__(self) -> Iterator[Chunk]:
        rows = chunk_rows(len(self.names))
        with zipfile.ZipFile(self.path) as archive:
            streams = {name: archive.open(f"{name}.npy") for name in self._shapes if name not in self._whole}
            for stream in streams.values():
                _npy_header(stream)
            for first in range(0, self.rows, rows):
                count = min(rows, self.rows - first)
                parts = {name: array[first : first + count] for name, array in self._whole.items()}
                for name, stream in streams.items():
                    shape, dtype = self._shapes[name]
                    inner = shape[1:]
                    raw = stream.read(count * int(np.prod(inner, dtype=np.int64)) * dtype.itemsize)
                    parts[name] = np.frombuffer(raw, dtype=dtype).reshape(count, *inner)
                yield self._chunk(parts, first)


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)

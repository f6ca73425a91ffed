"""Raw bytes of a run file at fixed places.

HDF5 makes the structure and never opens the file for writing again: every later change is a plain write whose order,
durability and failure are ours to decide. Any error is a RunError in one line.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import RunError

CHUNK = 4 << 20
# Reading, patching and writing back a gap of this many bytes costs less than one more system call.
GAP = 4096


@dataclass(frozen=True)
class Extent:
    """Where a contiguous dataset lies: byte offset, shape and little-endian dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @property
    def end(self) -> int:
        return self.offset + self.nbytes

    def at(self, *index: int) -> "Extent":
        """The part under leading indices; IndexError outside of the shape."""
        shape = self.shape[len(index) :]
        size = prod(shape) * self.dtype.itemsize
        place = 0
        for i, n in zip(index, self.shape, strict=False):
            if not 0 <= i < n:
                raise IndexError(f"index {index} is outside of {self.shape}")
            place = place * n + i
        return Extent(self.offset + place * size, shape, self.dtype)

    def rows(self, start: int, stop: int) -> "Extent":
        """Rows start to stop of the first axis."""
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"rows {start} to {stop} are outside of {self.shape}")
        size = prod(self.shape[1:]) * self.dtype.itemsize
        return Extent(self.offset + start * size, (stop - start, *self.shape[1:]), self.dtype)


class RawFile:
    """One open file; reads and writes whole extents.

    Args:
        mode: `read`, `write` (in place) or `new` (which replaces).
        shown: the name in messages, if not that of the path.

    Raises:
        RunError: any failing call of the system, naming the file and the cause.
    """

    def __init__(self, path: Path, mode: str = "read", shown: Path | None = None):
        self.path = shown or path
        self._waits = True
        how = {"read": "rb", "write": "r+b", "new": "w+b"}[mode]
        with self._guard("create" if mode == "new" else "open"):
            self._file: BinaryIO = path.open(how, buffering=0)  # type: ignore[assignment]

    @contextmanager
    def _guard(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else str(error)
            raise RunError(f"cannot {verb} {self.path}: {cause}") from error

    def write_bytes(self, offset: int, data: Any) -> None:
        view = memoryview(data)
        with self._guard("write"):
            self._file.seek(offset)
            while view:
                view = view[self._file.write(view) :]

    def read_bytes(self, offset: int, size: int) -> bytearray:
        buffer = bytearray(size)
        view = memoryview(buffer)
        with self._guard("read"):
            self._file.seek(offset)
            while view:
                got = self._file.readinto(view)  # type: ignore[attr-defined]
                if not got:
                    raise RunError(f"{self.path} is truncated: it ends before byte {offset + size}")
                view = view[got:]
        return buffer

    def write(self, extent: Extent, values: Any) -> None:
        """Writes values of exactly the extent's shape; ValueError for another."""
        self.write_bytes(extent.offset, as_bytes(as_stored(values, extent)))

    def read(self, extent: Extent) -> NDArray[Any]:
        data = self.read_bytes(extent.offset, extent.nbytes)
        return np.frombuffer(data, extent.dtype).reshape(extent.shape)

    def write_window(self, extent: Extent, first: int, values: NDArray[Any]) -> None:
        """Writes values[rows, columns, ...] into columns `first` and on of an extent[rows, all columns, ...]."""
        last = first + values.shape[1]
        if not 0 <= first <= last <= extent.shape[1]:
            raise IndexError(f"columns {first} to {last} are outside of {extent.shape}")
        if last - first == extent.shape[1]:
            self.write(extent, values)
            return
        row = prod(extent.shape[1:]) * extent.dtype.itemsize
        cell = prod(extent.shape[2:]) * extent.dtype.itemsize
        values = as_stored(values, Extent(0, (extent.shape[0], last - first, *extent.shape[2:]), extent.dtype))
        if row - (last - first) * cell > GAP:
            for i in range(extent.shape[0]):
                self.write_bytes(extent.offset + i * row + first * cell, as_bytes(values[i]))
            return
        step = max(1, CHUNK // row)
        for i in range(0, extent.shape[0], step):
            part = extent.rows(i, min(i + step, extent.shape[0]))
            old = self.read(part)
            old[:, first:last] = values[i : i + step]
            self.write(part, old)

    def fill(self, extent: Extent, value: Any) -> None:
        """Writes one value everywhere, so that the disk's space is really taken."""
        pattern = np.full(max(1, min(prod(extent.shape), CHUNK // extent.dtype.itemsize)), value, extent.dtype)
        data = as_bytes(pattern)
        for offset in range(0, extent.nbytes, len(data)):
            self.write_bytes(extent.offset + offset, data[: extent.nbytes - offset])

    def size(self) -> int:
        with self._guard("read"):
            return os.fstat(self._file.fileno()).st_size

    def grow(self, size: int) -> None:
        """Makes the file at least this long."""
        if self.size() < size:
            with self._guard("write"):
                self._file.truncate(size)

    def sync(self) -> None:
        """Returns when the disk has everything written so far."""
        if not self._waits:
            return
        with self._guard("write"):
            getattr(os, "fdatasync", os.fsync)(self._file.fileno())

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Meanwhile `sync` does not wait: for a file that has no name yet, of which nothing is promised."""
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def close(self) -> None:
        self._file.close()


def as_stored(values: Any, extent: Extent) -> NDArray[Any]:
    """values in the extent's dtype and shape, C order; ValueError when the shape or the kind of number differs."""
    array = np.asarray(values)
    if array.shape != extent.shape or not np.can_cast(array.dtype, extent.dtype, "same_kind"):
        raise ValueError(f"expected {extent.dtype}{list(extent.shape)}, got {array.dtype}{list(array.shape)}")
    return np.ascontiguousarray(array, extent.dtype)


def as_bytes(array: NDArray[Any]) -> memoryview:
    """The bytes of an array in C order."""
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def crc32(array: NDArray[Any]) -> int:
    """CRC32 of an array's bytes in C order."""
    return zlib.crc32(as_bytes(array))


def put_in_place(work: Path, target: Path) -> None:
    """Give a complete file its name, durably; RunError if that cannot be done."""
    try:
        work.replace(target)
    except OSError as error:
        raise RunError(f"cannot put {target} in place: {error.strerror or error}") from error
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)

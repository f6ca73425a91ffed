"""Checksums of replicate rows: a CRC32 a wave, and a recorded step where rows are written step by step."""

import numpy as np
from numpy.typing import NDArray

from fastsgd.store.format import GROUP
from fastsgd.store.raw import Extent, RawFile, crc32

# What stands for rows that were never written.
UNWRITTEN = 0


def place_of(name: str) -> str:
    """The dataset with the checksums of a replicate dataset: uint32[A, waves] or [A, waves, S]."""
    return f"{GROUP}/crc32_{name}"


def waves_between(wave: int, r0: int, r1: int, rows: int) -> list[tuple[int, int, int]]:
    """(number, first row, row after the last) of the waves that have a row in r0..r1 of a dataset with so many rows."""
    return [(i, i * wave, min(rows, (i + 1) * wave)) for i in range(r0 // wave, -(-r1 // wave))] if r1 > r0 else []


def update(
    file: RawFile, place: Extent, sums: Extent, wave: int, r0: int, r1: int, s0: int, values: NDArray[np.generic]
) -> None:
    """Brings checksums up to date after values[r1-r0, ...] went into rows r0..r1 (columns s0 and on) of `place`.

    A wave of which only some rows were written is read back whole: its other rows belong to the same sum.
    """
    for i, first, last in waves_between(wave, r0, r1, place.shape[0]):
        whole = r0 <= first and last <= r1
        part = values[first - r0 : last - r0] if whole else file.read(place.rows(first, last))
        if len(sums.shape) == 1:
            file.write(sums.at(i), np.uint32(crc32(np.ascontiguousarray(part, place.dtype))))
            continue
        if not whole:
            part = part[:, s0 : s0 + values.shape[1]]
        found = by_column(np.asarray(part, place.dtype))
        row = sums.at(i)
        file.write(Extent(row.offset + s0 * row.dtype.itemsize, found.shape, row.dtype), found)


def damaged_waves(
    file: RawFile, sums: Extent, wave: int, values: NDArray[np.generic], rows: int, start: int = 0
) -> list[int]:
    """Numbers of the waves whose rows differ from their checksums.

    values[r, ...] are r of the dataset's `rows` rows, those from `start` on, where a wave begins.

    Only whole waves are looked at.
    """
    stored, damaged = file.read(sums), []
    for i, first, last in waves_between(wave, start, start + len(values), rows):
        if last <= start + len(values):
            part = values[first - start : last - start]
            found = by_column(part) if stored.ndim == 2 else np.uint32(crc32(part))
            if np.any((stored[i] != found) & (stored[i] != UNWRITTEN)):
                damaged.append(i)
    return damaged


def by_column(part: NDArray[np.generic]) -> NDArray[np.uint32]:
    """uint32[S]: CRC32 of part[:, s] for each s."""
    columns = np.ascontiguousarray(np.swapaxes(part, 0, 1))
    return np.array([crc32(column) for column in columns], np.uint32)

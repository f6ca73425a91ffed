"""Checks the numbers of a run file: checksums of everything committed, and finite values."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import FastsgdError
from fastsgd.store import checksum, slots
from fastsgd.store.format import GROUP
from fastsgd.store.raw import Extent, RawFile, crc32
from fastsgd.store.reader import Run

# What parsing values of a stranger's file can raise.
BAD = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, ArithmeticError, RecursionError,
    MemoryError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: unreadable, record, structure, progress, steps, identity, checksum or values.
        dataset: where, or "".
        text: what, in one line.
    """

    kind: str
    dataset: str
    text: str

    def document(self) -> dict[str, str]:
        return asdict(self)


def state(run: Run, raw: RawFile) -> Iterator[Finding]:
    """Slots and moment nodes of the last commit."""
    made, record = run._made, run._record
    pool = slots.NodePool(raw, made.extents)
    checks: list[tuple[str, Any]] = [
        *((name, lambda n=name, s=s: slots.read_array(raw, n, made.extents[f"{GROUP}/{n}"], s))
          for name, s in record.arrays.items()),
        *((f"node {p.level}, {p.index}", lambda p=p: pool.read(p)) for p in record.nodes),
    ]  # fmt: skip
    for name, check in checks:
        try:
            check()
        except (FastsgdError, *BAD):
            yield Finding("checksum", f"{GROUP}/{name}", f"checksum of {name} of the last commit differs")


def rows(run: Run, raw: RawFile) -> Iterator[Finding]:
    """Checksums of all rows that are committed; values of those whose checksum is right."""
    for index, arm in enumerate(run.arms):
        yield from _rows_of(run, raw, index, arm)


def _rows_of(run: Run, raw: RawFile, index: int, arm: str) -> Iterator[Finding]:
    done, of_arm = run.progress.replicates_done, f" of arm {arm}" if len(run.arms) > 1 else ""
    diverged = raw.read(_of_arm(run, "diverged_at", index))[:done]
    horizon = int(run.steps[-1]) if len(run.steps) else 0
    if ((diverged < -1) | (diverged > horizon)).any():
        yield Finding("values", "diverged_at", f"diverged_at{of_arm} has steps outside of the run")
    for name in run.names("replicate"):
        place = _of_arm(run, name, index)
        sums = raw.read(run._made.extents[checksum.place_of(name)].at(index))
        damaged, odd, wave = [], 0, run.sizes.wave
        for i, first, last in checksum.waves_between(wave, 0, min(done + 1, place.shape[0]), place.shape[0]):
            whole = last <= done
            columns = slice(None) if whole else slice(0, run.progress.recorded)
            if not whole and (sums.ndim != 2 or not run.progress.recorded):
                continue
            part = raw.read(place.rows(first, last))
            right = (
                sums[i, columns] == checksum.by_column(part[:, columns]) if sums.ndim == 2 else sums[i] == crc32(part)
            )
            if not np.all(right):
                damaged.append(first)
            elif whole:
                odd += _not_finite(part, diverged[first:last], run.steps if sums.ndim == 2 else None)
        if damaged:
            text = f"checksum of {name}{of_arm} differs in {len(damaged)} waves, first at row {damaged[0]}"
            yield Finding("checksum", name, text)
        if odd:
            text = f"{name}{of_arm} is not finite in {odd} replicates that did not diverge, or not yet"
            yield Finding("values", name, text)


def _not_finite(part: NDArray[Any], diverged: NDArray[np.int64], steps: NDArray[np.int64] | None) -> int:
    """Rows with a value that is not finite although the replicate had not diverged."""
    if part.dtype.kind != "f":
        return 0
    bad = ~np.isfinite(part)
    if steps is None:
        return int((bad.reshape(len(part), -1).any(axis=1) & (diverged < 0)).sum())
    alive = (diverged[:, None] < 0) | (steps < diverged[:, None])
    return int((bad.reshape(*bad.shape[:2], -1).any(axis=2) & alive).any(axis=1).sum())


def results(run: Run, raw: RawFile) -> Iterator[Finding]:
    for name in run.names("static"):
        values = raw.read(run._made.extents[name])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            yield Finding("values", name, f"{name} is not finite")
    if not run.finished:
        return
    right = {}
    for name in run.names("result"):
        right[name] = values = raw.read(run._made.extents[name])
        if crc32(values) != run._record.results.get(name):
            del right[name]
            yield Finding("checksum", name, f"checksum of {name} differs")
    if {"count", "mean", "covariance"} <= right.keys():
        count = right["count"]
        if ((count < 0) | (count > run.replicates)).any():
            yield Finding("values", "count", "count is outside of the number of replicates")
        for name, least in (("mean", 1), ("covariance", 2)):
            if not np.isfinite(right[name][count >= least]).all():
                yield Finding("values", name, f"{name} is not finite where {least} or more replicates are counted")


def _of_arm(run: Run, name: str, index: int) -> Extent:
    place = run._made.extents[name]
    return place.at(index) if name in run._made.by_arm else place

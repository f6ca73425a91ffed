"""Two stored runs beside each other: specs key by key, where they come from, and every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import store
from fastsgd.differences import differing

EQUAL, DIFFERENT, PREFIX = "equal", "different", "equal as far as both go"
KINDS = ("static", "replicate", "result")
ALIGNED = ("arm", "step", "replicate", "trajectory_replicate")
ROWS = 4096
Change = tuple[str, Any, Any]


@dataclass(frozen=True)
class DatasetDifference:
    """How one dataset compares, over the arms, replicates and recorded steps that both runs have.

    Attributes:
        name: of the dataset.
        status: `equal`, `different`, `equal as far as both go` (sizes differ), `only in A` or `only in B`.
        values: how many were compared; differ: how many of them have other bits.
        largest: largest absolute difference where both are finite numbers; 0 if only the bits of NaN or zero differ.
    """

    name: str
    status: str
    values: int = 0
    differ: int = 0
    largest: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """What `diff` found; `same` if all numbers are the same bits: problem, replicates, results and their sizes."""

    a: Path
    b: Path
    spec: list[Change]
    provenance: list[Change]
    datasets: list[DatasetDifference]

    @property
    def same(self) -> bool:
        return all(found.status == EQUAL for found in self.datasets)

    def document(self) -> dict[str, Any]:
        """Values for JSON."""

        def changes(found: list[Change]) -> list[dict[str, Any]]:
            return [{"key": key, "a": a, "b": b} for key, a, b in found]

        return {
            "a": str(self.a), "b": str(self.b), "same": self.same, "spec": changes(self.spec),
            "provenance": changes(self.provenance), "datasets": [asdict(found) for found in self.datasets],
        }  # fmt: skip

    def text(self) -> str:
        """Aligned lines; equal datasets are only counted."""
        lines = [f"A = {self.a}", f"B = {self.b}"]
        for title, changes in (("spec", self.spec), ("provenance", self.provenance)):
            lines.append(f"{title}: " + (f"{len(changes)} keys differ" if changes else "the same"))
            lines += [f"  {key}: {_short(a)} and {_short(b)}" for key, a, b in changes]
        equal = [found.name for found in self.datasets if found.status == EQUAL]
        lines.append(f"datasets: {len(equal)} of {len(self.datasets)} are the same to the last bit")
        width = max((len(found.name) for found in self.datasets), default=0)
        for found in self.datasets:
            if found.status == EQUAL:
                continue
            how = f", {found.differ} of {found.values} values, largest difference {found.largest:.3g}"
            lines.append(f"  {found.name:<{width}}  {found.status}{how if found.status == DIFFERENT else ''}")
        return "\n".join(lines)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def diff(a: str | Path, b: str | Path) -> Comparison:
    """Compare two stored runs; rows of unfinished ones as far as both are.

    Raises:
        InputError: one of them is no readable run. RunError: one of them is damaged.
    """
    one, other = store.open_run(a), store.open_run(b)
    names = [name for kind in KINDS for name in dict.fromkeys([*one.names(kind), *other.names(kind)])]
    return Comparison(
        one.path,
        other.path,
        differing(one.document, other.document),
        differing(one.provenance, other.provenance),
        [_dataset(one, other, name) for name in names],
    )


def _dataset(one: store.Run, other: store.Run, name: str) -> DatasetDifference:
    there = [(name in run.names("result") and run.finished) or name in _rowwise(run) for run in (one, other)]
    if not all(there):
        return DatasetDifference(name, "only in A" if there[0] else "only in B")
    if one.dims(name) != other.dims(name):
        return DatasetDifference(name, DIFFERENT)
    values, differ, largest, whole = 0, 0, 0.0, True
    for x, y, partial in _pieces(one, other, name):
        if x.dtype != y.dtype or x.shape != y.shape:
            return DatasetDifference(name, DIFFERENT)
        values, whole = values + x.size, whole and not partial
        apart = _bits(x) != _bits(y)
        differ += int(apart.sum())
        if apart.any():
            with np.errstate(invalid="ignore", over="ignore"):
                gap = np.abs(x[apart].astype(np.float64) - y[apart].astype(np.float64))
            largest = max(largest, float(np.max(gap[np.isfinite(gap)], initial=0.0)))
    return DatasetDifference(name, DIFFERENT if differ else EQUAL if whole else PREFIX, values, differ, largest)


def _rowwise(run: store.Run) -> list[str]:
    return [*run.names("static"), *run.names("replicate")]


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def _pieces(one: store.Run, other: store.Run, name: str) -> Iterator[tuple[NDArray[Any], NDArray[Any], bool]]:
    """Parts of a dataset that both runs have, and whether one of them has more of it."""
    dims = one.dims(name)
    if name not in one.names("replicate"):
        x, y = one.whole(name), other.whole(name)
        partial = False
        for axis, dim in enumerate(dims):
            if dim in ALIGNED and x.ndim == y.ndim:
                i, j = _common(_labels(one, dim), _labels(other, dim))
                partial |= not (len(i) == x.shape[axis] and len(j) == y.shape[axis])
                x, y = x.take(i, axis), y.take(j, axis)
        yield x, y, partial
        return
    rows = [np.array(_labels(run, dims[1 if dims[0] == "arm" else 0])) for run in (one, other)]
    done = [run.progress.replicates_done for run in (one, other)]
    i, j = _common(*(r[:n] for r, n in zip(rows, done, strict=True)))
    shared = [arm for arm in one.arms if arm in other.arms]
    partial = not (len(i) == len(rows[0]) == len(rows[1]) and len(shared) == len(one.arms) == len(other.arms))
    steps = _common(one.steps, other.steps) if "step" in dims else None
    if steps is not None:
        partial |= not (len(steps[0]) == len(one.steps) == len(other.steps))
    for arm in shared:
        for start in range(0, len(i), ROWS):
            part = [
                run.rows(name, arm, int(k[0]), int(k[-1]) + 1)[k - k[0]]
                for run, k in ((one, i[start : start + ROWS]), (other, j[start : start + ROWS]))
            ]
            if steps is not None:
                part = [values[:, k] for values, k in zip(part, steps, strict=True)]
            yield part[0], part[1], partial


def _labels(run: store.Run, dim: str) -> Any:
    """What the places along a dimension are called."""
    if dim == "arm":
        return run.arms
    if dim == "step":
        return run.steps
    numbers = np.concatenate([np.arange(first, first + count) for first, count in run.spans])
    return numbers[: run.sizes.trajectories] if dim == "trajectory_replicate" else numbers


def _common(one: Any, other: Any) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the labels that both have."""
    _, i, j = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    order = np.argsort(i)
    return i[order], j[order]

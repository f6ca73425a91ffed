"""Which datasets a run file has: names, shapes, dimensions, units, and which of them may change later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.store.checksum import place_of
from fastsgd.store.format import GROUP, LAYOUT, RECORDS, STATE, packed_length
from fastsgd.store.raw import Extent
from fastsgd.store.record import record_size

# kinds: static is written at creation and never again; replicate has a row a replicate (after the arm); result comes
# at the end; slot is kept twice, node in a pool of twice as many as are alive; checksum and record tell of the rest.


@dataclass(frozen=True)
class Variable:
    """One dataset. `dims` names its axes; a `scale` gives its own dimension its values; data may be a range."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    dims: tuple[str, ...]
    kind: str = "static"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    scale: bool = False

    @property
    def fill(self) -> float | int:
        """Value of what is not written yet."""
        if self.kind == "replicate" or self.kind == "result":
            return float("nan") if np.dtype(self.dtype).kind == "f" else int(self.attrs.get("missing", 0))
        return 0

    @property
    def nbytes(self) -> int:
        return Extent(0, self.shape, np.dtype(self.dtype)).nbytes if self.dtype != "str" else 64 * max(1, *self.shape)


@dataclass(frozen=True)
class Sizes:
    """Lengths of a run file.

    Attributes:
        arms: names of the arms, at least one; `with_arms` whether datasets have a leading arm axis.
        coordinates: d names.
        steps: S recorded steps.
        replicates: R rows; row i is replicate first_replicate + i.
        spans: (first replicate, how many) of each piece, where pieces are missing between rows; else None.
        trajectories: K rows that keep every recorded iterate.
        wave, block: replicates of a wave and of a leaf of the moment tree. levels: most nodes alive at once.
        columns: columns of a moment node: the recorded steps, then whatever else the engine sums; 0 for the steps.
    """

    arms: tuple[str, ...]
    with_arms: bool
    coordinates: tuple[str, ...]
    steps: int
    replicates: int
    first_replicate: int
    trajectories: int
    wave: int
    block: int
    levels: int
    spans: tuple[tuple[int, int], ...] | None = None

    columns: int = 0

    @property
    def waves(self) -> int:
        return -(-self.replicates // self.wave)


Given = tuple[Sequence[int], Any, Mapping[str, Any]]
Extra = Mapping[str, Given]


def variables(
    sizes: Sizes,
    steps: NDArray[np.int64],
    problems: Sequence[Mapping[str, NDArray[Any]]],
    step_sizes: NDArray[np.float64],
    arrays: Mapping[str, NDArray[Any]],
    extra_state: Mapping[str, Sequence[int]],
    extra_replicate: Extra,
    extra_result: Extra,
) -> list[Variable]:
    """Every dataset of a run, scales first. Names of extras must be new; ValueError otherwise."""
    parts = [
        *_scales(sizes, steps),
        *_problem(sizes, problems, step_sizes),
        *_results(sizes, extra_result),
        *_rows(sizes, extra_replicate),
        *(_plain(f"arrays/{sha}", array) for sha, array in arrays.items()),
    ]
    parts += _checksums(sizes, parts) + _checkpoint(sizes, extra_state, 3 + len(extra_result))
    names = [v.name for v in parts]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"dataset named twice: {', '.join(sorted(twice))}")
    return parts


def _leading(sizes: Sizes) -> tuple[tuple[int, ...], tuple[str, ...]]:
    return ((len(sizes.arms),), ("arm",)) if sizes.with_arms else ((), ())


def _scale(name: str, data: Any, dtype: str, long_name: str, **attrs: Any) -> Variable:
    return Variable(name, (len(data),), dtype, (name,), attrs={"long_name": long_name, **attrs}, data=data, scale=True)


def _scales(sizes: Sizes, steps: NDArray[np.int64]) -> list[Variable]:
    d = sizes.coordinates
    numbers = _numbers(sizes, sizes.replicates)
    found = [
        _scale("step", steps, "<i8", "recorded step", units="1"),
        _scale("coordinate", d, "str", "coordinate of the parameter"),
        _scale("coordinate_2", d, "str", "coordinate of the parameter, second axis of matrices"),
        _scale("replicate", numbers, "<i8", "replicate", units="1"),
    ]
    if sizes.with_arms:
        found.append(_scale("arm", sizes.arms, "str", "arm of the experiment"))
    if sizes.trajectories:
        kept = _numbers(sizes, sizes.trajectories)
        found.append(_scale("trajectory_replicate", kept, "<i8", "replicate with kept iterates", units="1"))
    return found


def _numbers(sizes: Sizes, rows: int) -> range | NDArray[np.int64]:
    """Replicates of the first rows."""
    if sizes.spans is None:
        return range(sizes.first_replicate, sizes.first_replicate + rows)
    return np.concatenate([np.arange(first, first + count) for first, count in sizes.spans])[:rows]


PROBLEM = {
    "hessian": (("coordinate", "coordinate_2"), "Hessian of the objective at the optimum"),
    "noise": (("coordinate", "coordinate_2"), "covariance of a single-sample gradient at the optimum"),
    "metric": (("coordinate", "coordinate_2"), "matrix F of the risk (theta - theta*)' F (theta - theta*)"),
    "optimum": (("coordinate",), "optimum theta*"),
}


def _problem(
    sizes: Sizes, problems: Sequence[Mapping[str, NDArray[Any]]], step_sizes: NDArray[np.float64]
) -> list[Variable]:
    shape, dims = _leading(sizes)
    found = [
        Variable(
            "step_size", (*shape, sizes.steps), "<f8", (*dims, "step"),
            attrs={"units": "1", "long_name": "step size that a recorded step takes next"},
            data=step_sizes.reshape(*shape, sizes.steps),
        )
    ]  # fmt: skip
    for name in problems[0]:
        values = [np.asarray(problem[name]) for problem in problems]
        if name in PROBLEM:
            own, long_name = PROBLEM[name]
        else:
            own, long_name = _guess(name, values[0].shape, len(sizes.coordinates)), name.replace("_", " ")
        attrs = {"units": "1", "long_name": long_name}
        dtype = values[0].dtype.newbyteorder("<").str
        # A pool is the same for every arm and may be large: kept once.
        if name not in PROBLEM and all(np.array_equal(v, values[0]) for v in values):
            found.append(Variable(name, values[0].shape, dtype, own, attrs=attrs, data=values[0]))
        else:
            data = np.stack(values).reshape(*shape, *values[0].shape)
            found.append(Variable(name, data.shape, dtype, (*dims, *own), attrs=attrs, data=data))
    return found


def _guess(name: str, shape: tuple[int, ...], d: int) -> tuple[str, ...]:
    rows = "sample" if name.startswith("pool_") else f"{name}_0"
    rest = ("coordinate",) if shape[1:] == (d,) else tuple(f"{name}_{i}" for i in range(1, len(shape)))
    return ((rows,) if shape else ()) + rest


def _results(sizes: Sizes, extra: Extra) -> list[Variable]:
    shape, dims = _leading(sizes)
    s, d = sizes.steps, len(sizes.coordinates)
    matrix = ("step", "coordinate", "coordinate_2")
    standard: dict[str, tuple[tuple[int, ...], str, tuple[str, ...], str]] = {
        "count": ((s,), "<i8", ("step",), "replicates counted in mean and covariance"),
        "mean": ((s, d), "<f8", ("step", "coordinate"), "mean of theta - theta* over replicates"),
        "covariance": ((s, d, d), "<f8", matrix, "covariance of theta over replicates, divisor count - 1"),
    }
    found = [
        Variable(name, (*shape, *own), dtype, (*dims, *names), "result", {"units": "1", "long_name": text})
        for name, (own, dtype, names, text) in standard.items()
    ]
    return found + [_extra(name, "result", shape, dims, given) for name, given in extra.items()]


def _rows(sizes: Sizes, extra: Extra) -> list[Variable]:
    lead, arm = _leading(sizes)
    shape, dims = (*lead, sizes.replicates), (*arm, "replicate")
    s, d = sizes.steps, len(sizes.coordinates)
    found = [
        Variable("risk", (*shape, s), "<f8", (*dims, "step"), "replicate",
                 {"units": "1", "long_name": "risk of a replicate at a recorded step"}),
        Variable("final", (*shape, d), "<f8", (*dims, "coordinate"), "replicate",
                 {"units": "1", "long_name": "theta - theta* at the last recorded step"}),
        Variable("diverged_at", shape, "<i8", dims, "replicate",
                 {"units": "1", "long_name": "step at which a replicate diverged, -1 if it did not", "missing": -1}),
    ]  # fmt: skip
    if sizes.trajectories:
        found.append(
            Variable("trajectory", (*lead, sizes.trajectories, s, d), "<f8",
                     (*arm, "trajectory_replicate", "step", "coordinate"), "replicate",
                     {"units": "1", "long_name": "theta - theta* of a replicate at recorded steps"})
        )  # fmt: skip
    return found + [_extra(name, "replicate", shape, dims, given) for name, given in extra.items()]


def _extra(name: str, kind: str, shape: tuple[int, ...], dims: tuple[str, ...], given: Given) -> Variable:
    own, dtype, attrs = given
    attrs = {"units": "1", "long_name": name.replace("_", " "), **attrs}
    names = tuple(attrs.pop("dims", (f"{name}_{i}" for i in range(len(own)))))
    if len(names) != len(own):
        raise ValueError(f"{name}: {len(own)} axes but dims {names}")
    return Variable(name, (*shape, *own), np.dtype(dtype).newbyteorder("<").str, (*dims, *names), kind, attrs)


def _plain(name: str, array: NDArray[Any]) -> Variable:
    dims = tuple(f"length_{n}_{i}" for i, n in enumerate(array.shape))
    return Variable(name, array.shape, array.dtype.newbyteorder("<").str, dims, data=array)


def checked_columns(variable: Variable) -> bool:
    """Whether a replicate dataset is written step by step, with a checksum a wave and recorded step."""
    place = variable.dims.index("step") if "step" in variable.dims else -1
    return place > 0 and variable.dims[place - 1] in ("replicate", "trajectory_replicate")


def _checksums(sizes: Sizes, parts: Sequence[Variable]) -> list[Variable]:
    """A CRC32 for each arm, wave (and recorded step) of each replicate dataset."""
    found = []
    for v in parts:
        if v.kind == "replicate":
            rows = v.shape[1 if sizes.with_arms else 0]
            shape: tuple[int, ...] = (len(sizes.arms), -(-rows // sizes.wave))
            dims: tuple[str, ...] = ("arm_index", "wave" if rows == sizes.replicates else "wave_kept")
            if checked_columns(v):
                shape, dims = (*shape, sizes.steps), (*dims, "step_index")
            found.append(Variable(place_of(v.name), shape, "<u4", dims, "checksum"))
    return found


def _checkpoint(sizes: Sizes, extra_state: Mapping[str, Sequence[int]], results: int) -> list[Variable]:
    a, s, d = len(sizes.arms), sizes.columns or sizes.steps, len(sizes.coordinates)
    bound = record_size(sizes.levels, 1 + len(extra_state), results)
    column = "column" if sizes.columns > sizes.steps else "step_index"
    pool, axes = 2 * sizes.levels, ("position", "arm_index", column)
    found = [
        Variable(RECORDS, (2, bound), "|u1", ("slot", "byte"), "record"),
        Variable(f"{GROUP}/{STATE}", (2, a, sizes.wave, d), "<f8",
                 ("slot", "arm_index", "wave_replicate", "coordinate"), "slot"),
        Variable(f"{GROUP}/node_count", (pool, a, s), "<i8", axes, "node"),
        Variable(f"{GROUP}/node_mean", (pool, a, s, d), "<f8", (*axes, "coordinate"), "node"),
        Variable(f"{GROUP}/node_m2", (pool, a, s, packed_length(d)), "<f8", (*axes, "packed"), "node"),
    ]  # fmt: skip
    for name, shape in extra_state.items():
        dims = ("slot", *(f"{name}_{i}" for i in range(len(shape))))
        found.append(Variable(f"{GROUP}/{name}", (2, *shape), "<f8", dims, "slot"))
    return found


def document(sizes: Sizes, parts: Sequence[Variable]) -> dict[str, Any]:
    """What a reader must know to find and check everything, as JSON in the dataset checkpoint/layout."""
    spans = {"spans": [list(span) for span in sizes.spans]} if sizes.spans is not None else {}
    return spans | {
        "arms": list(sizes.arms), "with_arms": sizes.with_arms, "coordinates": list(sizes.coordinates),
        "steps": sizes.steps, "replicates": sizes.replicates, "first_replicate": sizes.first_replicate,
        "trajectories": sizes.trajectories, "wave": sizes.wave, "block": sizes.block, "levels": sizes.levels,
        **({"columns": sizes.columns} if sizes.columns > sizes.steps else {}),
        "datasets": {
            v.name: {"shape": list(v.shape), "dtype": v.dtype, "dims": list(v.dims), "kind": v.kind}
            for v in parts if v.dtype != "str"
        },
    }  # fmt: skip


__all__ = ["LAYOUT", "Extra", "Sizes", "Variable", "checked_columns", "document", "variables"]

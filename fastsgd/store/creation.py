"""Makes a new run file under a temporary name and puts it in place when it is whole."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.errors import InputError, RunError
from fastsgd.store import layout, skeleton
from fastsgd.store.format import ATTRIBUTE_LIMIT, FORMAT, FORMAT_VERSION, LAYOUT, PAGE, RECORDS, Progress
from fastsgd.store.layout import Extra, Sizes, Variable
from fastsgd.store.lock import WriterLock
from fastsgd.store.memory import SparseFile
from fastsgd.store.opened import Structure
from fastsgd.store.raw import CHUNK, Extent, RawFile, put_in_place
from fastsgd.store.record import Record
from fastsgd.store.slots import Checkpoint, load
from fastsgd.store.static import static_sum
from fastsgd.store.writer import RunWriter
from fastsgd.units import in_bytes


def create(
    path: str | os.PathLike[str],
    spec: Any,
    problems: Mapping[str, Mapping[str, NDArray[Any]]],
    *,
    steps: ArrayLike,
    coordinates: Sequence[str],
    wave: int,
    levels: int,
    step_sizes: ArrayLike,
    provenance: Mapping[str, Any],
    stream_version: int | str,
    block: int = 64,
    replicates: int | None = None,
    first_replicate: int = 0,
    spans: Sequence[tuple[int, int]] | None = None,
    trajectories: int = 0,
    columns: int = 0,
    with_arms: bool | None = None,
    extra_state: Mapping[str, Sequence[int]] | None = None,
    extra_replicate: Extra | None = None,
    extra_result: Extra | None = None,
    note: Any = None,
    force: bool = False,
    fill: Callable[[RunWriter], None] | None = None,
) -> RunWriter:
    """Makes the whole structure of a run, with all its space, and opens it for writing.

    Args:
        path: the file to make; its folder must exist.
        spec: has identity(), document(), arrays(); `replicates` and `arms` are its defaults here.
        problems: arm -> arrays: hessian, noise, metric float64[d, d], optimum float64[d], and any others (pool_*),
            which are stored once if all arms share them.
        steps: int64[S] recorded steps. coordinates: d names. step_sizes: float64[S] or [A, S].
        wave: replicates that run together (W). levels: most moment nodes alive at once. block: replicates of a leaf.
        replicates: rows of the file; row i is replicate first_replicate + i. trajectories: rows that keep iterates (K).
        spans: (first replicate, how many) of pieces with gaps between them; they add up to the rows.
        columns: of a moment node, where they are more than the recorded steps.
        with_arms: whether datasets get a leading axis `arm`; default: whether the spec has a table of arms.
        extra_state: name -> shape of further float64 arrays for `commit(extra=...)`.
        extra_replicate: name -> (shape, dtype, attrs) of further datasets [replicate, *shape] for `write_rows`; attrs
            may have `dims`, names of the axes of shape, and `missing`, the value of integers not written yet.
        extra_result: likewise, datasets [*shape] for `finish(results=...)`.
        note: JSON value of the first commit record.
        force: replace a file that exists.
        fill: called with a writer before the file has its name: what it writes is there from the file's first instant
            on, with one wait for the disk.

    Raises:
        InputError: no such folder, or too little free space (said how much is needed).
        RunError: the file exists, another process writes it, or the disk fails.
    """
    path = Path(path)
    arms = tuple(problems)
    names = tuple(str(c) for c in coordinates)
    recorded = np.asarray(steps, np.int64)
    rows = int(spec.replicates if replicates is None else replicates)
    sizes = Sizes(
        arms, bool(getattr(spec, "arms", None)) if with_arms is None else with_arms, names, len(recorded), rows,
        first_replicate, min(trajectories, rows), wave, block, levels, tuple(spans) if spans else None,
        columns,
    )  # fmt: skip
    sizes_of_steps = np.broadcast_to(np.asarray(step_sizes, np.float64), (len(arms), len(recorded)))
    arrays = dict(spec.arrays())
    parts = layout.variables(
        sizes, recorded, list(problems.values()), sizes_of_steps, arrays,
        extra_state or {}, extra_replicate or {}, extra_result or {},
    )  # fmt: skip
    attrs, documents = _texts(spec, provenance, stream_version, sizes, parts)
    check_place(path)
    _check_space(path, sum(v.nbytes for v in parts))
    memory, extents = skeleton.build(parts, attrs, documents)
    _check_space(path, memory.size)
    lock = WriterLock(path)
    try:
        _clean(path)
        if path.exists() and not force:
            raise RunError(f"{path} exists already; give another file, or force to replace it")
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            made = _structure(sizes, parts, attrs, extents, memory.size)
            with closing(RawFile(temporary, "new", shown=path)) as file:
                record = _write(file, memory, extents, parts, attrs, documents, note)
                if fill is not None:
                    writer = RunWriter(file, lock, made, record, _nothing(note))
                    with file.unsynced():
                        fill(writer)
                    record = writer._record
                file.sync()
            put_in_place(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        raw = RawFile(path, "write")
        checkpoint = _nothing(note) if fill is None else load(raw, extents, [record])[1]
        return RunWriter(raw, lock, made, record, checkpoint)
    except BaseException:
        lock.release()
        raise


def _texts(
    spec: Any, provenance: Mapping[str, Any], stream_version: int | str, sizes: Sizes, parts: Sequence[Variable]
) -> tuple[dict[str, str | int], dict[str, str]]:
    identity = spec.identity()
    spec_text, provenance_text = skeleton.text_of(spec.document()), skeleton.text_of(provenance)
    attrs: dict[str, str | int] = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "identity": identity, "stream_version": stream_version,
        "name": str(getattr(spec, "name", "")), "title": f"fastsgd run {getattr(spec, 'name', '')}".strip(),
    }  # fmt: skip
    documents = {"spec": spec_text, LAYOUT: skeleton.text_of(layout.document(sizes, parts))}
    # Where it came from is no result: as an attribute it stays out of comparisons of datasets.
    for name, text in (("spec", spec_text), ("provenance", provenance_text)):
        if len(text.encode()) <= ATTRIBUTE_LIMIT:
            attrs[name] = text
        else:
            documents[name] = text
    return attrs, documents


def check_place(path: Path) -> None:
    """InputError unless a file may be made or replaced at a path."""
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a file name")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a pipe, socket or device; give a file name")


def _check_space(path: Path, need: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if need > free:
        raise InputError(
            f"{path} needs {in_bytes(need)}, {in_bytes(free)} are free in {path.parent}; "
            "take fewer replicates, recorded steps or trajectories, or another disk"
        )


def _clean(path: Path) -> None:
    """Removes what killed processes left; the lock says that nobody is making this file now."""
    for old in path.parent.iterdir():
        if old.name.startswith(f".{path.name}.") and old.name.endswith((".partial", ".partial.lock")):
            with suppress(OSError):
                old.unlink()


def _write(
    file: RawFile,
    memory: SparseFile,
    extents: Mapping[str, Extent],
    parts: Sequence[Variable],
    attrs: Mapping[str, Any],
    documents: Mapping[str, str],
    note: Any,
) -> Record:
    """Everything that a new file holds; its first commit record."""
    for page, content in sorted(memory.pages.items()):
        file.write_bytes(page * PAGE, content[: memory.size - page * PAGE])
    for v in parts:
        if isinstance(v.data, range):
            _write_range(file, extents[v.name], v.data)
        elif v.dtype != "str" and v.data is not None:
            file.write(extents[v.name], np.asarray(v.data))
        elif v.dtype != "str":
            file.fill(extents[v.name], v.fill)
    file.grow(memory.size)
    static = {v.name: extents[v.name] for v in parts if v.kind == "static" and v.name in extents}
    texts = {name: documents[name] for name in ("spec", LAYOUT)}
    record = Record(0, Progress(), static_sum(file, attrs, texts, static), note=note)
    place: Extent = extents[RECORDS]
    file.write_bytes(place.at(record.row).offset, record.encode(place.shape[1]))
    return record


def _structure(
    sizes: Sizes, parts: Sequence[Variable], attrs: Mapping[str, Any], extents: Mapping[str, Extent], end: int
) -> Structure:
    """What reading the new file would find."""
    numbers = [v for v in parts if v.dtype != "str"]
    return Structure(
        sizes=sizes,
        kinds={v.name: v.kind for v in numbers},
        extents=dict(extents),
        by_arm=frozenset(v.name for v in numbers if v.dims[:1] == ("arm",)),
        dims={v.name: tuple(v.dims) for v in numbers},
        attrs={name: value for name, value in attrs.items() if name != "spec"},
        end=end,
    )


def _nothing(note: Any) -> Checkpoint:
    return Checkpoint(Progress(), None, [], {}, note)


def _write_range(file: RawFile, place: Extent, values: range) -> None:
    step = CHUNK // place.dtype.itemsize
    for i in range(0, len(values), step):
        part = values[i : i + step]
        file.write(place.rows(i, i + len(part)), np.arange(part.start, part.stop, dtype=place.dtype))

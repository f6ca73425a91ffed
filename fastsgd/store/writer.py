"""Writes a run: rows of replicates any time, state by commits, results at the end."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.store import checksum, slots
from fastsgd.store.format import GROUP, RECORDS, STATE, Node, Progress
from fastsgd.store.lock import WriterLock
from fastsgd.store.opened import Structure, opened, records, structure
from fastsgd.store.raw import RawFile, crc32
from fastsgd.store.record import FINAL_SEQUENCE, NOTE_LIMIT, Record


def open_writer(path: str | os.PathLike[str]) -> "RunWriter":
    """Opens a run to go on with it.

    If the last process died while it finished the run, finishing is completed here (`progress.complete` is true then).

    Raises:
        InputError: not a readable run file. RunError: another process writes it, or its checkpoint is damaged.
    """
    path = Path(path)
    with opened(path):
        # Refuses a file that is none before a lock file is made beside it.
        pass
    lock = WriterLock(path)
    try:
        return open_locked(path, lock)
    except BaseException:
        lock.release()
        raise


def open_locked(path: Path, lock: WriterLock) -> "RunWriter":
    """The writer of an existing file whose lock is held; the lock is the caller's if this raises."""
    with opened(path) as file:
        made = structure(path, file)
    raw = RawFile(path, "write")
    try:
        record, checkpoint = slots.load(raw, made.extents, records(raw, made.extents))
        writer = RunWriter(raw, lock, made, record, checkpoint)
        writer._seal()
        return writer
    except BaseException:
        raw.close()
        raise


class RunWriter:
    """The only writer of a run file. Not safe to use from several threads at once.

    Attributes:
        path: the file. progress: as last committed. note: a sentence if the lock of a dead process was taken over.
        sizes: lengths and names of the file.
    """

    def __init__(
        self, file: RawFile, lock: WriterLock, made: Structure, record: Record, checkpoint: slots.Checkpoint
    ) -> None:
        self.path, self.sizes, self.note = file.path, made.sizes, lock.note
        self._file, self._lock, self._made = file, lock, made
        self._record = record
        self._checkpoint: slots.Checkpoint | None = checkpoint
        self._pool = slots.NodePool(file, made.extents)

    @property
    def progress(self) -> Progress:
        return self._record.progress

    def restore(self) -> slots.Checkpoint:
        """State, nodes and extra state as of the last commit.

        Raises:
            RunError: the file was damaged meanwhile.
        """
        if self._checkpoint is None:
            self._checkpoint = slots.checkpoint(self._file, self._made.extents, self._record)
        return self._checkpoint

    def write_risk(self, arm: int | str, r0: int, r1: int, s0: int, s1: int, values: ArrayLike) -> None:
        """Risk of rows r0..r1 at recorded steps s0..s1: float64[r1-r0, s1-s0]."""
        self._window("risk", arm, r0, r1, s0, s1, values)

    def write_trajectory(self, arm: int | str, r0: int, r1: int, s0: int, s1: int, values: ArrayLike) -> None:
        """theta - theta* of rows r0..r1 < K at recorded steps s0..s1: float64[r1-r0, s1-s0, d]."""
        self._window("trajectory", arm, r0, r1, s0, s1, values)

    def write_final(self, arm: int | str, r0: int, r1: int, values: ArrayLike) -> None:
        """theta - theta* of rows r0..r1 at the last recorded step: float64[r1-r0, d]."""
        self.write_rows("final", arm, r0, r1, values)

    def write_diverged(self, arm: int | str, r0: int, r1: int, values: ArrayLike) -> None:
        """Step at which rows r0..r1 diverged, -1 if they did not: int64[r1-r0]."""
        self.write_rows("diverged_at", arm, r0, r1, values)

    def write_rows(self, name: str, arm: int | str, r0: int, r1: int, values: ArrayLike) -> None:
        """Rows r0..r1 of any replicate dataset, extras too; a later write of the same rows replaces them."""
        place = self._arm_extent(name, arm)
        array = np.asarray(values)
        self._file.write(place.rows(r0, r1), array)
        self._update_sums(name, arm, r0, r1, 0, array)

    def commit(
        self,
        progress: Progress,
        state: ArrayLike | None = None,
        nodes: Sequence[Node] | None = None,
        extra: Mapping[str, ArrayLike] | None = None,
        note: Any = None,
    ) -> None:
        """Makes everything written so far, and this state, durable and valid: after it returns a kill loses none of it.

        Args:
            progress: how far the run is.
            state: float64[A, w <= W, d] of the running wave; None keeps the one of the last commit.
            nodes: alive moment nodes (at most `levels`); None keeps those of the last commit.
            extra: arrays of the extra state that changed, each at most as large as created.
            note: small JSON value for the engine, at most 2 kB; None keeps the last one.

        Raises:
            RunError: the disk fails; the last commit stays valid.
        """
        if progress.complete:
            raise ValueError("a run is completed by finish()")
        self._commit(progress, {**({} if state is None else {STATE: state}), **(extra or {})}, nodes, note)

    def finish(
        self,
        count: ArrayLike,
        mean: ArrayLike,
        covariance: ArrayLike,
        results: Mapping[str, ArrayLike] | None = None,
        nodes: Sequence[Node] | None = None,
    ) -> None:
        """Writes the results and completes the run; the finished bytes do not depend on the way there.

        Args:
            count: int64[A, S]. mean: float64[A, S, d]. covariance: float64[A, S, d, d]. A is left out without arms.
            results: the extra results, with the arm axis likewise.
            nodes: moment nodes to keep, for more replicates later; None keeps those of the last commit.
        """
        values = {"count": count, "mean": mean, "covariance": covariance, **(results or {})}
        missing = {name for name, kind in self._made.kinds.items() if kind == "result"} ^ values.keys()
        if missing:
            raise ValueError(f"results missing or unknown: {', '.join(sorted(missing))}")
        sums = {}
        for name, given in values.items():
            place = self._made.extents[name]
            array = np.asarray(given)
            if not self.sizes.with_arms and array.shape == (1, *place.shape):
                array = array[0]
            self._file.write(place, array)
            sums[name] = crc32(np.ascontiguousarray(array, place.dtype))
        progress = Progress(self.sizes.replicates)
        self._commit(progress, {}, nodes, None, results=sums)
        self._seal()

    def close(self) -> None:
        """Closes the file and gives the lock back. What was not committed may be lost. Harmless when repeated."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _commit(
        self,
        progress: Progress,
        arrays: Mapping[str, ArrayLike],
        nodes: Sequence[Node] | None,
        note: Any,
        results: Mapping[str, int] | None = None,
    ) -> None:
        old = self._record
        if old.progress.complete:
            raise ValueError(f"{self.path} is complete")
        if len(json.dumps(note)) > NOTE_LIMIT:
            raise ValueError(f"note is longer than {NOTE_LIMIT} bytes")
        kept = dict(old.arrays)
        for name, values in arrays.items():
            place = self._made.extents[f"{GROUP}/{name}"]
            if self._made.kinds[f"{GROUP}/{name}"] != "slot":
                raise ValueError(f"{name} is not a state array")
            kept[name] = slots.write_array(self._file, place, old.arrays.get(name), values)
        self._put(
            replace(
                old,
                progress=progress,
                arrays=kept,
                nodes=old.nodes if nodes is None else self._pool.write(nodes, old.nodes),
                results=dict(results or {}),
                note=old.note if note is None else note,
            )
        )

    def _put(self, record: Record) -> None:
        """Data first, then the record: the order is what makes a kill harmless."""
        record = replace(record, sequence=self._record.sequence + 1)
        place = self._made.extents[RECORDS]
        text = record.encode(place.shape[1])
        self._file.sync()
        self._file.write_bytes(place.at(record.row).offset, text)
        self._file.sync()
        self._record, self._checkpoint = record, None

    def _seal(self) -> None:
        """Brings the file of a finished run into its final form, from wherever an earlier attempt ended."""
        record = self._record
        if not record.results:
            return
        if not record.progress.complete:
            while (moved := self._pool.step_home(self._record.nodes)) is not None:
                self._put(replace(self._record, nodes=moved))
            self._put(replace(self._record, arrays={}))
            self._pool.clear_from(len(self._record.nodes))
            for name, kind in self._made.kinds.items():
                if kind == "slot":
                    self._file.fill(self._made.extents[name], 0)
            record = replace(self._record, progress=replace(self._record.progress, complete=True), note=None)
        self._put_final(record)

    def _put_final(self, record: Record) -> None:
        """Both places get the same last record; the valid one last, and one that is right already not at all."""
        valid = self._record.row
        record = replace(record, sequence=FINAL_SEQUENCE)
        place = self._made.extents[RECORDS]
        text = record.encode(place.shape[1])
        for row in (1 - valid, valid):
            if self._file.read_bytes(place.at(row).offset, len(text)) != text:
                self._file.sync()
                self._file.write_bytes(place.at(row).offset, text)
        self._file.sync()
        self._record, self._checkpoint = record, None

    def _index(self, arm: int | str) -> int:
        return self.sizes.arms.index(arm) if isinstance(arm, str) else range(len(self.sizes.arms))[arm]

    def _arm_extent(self, name: str, arm: int | str) -> Any:
        if self._made.kinds.get(name) != "replicate":
            raise ValueError(f"{name} is not a replicate dataset")
        place = self._made.extents[name]
        return place.at(self._index(arm)) if self.sizes.with_arms else place

    def _window(self, name: str, arm: int | str, r0: int, r1: int, s0: int, s1: int, values: ArrayLike) -> None:
        array = np.asarray(values)
        if array.shape[:2] != (r1 - r0, s1 - s0):
            raise ValueError(f"{name}: expected [{r1 - r0}, {s1 - s0}], got {list(array.shape)}")
        self._file.write_window(self._arm_extent(name, arm).rows(r0, r1), s0, array)
        self._update_sums(name, arm, r0, r1, s0, array)

    def _update_sums(self, name: str, arm: int | str, r0: int, r1: int, s0: int, array: NDArray[Any]) -> None:
        sums = self._made.extents[checksum.place_of(name)].at(self._index(arm))
        checksum.update(self._file, self._arm_extent(name, arm), sums, self.sizes.wave, r0, r1, s0, array)

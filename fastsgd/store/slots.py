"""State and moment nodes of a running wave: written beside the valid ones, made valid by the next commit record."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import RunError
from fastsgd.store.format import GROUP, NODE_PARTS, STATE, Node, Progress
from fastsgd.store.raw import Extent, RawFile, as_bytes, as_stored, crc32
from fastsgd.store.record import NodePlace, Record, Slot


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a resumed engine needs.

    Attributes:
        progress: what is done.
        state: float64[A, W, d] of the running wave as last committed, or None.
        nodes: alive nodes in the order given at the commit.
        extra: name -> array of the extra state committed so far.
        note: the engine's small JSON value.
    """

    progress: Progress
    state: NDArray[np.float64] | None
    nodes: list[Node]
    extra: dict[str, NDArray[np.float64]]
    note: Any


def write_array(file: RawFile, extent: Extent, old: Slot | None, values: Any) -> Slot:
    """Writes an array into the slot that the valid record does not use; it may be shorter than the slot in any axis."""
    array = np.asarray(values)
    room = extent.shape[1:]
    if array.ndim != len(room) or any(n > m for n, m in zip(array.shape, room, strict=True)):
        raise ValueError(f"expected at most {list(room)}, got {list(array.shape)}")
    slot = 1 - old.slot if old else 0
    array = as_stored(array, Extent(0, array.shape, extent.dtype))
    file.write_bytes(extent.at(slot).offset, as_bytes(array))
    return Slot(slot, array.shape, crc32(array))


def read_array(file: RawFile, name: str, extent: Extent, slot: Slot) -> NDArray[Any]:
    """The array of a slot; RunError if it is not what was committed."""
    if prod(slot.shape) > prod(extent.shape[1:]) or slot.slot not in (0, 1):
        raise RunError(f"{file.path} is damaged: the record of {name} does not fit")
    array = file.read(Extent(extent.at(slot.slot).offset, slot.shape, extent.dtype))
    if crc32(array) != slot.crc:
        raise RunError(f"{file.path} is damaged: checksum of {name} differs")
    return array


class NodePool:
    """Places of moment nodes; a node that is already stored is not written again."""

    def __init__(self, file: RawFile, extents: Mapping[str, Extent]):
        self._file = file
        self._extents = [extents[f"{GROUP}/{part}"] for part in NODE_PARTS]
        self.positions = self._extents[0].shape[0]
        # A node that still runs has other counts each time, so equal counts mean equal content.
        self._counts: dict[NodePlace, bytes] = {}

    def write(self, nodes: Sequence[Node], valid: Sequence[NodePlace]) -> tuple[NodePlace, ...]:
        """Stores nodes without touching a place of `valid`; RunError if more are alive than the file has room for."""
        if len(nodes) > self.positions // 2:
            raise RunError(f"{len(nodes)} moment nodes are alive, {self._file.path} has room for {self.positions // 2}")
        known = {(p.level, p.index, p.crc): p for p in valid}
        free = [i for i in range(self.positions) if i not in {p.position for p in valid}]
        places, counts = [], {}
        for node in nodes:
            parts = [as_stored(v, e.at(0)) for v, e in zip(node.parts(), self._extents, strict=True)]
            crc = _crc(parts)
            place = known.get((node.level, node.index, crc))
            if place is None or self._counts.get(place) != parts[0].tobytes():
                place = NodePlace(free.pop(0), node.level, node.index, crc)
                for values, extent in zip(parts, self._extents, strict=True):
                    self._file.write(extent.at(place.position), values)
            places.append(place)
            counts[place] = parts[0].tobytes()
        self._counts = counts
        return tuple(places)

    def read(self, place: NodePlace) -> Node:
        """A stored node; RunError if it is not what was committed."""
        if not 0 <= place.position < self.positions:
            raise RunError(f"{self._file.path} is damaged: the record of a moment node does not fit")
        parts = [self._file.read(e.at(place.position)) for e in self._extents]
        if _crc(parts) != place.crc:
            name = f"moment node ({place.level}, {place.index})"
            raise RunError(f"{self._file.path} is damaged: checksum of {name} differs")
        return Node(place.level, place.index, *parts)

    def step_home(self, places: Sequence[NodePlace]) -> tuple[NodePlace, ...] | None:
        """Moves nodes closer to positions 0, 1, 2, ... without touching a valid one; None when all are there."""
        taken = {p.position for p in places}
        if all(p.position == i for i, p in enumerate(places)):
            return None
        moved = [self._copy(p, i) if i not in taken else p for i, p in enumerate(places)]
        if moved == list(places):
            # Only a cycle is left: one node goes out of the way.
            i = next(i for i, p in enumerate(places) if p.position != i)
            moved[i] = self._copy(places[i], next(k for k in range(self.positions) if k not in taken))
        return tuple(moved)

    def _copy(self, place: NodePlace, position: int) -> NodePlace:
        node = self.read(place)
        for values, extent in zip(node.parts(), self._extents, strict=True):
            self._file.write(extent.at(position), values)
        return NodePlace(position, place.level, place.index, place.crc)

    def clear_from(self, position: int) -> None:
        """Zeroes all places from a position on."""
        for extent in self._extents:
            self._file.fill(extent.rows(position, self.positions), 0)


def load(file: RawFile, extents: Mapping[str, Extent], found: Sequence[Record]) -> tuple[Record, Checkpoint]:
    """The newest record whose state and nodes are all as committed; RunError of the newest one if there is none."""
    first: RunError | None = None
    for record in found:
        try:
            return record, checkpoint(file, extents, record)
        except (RunError, KeyError) as error:
            first = first or (error if isinstance(error, RunError) else RunError(f"{file.path} is damaged: {error}"))
    assert first is not None
    raise first


def checkpoint(file: RawFile, extents: Mapping[str, Extent], record: Record) -> Checkpoint:
    """What a record says is valid; RunError if some of it is not what was committed."""
    arrays = {name: read_array(file, name, extents[f"{GROUP}/{name}"], slot) for name, slot in record.arrays.items()}
    pool = NodePool(file, extents)
    nodes = [pool.read(place) for place in record.nodes]
    return Checkpoint(record.progress, arrays.pop(STATE, None), nodes, arrays, record.note)


def _crc(parts: Sequence[NDArray[Any]]) -> int:
    crc = 0
    for part in parts:
        crc = zlib.crc32(as_bytes(part), crc)
    return crc

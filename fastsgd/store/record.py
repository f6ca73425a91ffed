"""The commit record: what of the file is valid.

Two places of equal size are written in turn. A record is magic, sequence number, length, CRC32 and a JSON text; the
valid one with the larger sequence number holds. A torn or damaged record fails its CRC and the earlier one holds.
"""

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from fastsgd.errors import RunError
from fastsgd.store.format import PAGE, Progress

MAGIC = b"fsgdrec1"
HEADER = struct.Struct("<8sQII")
# The record of a complete run is the same whatever happened on the way there.
FINAL_SEQUENCE = 2**63 - 1
NOTE_LIMIT = 2048


@dataclass(frozen=True)
class Slot:
    """Where the valid content of a doubly kept array is: slot 0 or 1, its shape and CRC32."""

    slot: int
    shape: tuple[int, ...]
    crc: int


@dataclass(frozen=True)
class NodePlace:
    """Where a node of the moment tree is, and the CRC32 over its three parts."""

    position: int
    level: int
    index: int
    crc: int


@dataclass(frozen=True)
class Record:
    """One commit.

    Attributes:
        sequence: grows by one a commit.
        progress: how far the run was.
        structure: CRC32 of what never changes (`static.static_sum`).
        arrays: name -> Slot of the doubly kept arrays.
        nodes: alive nodes of the moment tree.
        results: name -> CRC32 of results; not empty once they are written.
        note: small JSON value of the engine.
    """

    sequence: int
    progress: Progress
    structure: int
    arrays: dict[str, Slot] = field(default_factory=dict)
    nodes: tuple[NodePlace, ...] = ()
    results: dict[str, int] = field(default_factory=dict)
    note: Any = None

    @property
    def row(self) -> int:
        """Which of the two places this record is written to."""
        return self.sequence % 2

    def encode(self, size: int) -> bytes:
        """Exactly `size` bytes; RunError if it cannot fit."""
        document = {
            "progress": self.progress.document(),
            "structure": self.structure,
            "arrays": {name: [s.slot, list(s.shape), s.crc] for name, s in self.arrays.items()},
            "nodes": [[n.position, n.level, n.index, n.crc] for n in self.nodes],
            "results": self.results,
            "note": self.note,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        if HEADER.size + len(text) > size:
            raise RunError(f"the commit record needs {HEADER.size + len(text)} bytes, the file has room for {size}")
        crc = _crc(self.sequence, text)
        return (HEADER.pack(MAGIC, self.sequence, len(text), crc) + text).ljust(size, b"\0")

    @classmethod
    def decode(cls, data: bytes | bytearray) -> "Record | None":
        """The record in data, or None if there is no valid one."""
        if len(data) < HEADER.size:
            return None
        magic, sequence, length, crc = HEADER.unpack_from(data)
        text = bytes(data[HEADER.size : HEADER.size + length])
        if magic != MAGIC or len(text) != length or _crc(sequence, text) != crc:
            return None
        try:
            return cls._from_document(sequence, json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    @classmethod
    def _from_document(cls, sequence: int, document: dict[str, Any]) -> "Record":
        arrays = {
            str(name): Slot(int(slot), tuple(int(n) for n in shape), int(crc))
            for name, (slot, shape, crc) in document["arrays"].items()
        }
        return cls(
            sequence=sequence,
            progress=Progress.from_document(document["progress"]),
            structure=int(document["structure"]),
            arrays=arrays,
            nodes=tuple(NodePlace(*(int(n) for n in place)) for place in document["nodes"]),
            results={str(name): int(crc) for name, crc in document["results"].items()},
            note=document["note"],
        )


def record_size(levels: int, arrays: int, results: int) -> int:
    """Bytes reserved for a record: whole pages, so that writing one never touches a sector of the other."""
    need = 1024 + NOTE_LIMIT + 2 * levels * 64 + arrays * 256 + results * 128
    return -(-need // PAGE) * PAGE


def valid_records(rows: list[bytes | bytearray]) -> list[Record]:
    """The valid records among the two places, the newest first."""
    found = [record for row in rows if (record := Record.decode(row)) is not None]
    return sorted(found, key=lambda record: -record.sequence)


def _crc(sequence: int, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(struct.pack("<QI", sequence, len(text))))

"""Checksum of what never changes in a run file and decides what its numbers mean.

The provenance is left out: it tells of the machine and the command, and equal runs must have equal datasets. HDF5's
own headers have checksums of their own.
"""

import zlib
from collections.abc import Mapping
from typing import Any

from fastsgd.store.raw import CHUNK, Extent, RawFile
from fastsgd.store.skeleton import text_of

ATTRIBUTES = ("format", "format_version", "identity", "stream_version", "name", "title")


def static_sum(file: RawFile, attrs: Mapping[str, Any], texts: Mapping[str, str], places: Mapping[str, Extent]) -> int:
    """CRC32 of the attributes of the root, of the texts and of the static datasets, each under its name.

    Args:
        attrs: of the root; only those in `ATTRIBUTES` count.
        texts: the texts `spec` and `checkpoint/layout`.
        places: where each static dataset lies.
    """
    crc = zlib.crc32(text_of([{name: attrs[name] for name in ATTRIBUTES}, dict(texts)]).encode())
    for name in sorted(places):
        place = places[name]
        crc = zlib.crc32(name.encode() + b"\0", crc)
        for offset in range(0, place.nbytes, CHUNK):
            crc = zlib.crc32(file.read_bytes(place.offset + offset, min(CHUNK, place.nbytes - offset)), crc)
    return crc

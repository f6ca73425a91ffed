"""Shards: a run's replicates cut into contiguous parts that processes or machines simulate apart.

The unit is the block of replicates that is a leaf of the moment tree, so that merged parts have the bits of one run.
"""

from __future__ import annotations

import re
from pathlib import Path

from fastsgd.errors import InputError

Shard = tuple[int, int]
NO_SEED = "shards need one seed for all of them, the spec has none; write seed = 1 into it, or give --set seed=1"


def parse(text: str) -> Shard:
    """`I/N` as numbers, 1 <= I <= N; InputError for anything else."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    index, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= parts:
        raise InputError(f"shard must be I/N with 1 <= I <= N, got {text!r}; give for example 2/8")
    return index, parts


def rows_of(replicates: int, shard: Shard | None) -> tuple[int, int]:
    """(first replicate, how many) of a shard; blocks are spread evenly, the parts differ by at most one block.

    Raises:
        InputError: fewer blocks than parts.
    """
    from fastsgd.kernels.moments import BLOCK

    if shard is None:
        return 0, replicates
    index, parts = shard
    blocks = -(-replicates // BLOCK)
    if parts > blocks:
        raise InputError(
            f"shard {index}/{parts}: {replicates} replicates are {blocks} blocks of {BLOCK} and cannot be cut into "
            f"{parts} parts; give N <= {blocks}"
        )
    first, last = ((i * blocks // parts) * BLOCK for i in (index - 1, index))
    return first, min(last, replicates) - first


def default_name(path: Path, shard: Shard | None) -> Path:
    """`run.h5` as `run.shard-2-of-8.h5`."""
    return path if shard is None else path.with_suffix(f".shard-{shard[0]}-of-{shard[1]}{path.suffix}")

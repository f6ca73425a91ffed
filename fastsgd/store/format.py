"""Names, versions and small values of the run file.

The file is HDF5 with netCDF-4 conventions. Its structure is written once; afterwards only raw bytes at fixed places
change, and last the commit record.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "fastsgd-run"
FORMAT_VERSION = 1

# The default of HDF5 writes superblock 0 and old headers without checksums, `latest` ones that a killed process leaves
# locked. 1.8 has checksums on all metadata and no such lock.
LIBVER = ("v108", "v108")
PAGE = 4096

GROUP = "checkpoint"
RECORDS = "checkpoint/records"
LAYOUT = "checkpoint/layout"
STATE = "state"
NODE_PARTS = ("node_count", "node_mean", "node_m2")
# An attribute must fit into an object header message of 64 KiB.
ATTRIBUTE_LIMIT = 60_000


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        replicates_done: replicates of all completed waves.
        wave_step: step that the running wave has reached.
        recorded: recorded steps that the running wave has behind it.
        complete: whether the results are written and nothing is left to do.
    """

    replicates_done: int = 0
    wave_step: int = 0
    recorded: int = 0
    complete: bool = False

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Any) -> "Progress":
        """Checked inverse of `document`; ValueError for anything else."""
        numbers: list[Any] = [document[key] for key in ("replicates_done", "wave_step", "recorded")]
        if any(type(n) is not int or n < 0 for n in numbers) or type(document["complete"]) is not bool:
            raise ValueError("bad progress")
        return cls(numbers[0], numbers[1], numbers[2], document["complete"])


@dataclass(frozen=True)
class Node:
    """Moments of the replicates of one node of the dyadic tree over blocks.

    Attributes:
        level: height; a node covers 2**level blocks. -1: one block that is not full, outside of the tree.
        index: which of its level; of level -1, which block.
        count: int64[A, S] replicates counted.
        mean: float64[A, S, d].
        m2: float64[A, S, d(d+1)/2], sums of products of deviations, lower triangle row by row.
    """

    level: int
    index: int
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]

    def parts(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self.count, self.mean, self.m2


def packed_length(d: int) -> int:
    """Entries of the lower triangle of a d x d matrix, diagonal included."""
    return d * (d + 1) // 2

"""Which level of a core's caches the rows of a pool are asked into before they are needed."""

import functools
from contextlib import suppress
from pathlib import Path

import numpy as np

_NEAR = 2**15  # bytes; a pool up to this size stays in the first level by itself
NOT, FIRST, SECOND = 0, 1, 2


@functools.cache
def second_level() -> int:
    """Bytes of the second-level cache, 512 KiB where the system does not say."""
    with suppress(OSError, ValueError):
        size = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return 1024 * int(size.removesuffix("K"))
    return 2**19


def level_of(pool: np.ndarray) -> np.uint64:
    """The level into which rows of a pool are asked, NOT for none; uint64.

    Rows from behind the second level are asked into that: more lines can be on their way to it at once than to the first.
    """
    if pool.nbytes <= _NEAR:
        return np.uint64(NOT)
    return np.uint64(FIRST if pool.nbytes <= second_level() else SECOND)

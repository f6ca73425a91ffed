"""How many threads the kernels use. No result depends on it."""

from __future__ import annotations

import os
import threading

from fastsgd.errors import InputError

# Numba's layers are not safe against concurrent parallel calls from several Python threads.
kernel_lock = threading.Lock()


def use_threads(count: int | None) -> int:
    """Set the number of threads of all later kernel calls of this Python thread (None: all cores); returns it."""
    import numba

    from fastsgd.kernels._jit import CORES

    if count is not None and count < 1:
        raise InputError(f"threads must be >= 1, got {count}; leave the option out to use all {CORES} cores")
    wanted = count or int(os.environ.get("FASTSGD_THREADS", "0")) or CORES
    wanted = min(wanted, numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(wanted)
    return wanted


def layer() -> str | None:
    """Numba's threading layer, once a parallel kernel has run; None before."""
    import numba

    try:
        return str(numba.threading_layer())
    except ValueError:
        return None

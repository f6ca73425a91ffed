"""How many threads the kernels use. No result depends on it."""

from __future__ import annotations

import os
import threading

from fastsgd.errors import InputError

# Numba's layers are not safe against concurrent parallel calls from several Python threads.
kernel_lock = threading.Lock()


def cores(count: int | None = None) -> int:
    """`count`, or what FASTSGD_THREADS says, or the cores this process may use; InputError for what is no number >= 1."""
    from fastsgd.kernels._jit import CORES

    if count is not None and count < 1:
        raise InputError(f"threads must be >= 1, got {count}; leave the option out to use all {CORES} cores")
    said = os.environ.get("FASTSGD_THREADS", "").strip()
    if count is None and said and not (said.isdigit() and int(said) > 0):
        raise InputError(f"FASTSGD_THREADS must be a whole number >= 1, got {said!r}; set it to one or unset it")
    return count or int(said or "0") or CORES


def use_threads(count: int | None) -> int:
    """Set the number of threads of all later kernel calls of this Python thread (None: all cores); returns it."""
    import numba

    wanted = min(cores(count), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(wanted)
    return wanted


def layer() -> str | None:
    """Numba's threading layer, once a parallel kernel has run; None before."""
    import numba

    try:
        return str(numba.threading_layer())
    except ValueError:
        return None

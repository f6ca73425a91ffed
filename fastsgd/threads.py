"""How many threads the kernels use. No result depends on it."""

from __future__ import annotations

import os
import threading

from fastsgd.errors import InputError

# Numba's layers are not safe against concurrent parallel calls from several Python threads.
kernel_lock = threading.Lock()

MOST = 4096  # threads that anybody could mean


def cores(count: int | None = None) -> int:
    """`count`, or what FASTSGD_THREADS says, or the cores this process may use; InputError for what is no number >= 1."""
    if count is not None and not 1 <= count <= MOST:
        raise InputError(
            f"threads must be from 1 to {MOST}, got {count}; leave the option out to use all {available()} cores"
        )
    said = os.environ.get("FASTSGD_THREADS", "").strip()
    if count is None and said and not (said.isdecimal() and len(said) < 6 and 1 <= int(said) <= MOST):
        raise InputError(
            f"FASTSGD_THREADS must be from 1 to {MOST}, got {said!r}; set it to a whole number or unset it"
        )
    return count or int(said or "0") or available()


def available() -> int:
    """Cores by affinity and the scheduler's allotment, as the kernels have it, without loading Numba."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(found, int(allotted)) if allotted.isdigit() and int(allotted) > 0 else found


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

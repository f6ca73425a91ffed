"""Numba kernels: random numbers, subset draws, recursions and moments. Imports numpy and numba alone."""

import os
import sys

# Changes whenever any random number or any result of a kernel changes in any bit.
STREAM_VERSION = 3
# Of runs whose noise is drawn in single precision: changes with that, and with the above.
SINGLE_VERSION = f"{STREAM_VERSION}.single.1"

# Numba fixes the largest thread count when it is imported; leave room for a user who asks for more than the cores.
# Afterwards the variable must not change: Numba reads it again at each compilation and refuses a new value.
if "numba" not in sys.modules:
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(os.cpu_count() or 1, 16)))

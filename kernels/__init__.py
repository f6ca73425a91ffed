"""Numba kernels: random numbers, subset draws, recursions and moments. Imports numpy and numba alone."""

# Changes whenever any random number or any result of a kernel changes in any bit.
STREAM_VERSION = 1

from . import _jit as _jit  # before any kernel imports numba: it sets the largest thread count

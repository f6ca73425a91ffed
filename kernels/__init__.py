"""Numba kernels: random numbers, subset draws, recursions and moments. Imports numpy and numba alone."""

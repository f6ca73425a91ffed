"""Random numbers for a draw function of one's own (`fastsgd.OwnDesign`), to be called in code that Numba compiles.

    below(stream, n)              an integer from 0 to n - 1, int64
    uniform(stream)               a number on [0, 1)
    subset(stream, n, size, out)  `size` different integers below n in out[0 : size]
    shuffle(stream, array)        an array in random order, in place

A stream has as many numbers as are asked for; they are a function of (seed, replicate, step) alone, so that a batch is the
same on any number of threads, in a shard and in a replay. `stream(seed, replicate, step)` makes one, to try a draw function in
Python.
"""

from fastsgd.kernels.own_stream import below, shuffle, stream, subset, uniform

__all__ = ["below", "shuffle", "stream", "subset", "uniform"]

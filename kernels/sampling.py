"""Samples of the iterates of a block of replicates, laid out row by row while its recursion goes on."""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, inline
from .lanes import store_columns

_W = np.uint64(LANES)
_0, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(i) for i in (0, 2, 3, 4, 5, 6, 7, 8))


class Samples(NamedTuple):
    """After `until` steps, and then after every `thin`, the iterate of lane l of arm a goes to x[at + a room + l rows :].

    Each sample stands `apart` from the one before. until = 0: no samples. x: flat; `rows`: coordinates of an iterate with
    room for whole vectors of eight.
    """

    until: np.int64
    thin: np.int64
    x: np.ndarray
    at: np.uint64
    room: np.uint64
    apart: np.uint64


def no_samples(x):
    """For a recursion that is to go on undisturbed; x: any flat array of float64."""
    zero = np.uint64(0)
    return Samples(np.int64(0), np.int64(0), x, zero, zero, zero)


@inline
def lay_out(state, arms, rows, samples, number):
    """Write sample `number` of a block's state, flat [arm, rows, LANES]."""
    to, length = samples.at + np.uint64(number) * samples.apart, np.uint64(rows)
    for a in range(np.uint64(arms)):
        for top in range(_0, length, _8):
            for lane in range(_0, _W, _8):
                i = (a * length + top) * _W + lane
                store_columns(
                    state, i, i + _W, i + _2 * _W, i + _3 * _W, i + _4 * _W, i + _5 * _W, i + _6 * _W, i + _7 * _W,
                    samples.x, to + a * samples.room + lane * length + top, length, 8,
                )  # fmt: skip

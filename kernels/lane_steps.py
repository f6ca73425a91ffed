"""The update of own problems on a block of replicates: Delta = fma(-eta, ghat, Delta), theta = optimum + Delta.

Arrays are flat, [arm, coordinate, lane].
"""

import numpy as np

from ._jit import LANES, inline
from .vector import fma, load, store

_W = np.uint64(LANES)


@inline
def position_lanes(state, optimum, a, d, theta):
    """theta of an arm."""
    at = np.uint64(a * d) * _W
    for j in range(np.uint64(d)):
        store(theta, at, load(state, at, LANES) + optimum[j])
        at += _W


@inline
def update_lanes(state, optimum, a, d, total, inverse, minus_eta, theta):
    """A step of an arm from its summed gradient."""
    at = np.uint64(a * d) * _W
    for j in range(np.uint64(d)):
        delta = fma(minus_eta, load(total, at, LANES) * inverse, load(state, at, LANES))
        store(state, at, delta)
        store(theta, at, delta + optimum[j])
        at += _W

"""Random numbers of one address (seed, replicate, step), lanes across the draws: what simulators of a sample draw from.

A sample has fixed numbers of normals, uniforms and exponentials. Those of sample i stand at i * count ... of its step's
row of the kind, so a larger batch extends a smaller one. Uniforms are on the open interval (0, 1), odd multiples of
2^-53, so that 1 - u is exact; exponentials are -log u.
"""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, inline, jit
from .elementary import log
from .normal import box_muller
from .philox import PURPOSE_EXPONENTIAL, PURPOSE_NOISE, PURPOSE_UNIFORM, counter_high, philox4x32
from .vector import as_double, load
from .views import borrow, store_pairs

NORMAL, UNIFORM, EXPONENTIAL = 0, 1, 2

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_12 = np.uint64(12)
_1 = np.uint64(1)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_TO_OPEN = 1.0 - 1.0 / 9007199254740992.0
_BULK = 256  # Philox blocks made at once, about


class Stream(NamedTuple):
    """Draws of one sample: float64[normals], float64[uniforms], float64[exponentials]."""

    normals: np.ndarray
    uniforms: np.ndarray
    exponentials: np.ndarray


class Rows(NamedTuple):
    """Draws of one kind for a bulk of successive steps.

    block, step: uint64, Philox block and step of each lane; draws: float64, `pitch` a step.
    """

    kind: np.int64
    block: np.ndarray
    step: np.ndarray
    draws: np.ndarray
    pitch: np.int64


@jit
def bulk_steps(counts, samples):
    """How many steps' draws are made together; counts int64[3]: draws of a sample by kind; samples of a step."""
    blocks = 1
    for kind in range(3):
        blocks = max(blocks, (counts[kind] * samples + 1) // 2)
    return max(1, _BULK // blocks)


@jit
def make_rows(kind, count, samples, steps):
    """Memory for the draws of `steps` steps of `samples` samples with `count` draws each."""
    blocks = (count * samples + 1) // 2
    lanes = (blocks * steps + LANES - 1) // LANES * LANES
    block, step = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
    if blocks:
        for i in range(lanes):
            block[i], step[i] = i % blocks, i // blocks
    return Rows(np.int64(kind), block, step, np.zeros(2 * lanes), np.int64(2 * blocks))


@inline
def open_unit(w0, w1):
    """A uniform on (0, 1) from two 32-bit words."""
    bits = (w0 & _LOW) | (w1 << _32)
    return as_double((bits >> _12) | _ONE_BITS) - _TO_OPEN


@jit
def fill(rows, pilot, seed, replicate, step, steps):
    """The draws of `steps` steps from `step` on (uint64, as seed, replicate); `pilot`: 0, or PILOT."""
    k0, k1, c2 = seed & _LOW, seed >> _32, replicate & _LOW
    purpose = pilot + PURPOSE_NOISE
    if rows.kind == UNIFORM:
        purpose = pilot + PURPOSE_UNIFORM
    elif rows.kind == EXPONENTIAL:
        purpose = pilot + PURPOSE_EXPONENTIAL
    for lane in range(np.uint64(0), np.uint64(rows.pitch * steps // 2), np.uint64(LANES)):
        t = load(rows.step, lane, LANES) + step
        c3 = counter_high(purpose, replicate, t)
        w0, w1, w2, w3 = philox4x32(load(rows.block, lane, LANES), t & _LOW, c2, c3, k0, k1)
        to = lane << _1
        if rows.kind == NORMAL:
            a, b = box_muller(w0, w1, w2, w3)
            store_pairs(rows.draws, to, a, b)
        else:
            a, b = open_unit(w0, w1), open_unit(w2, w3)
            if rows.kind == UNIFORM:
                store_pairs(rows.draws, to, a, b)
            else:
                store_pairs(rows.draws, to, -log(a), -log(b))


@inline
def sample_of(zs, us, es, counts, begin, i):
    """Stream of sample i from rows of each kind, of the step whose rows begin at step `begin` of the bulk."""
    nz, nu, ne = counts[0], counts[1], counts[2]
    z0, u0, e0 = begin * zs.pitch + i * nz, begin * us.pitch + i * nu, begin * es.pitch + i * ne
    return Stream(borrow(zs.draws, z0, nz), borrow(us.draws, u0, nu), borrow(es.draws, e0, ne))

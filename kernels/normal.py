"""Standard normal draws: Philox words through Box-Muller, lanes across replicates.

Two words make a 64-bit number. Of the first, 52 bits give a uniform u in (0, 1], so |z| <= sqrt(104 ln 2) = 8.49; of the
second, two bits give the quadrant and 52 an angle. One Philox call makes two normals.
"""

import numpy as np

from ._jit import LANES, inline, jit
from .elementary import log, sincos_quarter
from .philox import counter_high, philox4x32
from .vector import as_double, as_words, lane_numbers, select, sqrt, store

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_12 = np.uint64(12)
_10 = np.uint64(10)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
_SIGN = np.uint64(0x8000000000000000)
_SWAP = np.uint64(0x4000000000000000)
_0 = np.uint64(0)


@inline
def box_muller(w0, w1, w2, w3):
    """Two independent standard normals from four random words (only their low 32 bits count)."""
    first = (w0 & _LOW) | (w1 << _32)
    second = (w2 & _LOW) | (w3 << _32)
    u = 2.0 - as_double((first >> _12) | _ONE_BITS)
    radius = sqrt(-2.0 * log(u))
    # The circle is the arc |angle| <= pi/4, its mirror image (sign bit), and both turned a quarter (swap bit).
    r = as_double(((second >> _10) & _MANTISSA) | _ONE_BITS) - 1.5
    sine, cosine = sincos_quarter(r)
    cosine = as_double(as_words(cosine) ^ (second & _SIGN))
    turned = (second & _SWAP) != _0
    return radius * select(turned, sine, cosine), radius * select(turned, cosine, sine)


@inline
def normal_pair(block, step_low, replicate_low, high, k0, k1):
    """Normals 2 block and 2 block + 1 of an address; `high` from `counter_high`."""
    w0, w1, w2, w3 = philox4x32(block, step_low, replicate_low, high, k0, k1)
    return box_muller(w0, w1, w2, w3)


@inline
def fill_normals(count, purpose, replicate, step, k0, k1, out, begin):
    """Normals 0 .. count - 1 of `LANES` replicates at one step: out[begin + j * LANES + lane], room for an even count.

    replicate: vector of replicate numbers; step, count: uint64.
    """
    low = replicate & _LOW
    high = counter_high(purpose, replicate, step)
    step_low = step & _LOW
    for block in range(np.uint64((count + np.uint64(1)) >> np.uint64(1))):
        a, b = normal_pair(np.uint64(block), step_low, low, high, k0, k1)
        at = begin + np.uint64(block) * np.uint64(2 * LANES)
        store(out, at, a)
        store(out, at + np.uint64(LANES), b)


@inline
def fill_steps(steps, dimension, purpose, replicate, first_step, seed, out):
    """Normals 0 .. dimension - 1 of `steps` successive steps, one step after another, each with room for an even count."""
    stride = np.uint64(dimension + dimension % 2) * np.uint64(LANES)
    for k in range(steps):
        step = first_step + np.uint64(k)
        at = np.uint64(k) * stride
        fill_normals(np.uint64(dimension), purpose, replicate, step, seed & _LOW, seed >> _32, out, at)


@jit
def normals(seed, purpose, first_replicate, step, count, out):
    """Normals 0 .. count - 1 of replicates first_replicate .. + LANES - 1 at one step, as out[count (even), LANES] flat."""
    replicate = lane_numbers(LANES) + first_replicate
    fill_normals(count, purpose, replicate, step, seed & _LOW, seed >> _32, out, np.uint64(0))
    return 0

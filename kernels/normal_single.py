"""Standard normals in single precision: four from one Philox block, where `normal` makes two. An option of a run.

Each of the four words is a uniform number of its own. Box-Muller is done in float32, every step correctly rounded, and
what comes out becomes a double exactly; sums, states and moments know doubles alone.

    radius   t = (i + 1/2) / 2^32 of the word as a signed integer i, rounded to float32; u = t, and 1 + t where t < 0.
             Small u and small 1 - u keep all 24 bits, and so does every radius. The largest is sqrt(66 ln 2) = 6.764,
             which a true normal exceeds once in 7e10; the smallest is 2^-16.
    angle    two bits give the quadrant, thirty the place in it, symmetric about its middle.

Coefficients: scripts/coefficients. The moments of this law, over all words: scripts/verify normals.
"""

import numpy as np

from ._jit import LANES, inline, jit
from .normal import address, low_words
from .philox import begin_rounds, block_words, round_keys, rounds_2_to_5, rounds_6_to_9
from .vector import as_halves, as_single, fma, low_halves, select, signed_single, sqrt, store, widened

_LOG = (
    -2.0,
    1.0000017881393433,
    -0.6665242910385132,
    0.503777027130127,
    -0.3513805866241455,
    0.6820926666259766,
    1.1907298564910889,
    3.9534194469451904,
    4.96463680267334,
    3.4918839931488037,
)
_COS = (-1.2337005138397217, 0.25366923213005066, -0.02086028829216957, 0.0009040219010785222)
_SIN = (1.5707963705062866, -0.6459634900093079, 0.07968003302812576, -0.00460165785625577)
_MINUS_2_LN2 = -1.3862943649291992
_PER_UNIT = _MINUS_2_LN2 * 2.0**-23  # of an exponent that stands above the 23 bits of a mantissa
_2_32 = 2.0**-32
_2_33 = 2.0**-33
_MANTISSA = np.uint32(0x007FFFFF)
_HALF_BITS = np.uint32(0x3F000000)
_PLACE = np.uint32(0xFFFFFFFC)
_MIDDLE = np.uint32(2)
_SWAP = np.uint32(2)
_NONE = np.uint32(0)
_31 = np.uint32(31)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_0, _1, _2, _3, _4 = (np.uint64(i) for i in range(5))
_W = np.uint64(LANES)


@inline
def radius(word):
    """sqrt(-2 log u) of 32-bit words: float32, with a relative error below 1.8e-7."""
    t = fma(signed_single(word), _2_32, _2_33)
    bits = as_halves(t)
    small = t > 0.0
    # u = 2^e (1 + f) with -1/2 <= f < 0; where t < 0, e = 0 and f = u - 1 is t itself.
    mantissa = (bits & _MANTISSA) | _HALF_BITS
    f = select(small, as_single(mantissa) - 1.0, t)
    e = signed_single(select(small, bits - mantissa, _NONE))
    # Even and odd powers apart: half the chain of latencies.
    g = f * f
    p, q = fma(g, _LOG[9], _LOG[7]), fma(g, _LOG[8], _LOG[6])
    p, q = fma(g, p, _LOG[5]), fma(g, q, _LOG[4])
    p, q = fma(g, p, _LOG[3]), fma(g, q, _LOG[2])
    p, q = fma(g, p, _LOG[1]), fma(g, q, _LOG[0])
    return sqrt(fma(e, _PER_UNIT, f * fma(f, p, q)))


@inline
def direction(word):
    """The point of the unit circle that 32-bit words give: two float32, with relative errors below 1.75e-7."""
    r = signed_single((word & _PLACE) | _MIDDLE) * _2_32
    t = r * r
    c, s = fma(t, _COS[3], _COS[2]), fma(t, _SIN[3], _SIN[2])
    c, s = fma(t, c, _COS[1]), fma(t, s, _SIN[1])
    c, s = fma(t, c, _COS[0]), fma(t, s, _SIN[0])
    cosine = as_single(as_halves(fma(t, c, 1.0)) ^ (word << _31))
    sine = r * s
    turned = (word & _SWAP) != _NONE
    return select(turned, sine, cosine), select(turned, cosine, sine)


@inline
def four_and_next(w, at, block, keys):
    """Four normals from the words w, and the words of `block` of the step `at`; in the order of `normals_and_next`."""
    c0, c1, c2, c3 = begin_rounds(at, block, keys)
    first = radius(low_halves(w.c0))
    c0, c1, c2, c3 = rounds_2_to_5(c0, c1, c2, c3, keys)
    second = radius(low_halves(w.c2))
    x, y = direction(low_halves(w.c1))
    following = rounds_6_to_9(c0, c1, c2, c3, keys)
    a, b = widened(first * x), widened(first * y)
    x, y = direction(low_halves(w.c3))
    return a, b, widened(second * x), widened(second * y), following


@inline
def _store_four(out, at, a, b, c, d):
    store(out, at, a)
    store(out, at + _W, b)
    store(out, at + _W * _2, c)
    store(out, at + _W * _3, d)


@inline
def fill_single(first, last, w, now, following, then, keys, at, out):
    """Normals 4 first .. 4 last - 1 of a step, as `fill_normals`."""
    for block in range(first + _1, last):
        a, b, c, d, w = four_and_next(w, now, np.uint64(block), keys)
        _store_four(out, at, a, b, c, d)
        at += _W * _4
    a, b, c, d, w = four_and_next(w, following, then, keys)
    _store_four(out, at, a, b, c, d)
    return w


@jit
def normals_single(seed, purpose, first_replicate, step, count, out):
    """As `normals`, for a count that is a multiple of four."""
    keys = round_keys(seed & _LOW, seed >> _32)
    at = address(purpose, first_replicate, low_words(first_replicate), step, keys)
    fill_single(_0, (count + _3) >> _2, block_words(at, _0, keys), at, at, _0, keys, _0, out)
    return 0

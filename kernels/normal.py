"""Standard normal draws: Philox words through Box-Muller, lanes across replicates.

Two words make a 64-bit number. Of the first, 52 bits give a uniform u in (0, 1], so |z| <= sqrt(104 ln 2) = 8.49; of the
second, two bits give the quadrant and 52 an angle. One Philox call makes two normals.
"""

import numpy as np

from ._jit import LANES, inline, jit, leaf
from .elementary import log_begin, minus_two_log_end, sincos_quarter
from .philox import Words, begin_rounds, block_words, counter_high, round_keys, rounds_2_to_5, rounds_6_to_9, step_of
from .vector import align_stack, as_double, as_words, join_low, lane_numbers, load, select, sqrt, store

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_12 = np.uint64(12)
_10 = np.uint64(10)
_ONE_BITS = np.uint64(0x3FF0000000000000)
_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
_SIGN = np.uint64(0x8000000000000000)
_SWAP = np.uint64(0x4000000000000000)
_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_W = np.uint64(LANES)
_KEYS = np.uint64(20)
_WORDS = np.uint64(24)
KEPT = 24 + 4 * LANES  # the keys of the rounds, then from _WORDS on four words of each lane


@inline
def _uniform(first):
    """A uniform in (0, 1] from the upper 52 bits of a word."""
    return 2.0 - as_double((first >> _12) | _ONE_BITS)


@inline
def _on_circle(radius, second):
    """The point of a circle at the angle that a word gives."""
    # The circle is the arc |angle| <= pi/4, its mirror image (sign bit), and both turned a quarter (swap bit).
    r = as_double(((second >> _10) & _MANTISSA) | _ONE_BITS) - 1.5
    sine, cosine = sincos_quarter(r)
    cosine = as_double(as_words(cosine) ^ (second & _SIGN))
    turned = (second & _SWAP) != _0
    return radius * select(turned, sine, cosine), radius * select(turned, cosine, sine)


@inline
def box_muller(w0, w1, w2, w3):
    """Two independent standard normals from four random words (only their low 32 bits count)."""
    e, f, s = log_begin(_uniform(join_low(w0, w1)))
    return _on_circle(sqrt(minus_two_log_end(e, f, s)), join_low(w2, w3))


@inline
def normals_and_next(w, at, block, keys):
    """Two normals from the words w, and the words of `block` of the step `at`.

    Box-Muller and Philox are each one long chain of latencies, too long for the processor to overlap by itself: here the
    rounds of the next block stand behind the division and the square root of this one. keys: of `round_keys`; from memory,
    as `start_words` wrote them, where what else is held would crowd a vector of each out of the registers.
    """
    e, f, s = log_begin(_uniform(join_low(w.c0, w.c1)))
    c0, c1, c2, c3 = begin_rounds(at, block, keys)
    c0, c1, c2, c3 = rounds_2_to_5(c0, c1, c2, c3, keys)
    radius = sqrt(minus_two_log_end(e, f, s))
    following = rounds_6_to_9(c0, c1, c2, c3, keys)
    a, b = _on_circle(radius, join_low(w.c2, w.c3))
    return a, b, following


def turn_of(first_replicate, replicates):
    """How many of so many replicates from the first on come before their bits above the 32nd change within a block of lanes.

    0 if that happens nowhere: the lanes of a block share these bits.
    """
    turn = -int(first_replicate) % 2**32
    return turn if turn % LANES and turn < replicates else 0


@inline
def address(purpose, first_replicate, replicate, step, keys):
    """Of `LANES` replicates from first_replicate on, which share the bits above the 32nd; replicate: their low words."""
    return step_of(replicate, counter_high(purpose, first_replicate, step), step, keys)


@inline
def fill_normals(first, last, w, now, following, then, keys, at, out):
    """Normals 2 first .. 2 last - 1 of a step, first < last, a vector of lanes each, from out[at] on.

    w: the words of block `first` of the step `now`. Returns those of block `then` of the step `following`.
    """
    for block in range(first + _1, last):
        a, b, w = normals_and_next(w, now, np.uint64(block), keys)
        store(out, at, a)
        store(out, at + _W, b)
        at += _W + _W
    a, b, w = normals_and_next(w, following, then, keys)
    store(out, at, a)
    store(out, at + _W, b)
    return w


@inline
def load_words(kept):
    """The words of a block of lanes from the flat uint64[KEPT] that `store_words` wrote."""
    at = _WORDS
    return Words(
        load(kept, at, LANES),
        load(kept, at + _W, LANES),
        load(kept, at + _2 * _W, LANES),
        load(kept, at + _3 * _W, LANES),
    )


@inline
def store_words(w, kept):
    at = _WORDS
    store(kept, at, w.c0)
    store(kept, at + _W, w.c1)
    store(kept, at + _2 * _W, w.c2)
    store(kept, at + _3 * _W, w.c3)


@inline
def low_words(first_replicate):
    """The low words of replicates first_replicate .. + LANES - 1."""
    return (lane_numbers(LANES) + first_replicate) & _LOW


@leaf
def start_words(seed, purpose, first_replicate, step, kept):
    """The words of block 0 of a step, with which its normals begin, and the keys, into the flat uint64[KEPT] kept."""
    keys = round_keys(seed & _LOW, seed >> _32)
    for i in range(_KEYS):
        kept[i] = keys[i]
    at = address(purpose, first_replicate, low_words(first_replicate), step, keys)
    store_words(block_words(at, _0, keys), kept)


@jit
def normals(seed, purpose, first_replicate, step, count, out):
    """Normals 0 .. count - 1 of replicates first_replicate .. + LANES - 1 at one step, as out[count (even), LANES] flat."""
    align_stack()
    kept = np.empty(KEPT, np.uint64)
    start_words(seed, purpose, first_replicate, step, kept)
    at = address(purpose, first_replicate, low_words(first_replicate), step, kept)
    fill_normals(_0, (count + _1) >> _1, load_words(kept), at, at, _0, kept, _0, out)
    return 0

"""The 32-bit words of one address, in order, for draws that need an unknown number of them.

A design's draw function takes its random numbers from here: `below` (bounded integers by Lemire's method with rejection, ACM
TOMACS 29, 2019), `word64` and `unit` (two words each). What is drawn is a function of the address alone.
"""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, inline, inner, leaf
from .lanes import store_interleaved
from .philox import counter_high, philox4x32
from .vector import lane_numbers, load

_BLOCKS = max(16, LANES)  # made at once; no bit depends on it
_LOW = np.uint64(0xFFFFFFFF)
_0, _1, _2, _3, _4, _32 = (np.uint64(i) for i in (0, 1, 2, 3, 4, 32))
_11 = np.uint64(11)
_TWO_32 = np.uint64(2**32)
_2_53 = 1.0 / 9007199254740992.0


class Words(NamedTuple):
    """Words of one address.

    buffer uint32[4 B]: those of B blocks; lanes uint64[B]: 0, 1, ...; state uint64[6]: the next word in the buffer, its
    first block (modulo 2^64), purpose, seed, replicate, step.
    """

    buffer: np.ndarray
    lanes: np.ndarray
    state: np.ndarray


@inner
def make_words():
    """Memory for the words of one address at a time; one for each thread."""
    lanes = np.empty(_BLOCKS, np.uint64)
    for i in range(_BLOCKS):
        lanes[i] = i
    return Words(np.empty(4 * _BLOCKS, np.uint32), lanes, np.zeros(6, np.uint64))


@leaf
def _fill(words, block):
    """The buffer from a block on."""
    state = words.state
    seed, replicate, step = state[3], state[4], state[5]
    c3 = counter_high(state[2], replicate, step)
    for lane in range(_0, np.uint64(_BLOCKS), np.uint64(LANES)):
        w0, w1, w2, w3 = philox4x32(
            load(words.lanes, lane, LANES) + block, step & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32
        )
        store_interleaved(words.buffer, lane << _2, (w0 & _LOW) | (w1 << _32), (w2 & _LOW) | (w3 << _32))
    state[1] = block


@leaf
def begin(words, purpose, seed, replicate, step, used):
    """Go to word number `used` of an address; all uint64."""
    state = words.state
    state[2], state[3], state[4], state[5] = purpose, seed, replicate, step
    block = used >> _2
    _fill(words, block)
    state[0] = used & _3


@inner
def make_ahead(count):
    """Memory for about the first `count` words of LANES successive steps; uint32[4 LANES B]."""
    return np.empty(4 * LANES * min(_BLOCKS, max(1, (count + 3) // 4)), np.uint32)


@leaf
def fill_ahead(ahead, purpose, seed, replicate, step):
    """The first words of steps step .. step + LANES - 1 of a replicate, lanes across the steps."""
    steps = lane_numbers(LANES) + step
    c3 = counter_high(purpose, replicate, steps)
    for block in range(_0, np.uint64(ahead.size) // np.uint64(4 * LANES)):
        w0, w1, w2, w3 = philox4x32(block, steps & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32)
        to = block * np.uint64(4 * LANES)
        store_interleaved(ahead, to, (w0 & _LOW) | (w1 << _32), (w2 & _LOW) | (w3 << _32))


@leaf
def begin_ahead(words, ahead, lane, purpose, seed, replicate, step):
    """As `begin` at word 0 of the step that is the lane of `ahead`: its words stand at the end of the buffer."""
    state, blocks = words.state, np.uint64(ahead.size) // np.uint64(4 * LANES)
    state[2], state[3], state[4], state[5] = purpose, seed, replicate, step
    first = np.uint64(_BLOCKS) - blocks
    for i in range(blocks):
        to, at = (first + i) << _2, (i * np.uint64(LANES) + lane) << _2
        for j in range(_4):
            words.buffer[to + j] = ahead[at + j]
    state[0], state[1] = first << _2, _0 - first


@leaf
def taken(words):
    """How many words of the address have been used."""
    return (words.state[1] << _2) + words.state[0]


@inline
def word(words):
    """The next word, uint64 below 2^32."""
    state = words.state
    at = state[0]
    if at == np.uint64(4 * _BLOCKS):
        _fill(words, state[1] + np.uint64(_BLOCKS))
        at = _0
    state[0] = at + _1
    return np.uint64(words.buffer[at])


@inline
def below(words, r):
    """An integer below r, 0 < r < 2^32 uint64, each with the same chance."""
    m = word(words) * r
    if m & _LOW < r:
        reject = (_TWO_32 - r) % r
        while m & _LOW < reject:
            m = word(words) * r
    return m >> _32


@inline
def word64(words):
    """64 random bits: a word, then one above it."""
    low = word(words)
    return low | (word(words) << _32)


@inline
def unit(words):
    """A uniform on [0, 1), a multiple of 2^-53."""
    return np.float64(word64(words) >> _11) * _2_53

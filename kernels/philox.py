"""Philox4x32-10, the counter-based generator behind every random number (Salmon et al., SC 2011).

The counter is the address of a draw, the key is the seed, so a number is a pure function of where it is used:

    key      (seed low 32, seed high 32)
    c0       block: the k-th group of four words of one (replicate, step)
    c1       step, low 32 bits
    c2       replicate, low 32 bits
    c3       purpose (8 bits) | replicate, bits 32 to 39 (8 bits) | step, bits 32 to 47 (16 bits)

Addresses do not overlap for replicates below 2^40, steps below 2^48 and blocks below 2^32.
"""

from typing import NamedTuple

import numpy as np

from ._jit import inline

PURPOSE_NOISE = np.uint64(0)
PURPOSE_START = np.uint64(1)
PURPOSE_BATCH = np.uint64(2)
PURPOSE_DATA = np.uint64(3)
PURPOSE_BASIS = np.uint64(4)
PURPOSE_UNIFORM = np.uint64(5)
PURPOSE_EXPONENTIAL = np.uint64(6)
PURPOSE_EPOCH = np.uint64(7)
PURPOSE_SINGLE = np.uint64(8)  # noise in single precision
PILOT = np.uint64(64)  # added to a purpose: the same draws for estimates made before a run

MAX_REPLICATES = 2**40
MAX_STEPS = 2**48

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
# The key grows by a constant a round. Its upper half, like that of the words, never reaches a result.
_W0 = tuple(np.uint64(i * 0x9E3779B9) for i in range(10))
_W1 = tuple(np.uint64(i * 0xBB67AE85) for i in range(10))
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@inline
def counter_high(purpose, replicate, step):
    """Word c3 of the counter; the replicate may be a vector of lanes."""
    here = (purpose << np.uint64(24)) | ((step >> _32) & np.uint64(0xFFFF))
    return (((replicate >> _32) & np.uint64(0xFF)) << np.uint64(16)) | here


@inline
def _round(c0, c1, c2, c3, k0, k1):
    p0 = (c0 & _LOW) * _M0
    p1 = (c2 & _LOW) * _M1
    return (p1 >> _32) ^ c1 ^ k0, p1, (p0 >> _32) ^ c3 ^ k1, p0


class Words(NamedTuple):
    """Four random words of each lane (their low 32 bits), as a generator in the midst of its rounds or at their end."""

    c0: object
    c1: object
    c2: object
    c3: object


@inline
def round_keys(k0, k1):
    """Both keys of each of the ten rounds, one after another."""
    return (
        k0, k1, k0 + _W0[1], k1 + _W1[1], k0 + _W0[2], k1 + _W1[2], k0 + _W0[3], k1 + _W1[3], k0 + _W0[4], k1 + _W1[4],
        k0 + _W0[5], k1 + _W1[5], k0 + _W0[6], k1 + _W1[6], k0 + _W0[7], k1 + _W1[7], k0 + _W0[8], k1 + _W1[8],
        k0 + _W0[9], k1 + _W1[9],
    )  # fmt: skip


@inline
def rounds_2_to_5(c0, c1, c2, c3, keys):
    """keys: of `round_keys`, as a tuple or an array."""
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[4], keys[5])
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[6], keys[7])
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[8], keys[9])
    return _round(c0, c1, c2, c3, keys[10], keys[11])


@inline
def rounds_6_to_9(c0, c1, c2, c3, keys):
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[12], keys[13])
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[14], keys[15])
    c0, c1, c2, c3 = _round(c0, c1, c2, c3, keys[16], keys[17])
    return Words(*_round(c0, c1, c2, c3, keys[18], keys[19]))


@inline
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Four 32-bit words from a 128-bit counter and a 64-bit key.

    Every argument is a uint64 that holds 32 bits; any counter word may be a vector of lanes. The upper halves of the
    words that come back are NOT zero (leaving them saves a mask a word): take `& 0xFFFFFFFF` where they matter.
    """
    # Written out, not looped: a word that is the same in all lanes stays a scalar for the first rounds.
    keys = round_keys(k0, k1)
    a0, a1, a2, a3 = _round(c0, c1, c2, c3, k0, k1)
    d0, d1, d2, d3 = _round(a0, a1, a2, a3, keys[2], keys[3])
    c0, c1, c2, c3 = rounds_2_to_5(d0, d1, d2, d3, keys)
    return rounds_6_to_9(c0, c1, c2, c3, keys)


# ---- the blocks of successive steps, lanes across replicates ----------------------------------------------------------


class Step(NamedTuple):
    """What all blocks of one step share: the first round, half of the second, and the upper counter word (a scalar)."""

    first: object
    second: object
    high: np.uint64


@inline
def step_of(replicate, high, step, keys):
    """The shared part of an address; replicate: vector of the lanes' low words; high: `counter_high`, the same in all lanes."""
    first = replicate * _M1
    return Step(first, (((first >> _32) ^ ((step & _LOW) ^ keys[0])) & _LOW) * _M0, high)


@inline
def begin_rounds(at, block, keys):
    """Rounds 0 and 1 of a block: all but two multiplications are shared with the step or the same in all lanes."""
    p0 = block * _M0
    p1 = (((p0 >> _32) ^ at.high ^ keys[1]) & _LOW) * _M1
    c0 = at.first ^ ((p1 >> _32) ^ keys[2])
    c2 = (at.second >> _32) ^ ((p0 & _LOW) ^ keys[3])
    return c0, p1 & _LOW, c2, at.second


@inline
def block_words(at, block, keys):
    """The words of a block of a step: `philox4x32` of its address."""
    c0, c1, c2, c3 = begin_rounds(at, block, keys)
    c0, c1, c2, c3 = rounds_2_to_5(c0, c1, c2, c3, keys)
    return rounds_6_to_9(c0, c1, c2, c3, keys)

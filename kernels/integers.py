"""Bounded integers of mini-batch addresses, in bulk: integer i of a batch is uniform below first + slope i.

Lemire (ACM TOMACS 29, 2019) with 32-bit words: the words w0, w1, ... of an address are used in order; for an integer
below r, m = w r; if m mod 2^32 < 2^32 mod r the next word is taken; it is m >> 32. Unbiased.

How it is fast: the words of several batches are made `WIDE` Philox blocks at a time and bounded at once; a batch in
which a word might be rejected (about b n / 2^33 of them) is made again word by word.
"""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, inline, leaf
from .lanes import any_low_below, halves_below, store_interleaved, store_low_words
from .philox import PURPOSE_BATCH, counter_high, philox4x32
from .vector import lane_numbers, load

# One Philox block waits for itself: four registers of blocks side by side fill the time.
WIDE = 2 * LANES
# Philox blocks made at once, unless one batch takes more. A bulk begins with 40 ns of setting up: with this many, 5 %.
_BULK = np.uint64(256)
_SINGLES = 4  # times as many if one word of a block is used
_SLACK = np.uint64(64)  # a batch may be read in whole vectors

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_32 = np.uint64(32)
_0, _1, _2, _3, _4 = (np.uint64(i) for i in range(5))


class Plan(NamedTuple):
    """How the batches of one (n, b, design) are drawn; numbers are uint64."""

    n: np.uint64
    b: np.uint64
    code: np.uint64  # address of the compiled function of `draws` for it
    first: np.uint64  # integer i of a batch is below (first + slope i) mod 2^64
    slope: np.uint64
    blocks: np.uint64  # Philox blocks, of four words, a batch
    pitch: np.uint64  # from one batch to the next in memory: b rounded up to whole blocks, or 1
    steps: np.uint64  # batches made at once, a bulk
    written: np.uint64  # words of a bulk, from the first batch on
    size: np.uint64  # of a bulk in memory: what may be read, at least what is written
    block: np.ndarray  # uint64[lanes]: Philox block and batch of each lane of a bulk
    batch: np.ndarray
    below: np.ndarray  # uint64[2 lanes]: what the integers of words 0 (low half) and 1, then of 2 and 3, are below


def plan_integers(n, b, code, first, slope):
    """Plan for batches of b integers."""
    blocks, wide, bulk = -(-b // 4), WIDE, int(_BULK)
    steps = _SINGLES * bulk if b == 1 else max(1, bulk // blocks)
    lanes = -(-steps * blocks // wide) * wide
    pitch, written = (1, lanes) if b == 1 else (4 * blocks, 4 * lanes)
    lane, below = np.arange(lanes, dtype=np.uint64), np.zeros(2 * lanes, np.uint64)
    # Lanes beyond the last batch are made for nothing.
    block, batch = lane % np.uint64(blocks), np.minimum(lane // np.uint64(blocks), np.uint64(steps))
    for word in range(4):
        number = block * _4 + np.uint64(word)
        bound = np.where(number < np.uint64(b), np.uint64(first) + np.uint64(slope % 2**64) * number, _0)
        below[lanes * (word // 2) : lanes * (word // 2 + 1)] |= bound << np.uint64(32 * (word % 2))
    numbers = (n, b, code, first, slope % 2**64, blocks, pitch, steps, written, written + int(_SLACK))
    return Plan(*(np.uint64(x) for x in numbers), block, batch, below)


@leaf
def _one_by_one(plan, seed, replicate, step, out, at):
    """The b bounded integers of one batch at out[at : at + b], with rejection of words."""
    c3 = counter_high(PURPOSE_BATCH, replicate, step)
    used = _0
    w0, w1, w2, w3 = _0, _0, _0, _0
    for i in range(plan.b):
        r = plan.first + plan.slope * i
        reject_below = (np.uint64(2**32) - r) % r
        while True:
            if used & _3 == _0:
                w0, w1, w2, w3 = philox4x32(used >> _2, step & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32)
            m = (w0 & _LOW) * r
            w0, w1, w2 = w1, w2, w3
            used += _1
            if m & _LOW >= reject_below:
                break
        out[at + i] = m >> _32


@inline
def _note(doubtful, batch, lane, again):
    """Mark the batches of the lanes from `lane` on in which one of the 2 WIDE halves is doubtful."""
    for i in range(np.uint64(WIDE)):
        if (doubtful >> (_2 * i)) & _3:
            again[batch[lane + i]] = 1


@inline
def _again(plan, again, seed, replicate, step, steps, out, at):
    """Make the batches that `again` marks word by word, and clear the marks."""
    for s in range(steps):
        if again[s]:
            _one_by_one(plan, seed, replicate, step + s, out, at + s * plan.pitch)
    again[:] = 0


@inline
def single_integers(plan, again, seed, replicate, step, steps, out, at):
    """`integers` for b = 1."""
    k0, k1 = seed & _LOW, seed >> _32
    c2, c3 = replicate & _LOW, counter_high(PURPOSE_BATCH, replicate, step)
    # c3 is that of the first step.
    doubt = (step & _LOW) + steps > _LOW
    if doubt:
        again[:] = 1
    for lane in range(_0, steps, np.uint64(WIDE)):
        t = lane_numbers(WIDE) + (step + lane)
        w0, _, _, _ = philox4x32(_0, t, c2, c3, k0, k1)
        m = (w0 & _LOW) * (plan.n & _LOW)
        # A word is rejected below 2^32 mod r, which is less than r: the division waits until it matters.
        if any_low_below(m, plan.n):
            doubt = True
            _note(halves_below(m, plan.n), plan.batch, lane, again)
        store_low_words(out, at + lane, m >> _32)
    if doubt:
        _again(plan, again, seed, replicate, step, steps, out, at)


@inline
def integers(plan, again, seed, replicate, step, steps, out, at):
    """The bounded integers of `steps` <= plan.steps successive batches, plan.pitch apart, from out[at] (uint32) on.

    Zeros fill the gap between a batch and the next. again: uint8[plan.steps + 1], a word of this batch may have to be
    rejected; zeros before and after.
    """
    k0, k1 = seed & _LOW, seed >> _32
    c2, c3 = replicate & _LOW, counter_high(PURPOSE_BATCH, replicate, step)
    batch, below = plan.batch, plan.below
    lanes = np.uint64(plan.block.size)
    # c3 is that of the first step.
    doubt = (step & _LOW) + steps > _LOW
    if doubt:
        again[:] = 1
    for lane in range(_0, steps * plan.blocks, np.uint64(WIDE)):
        t = load(batch, lane, WIDE) + step
        w0, w1, w2, w3 = philox4x32(load(plan.block, lane, WIDE), t, c2, c3, k0, k1)
        r01, r23 = load(below, lane, WIDE), load(below, lane + lanes, WIDE)
        m0, m1 = (w0 & _LOW) * (r01 & _LOW), (w1 & _LOW) * (r01 >> _32)
        m2, m3 = (w2 & _LOW) * (r23 & _LOW), (w3 & _LOW) * (r23 >> _32)
        doubtful = halves_below((m0 & _LOW) | (m1 << _32), r01) | halves_below((m2 & _LOW) | (m3 << _32), r23)
        if doubtful:
            doubt = True
            _note(doubtful, batch, lane, again)
        store_interleaved(out, at + (lane << _2), (m0 >> _32) | (m1 & _HIGH), (m2 >> _32) | (m3 & _HIGH))
    if doubt:
        _again(plan, again, seed, replicate, step, steps, out, at)

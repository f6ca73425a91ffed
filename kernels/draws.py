"""Mini-batch indices: a pure function of (seed, replicate, step), the pool size n, the batch size b and the design.

Bounded integers (Lemire, ACM TOMACS 29, 2019, with 32-bit words): the words w0, w1, ... of an address are used in
order; for an integer below r, m = w r; if m mod 2^32 < 2^32 mod r the next word is taken; it is m >> 32. Unbiased.

Designs and methods (which of them is used is part of `stream_version`):
    with replacement       b integers below n
    shuffle                for i = 0..b-1: swap entries i and i + (an integer below n-i) of the identity; take entry i
    Floyd (CACM 30, 1987)  for i = 0..b-1: j below n-b+1+i; take j, or n-b+i where j is in the batch already
`uses_shuffle` decides. Every subset of b out of n has the same probability under both; the order of a batch (in which
gradients are added) is the order of the draw. n < 2^32.

How it is fast: the words of several steps are made `LANES` blocks at a time and bounded at once, and the batch is made
in the place of its integers; a step in which a word might be rejected (about b n / 2^33 of them) is done again word by
word. The permutation of a shuffle is put back after each batch, so history does not matter. Floyd's integers form the
batch as they are when they are all different: that is tested by comparing all with all, 16 at a time (b <= 64), or by
a bitmap.
"""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, jit
from .lanes import any_lane, equal_words, store_interleaved
from .parallel import parallel
from .philox import PURPOSE_BATCH, counter_high, philox4x32
from .vector import load

WITHOUT_REPLACEMENT, WITH_REPLACEMENT = 0, 1
DIRECT, FLOYD, SHUFFLE = 0, 1, 2
MAX_POOL = 2**32 - 1

# Part of `stream_version`: pools whose permutation stays in the second-level cache are shuffled, and large batches.
_PERMUTED = 2**17
_COMPARED = 64  # largest batch whose integers are compared all with all

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_32 = np.uint64(32)
_0, _1, _2, _3, _4 = (np.uint64(i) for i in range(5))


class Plan(NamedTuple):
    """How the batches of one (n, b, design) are drawn; all fields uint64."""

    n: np.uint64
    b: np.uint64
    method: np.uint64
    first: np.uint64  # integer i of a batch is below (first + slope i) mod 2^64
    slope: np.uint64
    pitch: np.uint64  # from one batch to the next in memory: b rounded up to whole Philox blocks of four words
    steps: np.uint64  # batches made at once, a bulk
    size: np.uint64  # of a bulk in memory


class Scratch(NamedTuple):
    """Working memory of one thread."""

    block: np.ndarray  # uint64: Philox block and step of each lane of a bulk
    step: np.ndarray
    bound: np.ndarray  # uint64: what the integer from word 0 of each lane is below, then from word 1, 2, 3
    again: np.ndarray  # uint8[steps + 1]: a word of this batch may have to be rejected
    ring: np.ndarray  # uint32: a small batch, periodically extended
    pool: np.ndarray  # uint32: identity permutation (shuffle), bitmap (Floyd with a large batch)


@jit
def uses_shuffle(n, b):
    """True if b of n are drawn without replacement by a shuffle, False: by Floyd's method."""
    return b > 1 and (n <= _PERMUTED or (b > _COMPARED and b > n // 32))


@jit
def make_plan(n, b, design):
    """Plan for batches of b out of n, 1 <= b, n < 2^32, b <= n if design is WITHOUT_REPLACEMENT."""
    n, b = np.uint64(n), np.uint64(b)
    method = np.uint64(DIRECT)
    if design == WITHOUT_REPLACEMENT and b > _1:
        method = np.uint64(SHUFFLE) if uses_shuffle(np.int64(n), np.int64(b)) else np.uint64(FLOYD)
    return plan_by(n, b, method)


@jit
def plan_by(n, b, method):
    """Plan for a given method (arguments uint64)."""
    first, slope = n, _0
    if method == SHUFFLE:
        slope = _0 - _1
    elif method == FLOYD:
        first, slope = n - b + _1, _1
    blocks, lanes = (b + _3) >> _2, np.uint64(LANES)
    steps = max(_1, np.uint64(64) // blocks)
    size = (steps * blocks + lanes - _1) // lanes * lanes * _4
    return Plan(n, b, method, first, slope, blocks * _4, steps, size)


@jit
def make_scratch(plan):
    """Working memory for `draw`; one for each thread."""
    lanes = plan.size >> _2
    blocks = plan.pitch >> _2
    block, step, bound = np.empty(lanes, np.uint64), np.empty(lanes, np.uint64), np.zeros(lanes * _4, np.uint64)
    for i in range(lanes):
        # Lanes beyond the last batch are made for nothing.
        block[i], step[i] = i % blocks, min(i // blocks, plan.steps)
        for word in range(_4):
            number = (block[i] << _2) + word
            if number < plan.b:
                bound[word * lanes + i] = plan.first + plan.slope * number
    if plan.method == SHUFFLE:
        pool = np.empty(plan.n, np.uint32)
        for i in range(plan.n):
            pool[i] = i
    elif plan.method == FLOYD and plan.b > _COMPARED:
        pool = np.zeros((plan.n >> np.uint64(5)) + _1, np.uint32)
    else:
        pool = np.zeros(1, np.uint32)
    return Scratch(block, step, bound, np.zeros(plan.steps + _1, np.uint8), np.zeros(112, np.uint32), pool)


@jit
def _integers_one_by_one(plan, seed, replicate, step, out, at):
    """The b bounded integers of one batch at out[at : at + b], with rejection of words."""
    block = np.empty(4, np.uint64)
    c3 = counter_high(PURPOSE_BATCH, replicate, step)
    used = _0
    for i in range(plan.b):
        r = plan.first + plan.slope * i
        reject_below = (np.uint64(2**32) - r) % r
        while True:
            if used & _3 == _0:
                w0, w1, w2, w3 = philox4x32(used >> _2, step & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32)
                block[0], block[1], block[2], block[3] = w0 & _LOW, w1 & _LOW, w2 & _LOW, w3 & _LOW
            m = block[used & _3] * r
            used += _1
            if m & _LOW >= reject_below:
                break
        out[at + i] = m >> _32


@jit
def _integers(plan, block, step_of, bound, again, seed, replicate, step, steps, out, at):
    """The bounded integers of `steps` <= plan.steps successive batches from out[at] on."""
    k0, k1 = seed & _LOW, seed >> _32
    c2 = replicate & _LOW
    lanes = np.uint64(block.size)
    doubt = False
    for lane in range(_0, steps * (plan.pitch >> _2), np.uint64(LANES)):
        t = load(step_of, lane, LANES) + step
        c3 = counter_high(PURPOSE_BATCH, replicate, t)
        w0, w1, w2, w3 = philox4x32(load(block, lane, LANES), t & _LOW, c2, c3, k0, k1)
        # The masks, idle otherwise, tell the compiler that a product of 32-bit numbers will do.
        r0, r1 = load(bound, lane, LANES) & _LOW, load(bound, lane + lanes, LANES) & _LOW
        r2, r3 = load(bound, lane + _2 * lanes, LANES) & _LOW, load(bound, lane + _3 * lanes, LANES) & _LOW
        m0, m1, m2, m3 = (w0 & _LOW) * r0, (w1 & _LOW) * r1, (w2 & _LOW) * r2, (w3 & _LOW) * r3
        # A word is rejected below 2^32 mod r, which is less than r: the division waits until it matters.
        doubtful = ((m0 & _LOW) < r0) | ((m1 & _LOW) < r1) | ((m2 & _LOW) < r2) | ((m3 & _LOW) < r3)
        if any_lane(doubtful):
            doubt = True
            for i in range(lane, lane + np.uint64(LANES)):
                again[step_of[i]] = 1
        store_interleaved(out, at + (lane << _2), (m0 >> _32) | (m1 & _HIGH), (m2 >> _32) | (m3 & _HIGH))
    if doubt:
        for s in range(steps):
            if again[s]:
                _integers_one_by_one(plan, seed, replicate, step + s, out, at + s * plan.pitch)
        again[:] = 0


@jit
def _all_differ(batches, at, b, ring):
    """True if batches[at : at + b] are all different, 2 <= b <= 64; `ring` uint32[112] is overwritten."""
    sixteen = np.uint64(16)
    width = (b + np.uint64(15)) & ~np.uint64(15)
    half = b >> _1
    for i in range(b):
        ring[i] = batches[at + i]
    # The batch goes on periodically, so that every pair is (i, i + shift), shift <= b/2, in whole vectors.
    for i in range(b, width + half):
        ring[i] = ring[i - b]
    same = equal_words(ring, _0, _1, 16)
    for shift in range(_1, half + _1):
        for i in range(_0, width, sixteen):
            same = same | equal_words(ring, i, i + shift, 16)
    return not any_lane(same)


@jit
def _floyd_scan(n, b, batches, at):
    """Floyd's method in place, looking through the batch for each integer."""
    for i in range(b):
        j = batches[at + i]
        for k in range(i):
            if batches[at + k] == j:
                batches[at + i] = n - b + i
                break


@jit
def _floyd_bitmap(n, b, batches, at, bitmap):
    """Floyd's method in place, the batch as bits; the bitmap is all zeros before and after."""
    for i in range(b):
        j = np.uint64(batches[at + i])
        if (np.uint64(bitmap[j >> np.uint64(5)]) >> (j & np.uint64(31))) & _1:
            j = n - b + i
            batches[at + i] = j
        bitmap[j >> np.uint64(5)] |= np.uint32(_1 << (j & np.uint64(31)))
    for i in range(b):
        bitmap[batches[at + i] >> np.uint32(5)] = 0


@jit
def _shuffle(b, batches, at, entries):
    """Partial Fisher-Yates on the identity permutation, in place; the permutation is restored."""
    for i in range(b):
        k = i + np.uint64(batches[at + i])
        batches[at + i] = entries[k]
        entries[k] = entries[i]
    # An entry that was written was taken when it was first met, as the identity that it then was.
    for i in range(b):
        k = batches[at + i]
        entries[k] = k


@jit
def draw(plan, scratch, seed, replicate, step, steps, out, at):
    """Batches of `steps` <= plan.steps successive steps, `plan.pitch` apart, at out[at : at + plan.size].

    out: uint32. Zeros fill the gap between a batch and the next.
    """
    method, n, b, pitch, pool = plan.method, plan.n, plan.b, plan.pitch, scratch.pool
    again = scratch.again
    _integers(
        plan, scratch.block, scratch.step, scratch.bound, again, seed, replicate, step, steps, out, at,
    )  # fmt: skip
    if method == SHUFFLE:
        for here in range(at, at + steps * pitch, pitch):
            _shuffle(b, out, here, pool)
    elif method == FLOYD and b > _COMPARED:
        for here in range(at, at + steps * pitch, pitch):
            _floyd_bitmap(n, b, out, here, pool)
    elif method == FLOYD:
        for here in range(at, at + steps * pitch, pitch):
            if not _all_differ(out, here, b, scratch.ring):
                _floyd_scan(n, b, out, here)


@parallel
def _draw_task(task, tasks, n, b, design, seed, first_replicate, first_step, out):
    """The part of `draw_batches` that is number `task` of `tasks`: some successive replicates."""
    plan = make_plan(n, b, design)
    scratch = make_scratch(plan)
    bulk = np.zeros(plan.size, np.uint32)
    total, pitch, b = np.uint64(out.shape[1]), plan.pitch, plan.b
    replicates = out.shape[0]
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        for s in range(_0, total, plan.steps):
            steps = min(plan.steps, total - s)
            draw(plan, scratch, seed, first_replicate + np.uint64(r), first_step + s, steps, bulk, _0)
            for k in range(steps):
                for i in range(b):
                    out[r, s + k, i] = bulk[k * pitch + i]
    return np.int64(0)


def draw_batches(n, b, design, seed, first_replicate, first_step, tasks, out):
    """Indices of the batches of replicates first_replicate... at steps first_step...: out uint32[R, steps, b].

    design: WITHOUT_REPLACEMENT or WITH_REPLACEMENT; seed, first_*: uint64; tasks: how many parts the replicates
    are divided into among threads. Returns 0.
    """
    return _draw_task(tasks, tasks, n, b, design, seed, first_replicate, first_step, out)

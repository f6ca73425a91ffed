"""Mini-batch indices: a pure function of (seed, replicate, step), the pool size n, the batch size b and the design.

Bounded integers (Lemire, ACM TOMACS 29, 2019, with 32-bit words): the words w0, w1, ... of an address are used in
order; for an integer below r, m = w r; if m mod 2^32 < 2^32 mod r the next word is taken; it is m >> 32. Unbiased.

Designs and methods (which of them is used is part of `stream_version`):
    with replacement       b integers below n
    Floyd (CACM 30, 1987)  for i = 0..b-1: j below n-b+1+i; take j, or n-b+i where j is in the batch already
    shuffle                for i = 0..b-1: swap entries i and i + (an integer below n-i) of the identity; take entry i
`uses_shuffle` decides. Every subset of b out of n has the same probability under both; the order of a batch (in which
gradients are added) is the order of the draw. n < 2^32.

How it is fast: the words of several steps are made `LANES` blocks at a time and bounded at once; a step in which a word
might be rejected (about b n / 2^33 of them) is done again word by word. Floyd's draws form the batch as they are when
they are all different: that is tested with b^2/32 comparisons of 16 lanes (b <= 64) or a bitmap. A shuffle works on
a permutation that is put back after each batch, so history does not matter.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from ._jit import LANES, jit, pjit
from .lanes import any_lane, equal_words, store_interleaved
from .philox import PURPOSE_BATCH, counter_high, philox4x32
from .vector import load

WITHOUT_REPLACEMENT, WITH_REPLACEMENT = 0, 1
DIRECT, FLOYD, SHUFFLE = 0, 1, 2
MAX_POOL = 2**32 - 1

# Part of `stream_version`.
_COMPARED = 64  # largest batch whose draws are compared all with all
_PERMUTED = 2**20  # largest pool for which a permutation per thread is kept whatever the batch

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_32 = np.uint64(32)
_0, _1, _2, _3, _4 = (np.uint64(i) for i in range(5))
_ZERO = np.uint32(0)


class Plan(NamedTuple):
    """How the batches of one (n, b, design) are drawn; all fields uint64."""

    n: np.uint64
    b: np.uint64
    method: np.uint64
    first: np.uint64  # integer i of a batch is below (first + slope i) mod 2^64
    slope: np.uint64
    blocks: np.uint64  # Philox blocks a batch takes if no word is rejected
    steps: np.uint64  # batches made at once


class Scratch(NamedTuple):
    """Working memory of one thread."""

    block: np.ndarray  # uint64: block, step and bound of each lane in a bulk of `steps` batches
    step: np.ndarray
    bound: np.ndarray
    integers: np.ndarray  # uint32: the bounded integers, 4 * blocks a batch
    pairs: np.ndarray  # the same memory as uint64
    again: np.ndarray  # uint8[steps + 1]: a word of this batch may have to be rejected
    ring: np.ndarray  # uint32: a small batch, periodically extended
    pool: np.ndarray  # uint32: identity permutation (shuffle), bitmap (Floyd with a large batch)


@jit
def uses_shuffle(n, b):
    """True if b of n are drawn without replacement by a shuffle, False: by Floyd's method."""
    return b > _COMPARED and (n <= _PERMUTED or b > n // 32)


@jit
def make_plan(n, b, design):
    """Plan for batches of b out of n, 1 <= b, n < 2^32, b <= n if design is WITHOUT_REPLACEMENT."""
    n, b = np.uint64(n), np.uint64(b)
    method, first, slope = np.uint64(DIRECT), n, _0
    if design == WITHOUT_REPLACEMENT:
        if uses_shuffle(np.int64(n), np.int64(b)):
            method, slope = np.uint64(SHUFFLE), _0 - _1
        else:
            method, first, slope = np.uint64(FLOYD), n - b + _1, _1
    blocks = (b + _3) >> _2
    return Plan(n, b, method, first, slope, blocks, max(_1, np.uint64(64) // blocks))


@jit
def make_scratch(plan):
    """Working memory for `draw`; one for each thread."""
    lanes = np.uint64(LANES)
    size = (plan.steps * plan.blocks + lanes - _1) // lanes * lanes
    block, step, bound = np.empty(size, np.uint64), np.empty(size, np.uint64), np.empty(size, np.uint64)
    for i in range(size):
        lane = np.uint64(i)
        # Lanes beyond the last batch are made for nothing.
        block[lane], step[lane] = lane % plan.blocks, min(lane // plan.blocks, plan.steps)
        bound[lane] = plan.first + plan.slope * (block[lane] << _2)
    pairs = np.zeros(_2 * size + np.uint64(16), np.uint64)
    if plan.method == SHUFFLE:
        pool = np.empty(plan.n, np.uint32)
        for i in range(plan.n):
            pool[i] = i
    elif plan.method == FLOYD and plan.b > _COMPARED:
        pool = np.zeros((plan.n >> np.uint64(5)) + _1, np.uint32)
    else:
        pool = np.zeros(1, np.uint32)
    again, ring = np.zeros(plan.steps + _1, np.uint8), np.zeros(112, np.uint32)
    return Scratch(block, step, bound, pairs.view(np.uint32), pairs, again, ring, pool)


@jit
def _integers_one_by_one(plan, scratch, seed, replicate, step, at):
    """The b bounded integers of one batch at integers[at : at + b], with rejection of words."""
    block = np.empty(4, np.uint64)
    c3 = counter_high(PURPOSE_BATCH, replicate, step)
    used = _0
    for i in range(plan.b):
        r = plan.first + plan.slope * np.uint64(i)
        reject_below = (np.uint64(2**32) - r) % r
        while True:
            if used & _3 == _0:
                w0, w1, w2, w3 = philox4x32(used >> _2, step & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32)
                block[0], block[1], block[2], block[3] = w0 & _LOW, w1 & _LOW, w2 & _LOW, w3 & _LOW
            m = block[used & _3] * r
            used += _1
            if m & _LOW >= reject_below:
                break
        scratch.integers[at + np.uint64(i)] = m >> _32


@jit
def _integers(plan, scratch, seed, replicate, step, steps):
    """The bounded integers of `steps` <= plan.steps successive batches, 4 * plan.blocks apart."""
    k0, k1 = seed & _LOW, seed >> _32
    c2 = replicate & _LOW
    s1, s2, s3 = plan.slope, plan.slope * _2, plan.slope * _3
    for lane in range(_0, steps * plan.blocks, np.uint64(LANES)):
        t = load(scratch.step, lane, LANES) + step
        r0 = load(scratch.bound, lane, LANES)
        c3 = counter_high(PURPOSE_BATCH, replicate, t)
        w0, w1, w2, w3 = philox4x32(load(scratch.block, lane, LANES), t & _LOW, c2, c3, k0, k1)
        r1, r2, r3 = (r0 + s1) & _LOW, (r0 + s2) & _LOW, (r0 + s3) & _LOW
        r0 = r0 & _LOW
        m0, m1, m2, m3 = (w0 & _LOW) * r0, (w1 & _LOW) * r1, (w2 & _LOW) * r2, (w3 & _LOW) * r3
        # A word is rejected below 2^32 mod r, which is less than r: the division waits until it matters.
        doubtful = ((m0 & _LOW) < r0) | ((m1 & _LOW) < r1) | ((m2 & _LOW) < r2) | ((m3 & _LOW) < r3)
        if any_lane(doubtful):
            for i in range(lane, lane + np.uint64(LANES)):
                scratch.again[scratch.step[np.uint64(i)]] = 1
        store_interleaved(scratch.pairs, lane << _1, (m0 >> _32) | (m1 & _HIGH), (m2 >> _32) | (m3 & _HIGH))
    for i in range(steps):
        s = np.uint64(i)
        if scratch.again[s]:
            scratch.again[s] = 0
            _integers_one_by_one(plan, scratch, seed, replicate, step + s, s * plan.blocks * _4)
    scratch.again[steps:] = 0


@jit
def _all_differ(integers, at, b, ring):
    """True if integers[at : at + b] are all different, 2 <= b <= 64; `ring` uint32[112] is overwritten."""
    sixteen = np.uint64(16)
    width = (b + np.uint64(15)) & ~np.uint64(15)
    half = b >> _1
    for i in range(b):
        ring[i] = integers[at + i]
    # The batch goes on periodically, so that every pair is (i, i + shift), shift <= b/2, in whole vectors.
    for i in range(b, width + half):
        ring[i] = ring[i - b]
    same = equal_words(ring, _0, _1, 16)
    for shift in range(_1, half + _1):
        for i in range(_0, width, sixteen):
            same = same | equal_words(ring, i, i + shift, 16)
    return not any_lane(same)


@jit
def _floyd_scan(n, b, integers, at, out, to):
    """Floyd's method, looking through the batch for each integer."""
    for i in range(b):
        j = integers[at + i]
        for k in range(i):
            if out[to + k] == j:
                j = np.uint32(n - b + i)
                break
        out[to + i] = j


@jit
def _floyd_bitmap(n, b, integers, at, out, to, bitmap):
    """Floyd's method, the batch as bits; the bitmap is all zeros before and after."""
    for i in range(b):
        j = np.uint64(integers[at + i])
        if (np.uint64(bitmap[j >> np.uint64(5)]) >> (j & np.uint64(31))) & _1:
            j = n - b + i
        bitmap[j >> np.uint64(5)] |= np.uint32(_1 << (j & np.uint64(31)))
        out[to + i] = j
    for i in range(b):
        bitmap[out[to + i] >> np.uint32(5)] = 0


@jit
def _shuffle(b, integers, at, out, to, entries):
    """Partial Fisher-Yates on the identity permutation, which is restored."""
    for i in range(b):
        k = i + np.uint64(integers[at + i])
        out[to + i] = entries[k]
        entries[k] = entries[i]
    for i in range(b):
        k = np.uint32(i + np.uint64(integers[at + i]))
        entries[k] = k


@jit
def draw(plan, scratch, seed, replicate, step, steps, out, to):
    """Indices of `steps` <= plan.steps successive batches, one after another, to out[to : to + steps * b] (uint32)."""
    _integers(plan, scratch, seed, replicate, step, steps)
    n, b = plan.n, plan.b
    for s in range(steps):
        at, here = np.uint64(s) * plan.blocks * _4, to + np.uint64(s) * b
        if plan.method == SHUFFLE:
            _shuffle(b, scratch.integers, at, out, here, scratch.pool)
        elif plan.method == FLOYD and b > _COMPARED:
            _floyd_bitmap(n, b, scratch.integers, at, out, here, scratch.pool)
        elif plan.method == FLOYD and b > _1 and not _all_differ(scratch.integers, at, b, scratch.ring):
            _floyd_scan(n, b, scratch.integers, at, out, here)
        else:
            for i in range(b):
                out[here + np.uint64(i)] = scratch.integers[at + np.uint64(i)]


@jit
def _draw_task(n, b, design, seed, first_replicate, first_step, out):
    """Batches of some successive replicates: out uint32[R, steps, b]."""
    plan = make_plan(n, b, design)
    scratch = make_scratch(plan)
    total = np.uint64(out.shape[1])
    for r in range(out.shape[0]):
        batches = out[r].reshape(-1)
        for s in range(_0, total, plan.steps):
            steps = min(plan.steps, total - s)
            draw(plan, scratch, seed, first_replicate + np.uint64(r), first_step + s, steps, batches, s * plan.b)


@pjit
def draw_batches(n, b, design, seed, first_replicate, first_step, tasks, out):
    """Indices of the batches of replicates first_replicate... at steps first_step...: out uint32[R, steps, b].

    design: WITHOUT_REPLACEMENT or WITH_REPLACEMENT; seed, first_*: uint64; tasks: how many parts the replicates
    are divided into among threads. Returns 0.
    """
    replicates = out.shape[0]
    for task in prange(tasks):
        start, stop = replicates * task // tasks, replicates * (task + 1) // tasks
        _draw_task(n, b, design, seed, first_replicate + np.uint64(start), first_step, out[start:stop])
    return 0

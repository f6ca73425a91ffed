"""Mini-batch indices: a pure function of (seed, replicate, step), the pool size n, the batch size b and the design.

From the bounded integers of an address (`integers`), by designs and methods (which of them is part of
`stream_version`):
    with replacement       b integers below n
    shuffle                for i = 0..b-1: swap entries i and i + (an integer below n-i) of the identity; take entry i
    Floyd (CACM 30, 1987)  for i = 0..b-1: j below n-b+1+i; take j, or n-b+i where j is in the batch already
`uses_shuffle` decides. Every subset of b out of n has the same probability under both; the order of a batch (in which
gradients are added) is the order of the draw. n < 2^32.

How it is fast: the batch is made in the place of its integers. The permutation of a shuffle, of 16-bit numbers where
they suffice, is put back after each batch, so history does not matter. Floyd's integers form the batch as they are
when they are all different: that shows in their low halves, compared all with all in registers (b <= 64), or by a
bitmap.

A design that draws otherwise adds a method here and its case in `draw`: kernels ask for batches by
`make_plan`, `make_scratch` and `draw` alone.
"""

import functools
from typing import NamedTuple

import numpy as np

from ._jit import inline, inner, leaf
from .integers import Plan, integers, plan_integers, single_integers
from .lanes import equal_bits, maybe_equal
from .parallel import address_of, call, parallel

WITHOUT_REPLACEMENT, WITH_REPLACEMENT = 0, 1
DIRECT, FLOYD, SHUFFLE = 0, 1, 2
MAX_POOL = 2**32 - 1

# Part of `stream_version`: small batches that seldom hold an index twice (one in eight at most) are Floyd's; large ones
# are shuffled where the permutation stays in the first caches, or where much of the pool is taken.
_COMPARED = 64
_SPARSE = 4
_PERMUTED = 2**15

_HALF = np.uint64(2**16)
_0, _1, _5, _16, _31 = (np.uint64(i) for i in (0, 1, 5, 16, 31))


class Scratch(NamedTuple):
    """Working memory of one thread."""

    again: np.ndarray  # uint8: notes of `integers`
    short: np.ndarray  # uint16: identity permutation (shuffle of a pool up to 2^16)
    pool: np.ndarray  # uint32: identity permutation (shuffle), bitmap (Floyd with a large batch)


def uses_shuffle(n, b):
    """True if b of n are drawn without replacement by a shuffle, False: by Floyd's method (one: a single integer)."""
    if b <= _COMPARED:
        return b > 1 and n < _SPARSE * b * b
    return n <= _PERMUTED or b > n // 32


@functools.lru_cache(maxsize=16)
def make_plan(n, b, design):
    """Plan for batches of b out of n, 1 <= b, n < 2^32, b <= n if design is WITHOUT_REPLACEMENT."""
    if design == WITHOUT_REPLACEMENT and b > 1:
        return plan_by(n, b, SHUFFLE if uses_shuffle(n, b) else FLOYD)
    return plan_by(n, b, DIRECT)


def plan_by(n, b, method):
    """Plan for a given method."""
    first, slope = {DIRECT: (n, 0), SHUFFLE: (n, -1), FLOYD: (n - b + 1, 1)}[method]
    tile = next((t for t in (4, 8, 16, 32, 64) if b <= t), 0) if method == FLOYD else 0
    return plan_integers(n, b, _code(method, b == 1, tile, n <= int(_HALF)), first, slope)


@inner
def make_scratch(plan):
    """Working memory for `draw`; one for each thread."""
    shorts, words = _0, _0
    if plan.slope == _0 - _1:  # a shuffle
        shorts, words = (plan.n, _0) if plan.n <= _HALF else (_0, plan.n)
    elif plan.slope == _1 and plan.b > _COMPARED:
        words = (plan.n >> _5) + _1
    short, pool = np.zeros(shorts, np.uint16), np.zeros(words, np.uint32)
    if plan.slope == _0 - _1:
        _identity(short)
        _identity(pool)
    return Scratch(np.zeros(plan.steps + _1, np.uint8), short, pool)


@leaf
def _identity(entries):
    for i in range(np.uint64(entries.size)):
        entries[i] = i


@leaf
def _floyd_scan(n, b, batches, at):
    """Floyd's method in place, each integer compared with the batch so far; b <= 64."""
    for i in range(_1, b):
        earlier = (_1 << i) - _1
        if equal_bits(batches, at, batches[at + i], _COMPARED) & earlier:
            batches[at + i] = n - b + i


@inline
def _floyd(n, b, pitch, batches, at, steps, tile):
    """Floyd's method in place for `steps` batches of b <= tile (a constant), several side by side where they fit."""
    together = np.uint64(32) // pitch if b <= 8 else _1
    for k in range(_0, steps, together):
        if maybe_equal(batches, at + k * pitch, b, tile):
            for s in range(k, min(k + together, steps)):
                _floyd_scan(n, b, batches, at + s * pitch)


@inline
def _floyd_bitmap(n, b, batches, at, bitmap):
    """Floyd's method in place, the batch as bits; the bitmap is all zeros before and after."""
    for i in range(b):
        j = np.uint64(batches[at + i])
        if (np.uint64(bitmap[j >> _5]) >> (j & _31)) & _1:
            j = n - b + i
            batches[at + i] = j
        bitmap[j >> _5] |= np.uint32(_1 << (j & _31))
    for i in range(b):
        bitmap[batches[at + i] >> np.uint32(5)] = 0


@inline
def _shuffle(b, batches, at, entries):
    """Partial Fisher-Yates on the identity permutation, in place; the permutation is restored."""
    for i in range(b):
        k = i + np.uint64(batches[at + i])
        batches[at + i] = entries[k]
        entries[k] = entries[i]
    if b * _16 > np.uint64(entries.size):
        _identity(entries)
        return
    # An entry that was written was taken when it was first met, as the identity that it then was.
    for i in range(b):
        k = batches[at + i]
        entries[k] = k


def _drawer(method, single, tile, half):
    """`draw` for a method; single: b = 1; tile: comparisons of Floyd's method, 0 for a bitmap; half: n <= 2^16."""

    @leaf
    def drawn(steps, plan, scratch, seed, replicate, step, out, at):
        count = np.uint64(steps)
        if single == 1:
            single_integers(plan, scratch.again, seed, replicate, step, count, out, at)
        else:
            integers(plan, scratch.again, seed, replicate, step, count, out, at)
        if tile > 0:
            _floyd(plan.n, plan.b, plan.pitch, out, at, count, tile)
        elif method == FLOYD:
            for here in range(at, at + count * plan.pitch, plan.pitch):
                _floyd_bitmap(plan.n, plan.b, out, here, scratch.pool)
        elif method == SHUFFLE:
            for here in range(at, at + count * plan.pitch, plan.pitch):
                if half == 1:
                    _shuffle(plan.b, out, here, scratch.short)
                else:
                    _shuffle(plan.b, out, here, scratch.pool)
        return np.int64(0)

    return drawn


@functools.cache
def _code(method, single, tile, half):
    """Address of `_drawer` of these, compiled when first wanted."""
    numbers = np.zeros(0, np.uint64)
    plan = Plan(*[_0] * 10, numbers, numbers, numbers)
    scratch = Scratch(np.zeros(0, np.uint8), np.zeros(0, np.uint16), np.zeros(0, np.uint32))
    compiled = _drawer(method, int(single), tile, int(half) if method == SHUFFLE else 0)
    return address_of(compiled, (plan, scratch, _0, _0, _0, np.zeros(0, np.uint32), _0))


@inline
def draw(plan, scratch, seed, replicate, step, steps, out, at):
    """Batches of `steps` <= plan.steps successive steps, `plan.pitch` apart, at out[at : at + plan.size].

    out: uint32. Zeros fill the gap between a batch and the next.
    """
    call(plan.code, np.int64(steps), (plan, scratch, seed, replicate, step, out, at))


@leaf
def _draw_part(task, tasks, plan, scratch, bulk, seed, first_replicate, first_step, replicates, steps, out):
    b, pitch, size = plan.b, plan.pitch, np.uint64(out.size)
    fits = pitch == b and plan.written == plan.steps * b
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        for s in range(_0, steps, plan.steps):
            count, to = min(plan.steps, steps - s), (np.uint64(r) * steps + s) * b
            if fits and count == plan.steps and to + plan.size <= size:
                draw(plan, scratch, seed, replicate, first_step + s, count, out, to)
                continue
            draw(plan, scratch, seed, replicate, first_step + s, count, bulk, _0)
            for k in range(count):
                for i in range(b):
                    out[to + k * b + i] = bulk[k * pitch + i]


@parallel
def _draw_task(task, tasks, plan, seed, first_replicate, first_step, replicates, steps, out):
    """The part of `draw_batches` that is number `task` of `tasks`: some successive replicates."""
    _draw_part(
        task, tasks, plan, make_scratch(plan), np.zeros(plan.size, np.uint32), seed, first_replicate, first_step, replicates,
        steps, out,
    )  # fmt: skip
    return np.int64(0)


def draw_batches(n, b, design, seed, first_replicate, first_step, tasks, out):
    """Indices of the batches of replicates first_replicate... at steps first_step...: out uint32[R, steps, b].

    design: WITHOUT_REPLACEMENT or WITH_REPLACEMENT; seed, first_*: uint64; tasks: how many parts the replicates
    are divided into among threads. Returns 0.
    """
    address, (replicates, steps, _) = (seed, first_replicate, first_step), out.shape
    plan = make_plan(int(n), int(b), int(design))
    return _draw_task(tasks, tasks, plan, *address, replicates, np.uint64(steps), out.reshape(-1))

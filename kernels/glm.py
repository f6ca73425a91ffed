"""Mini-batch SGD of a generalised linear model on a fixed pool.

    theta = optimum + Delta
    g     = (sum over the batch of residual(x_i'theta, y_i) x_i) / b + ridge theta
    Delta = Delta - eta g

Order of operations (part of `stream_version`; all products below are fused into the sum):
    margin      lane j mod 8 adds features 0..7, 8..15, ... from zero; their sum is ((0+4)+(2+6)) + ((1+5)+(3+7))
    gradient    each coordinate adds residual_i x_i over the batch in the order of the draw, from zero
    step        g = fma(ridge, theta, sum * (1/b));  Delta = fma(-eta, g, Delta)
Nothing of it depends on lanes, threads or how many replicates are in flight.

A row of the pool is a multiple of 8 doubles, aligned to a cache line: features, zeros, and the target last. Rows are
asked for one batch (at most `_AHEAD` samples) before they are needed: batches do not depend on the iterate. Two
replicates are advanced side by side, because the operations of a single one wait for each other.
"""

import numpy as np

from ._jit import inline, jit
from .draws import draw, make_plan, make_scratch
from .lanes import gather, lane_sums, panel_gather, prefetch
from .links import residual
from .parallel import parallel
from .vector import doubles, fma, lane_numbers, load, panel_store, panel_zero, select, store

_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(i) for i in range(9))
_AHEAD = np.uint64(32)
_NEAR = 2**16  # doubles; a pool up to this size stays in the second-level cache by itself


def row_width(d: int) -> int:
    """Doubles in a row of a packed pool: d features, the target, and zeros up to whole cache lines."""
    return (d + 8) // 8 * 8


def pack_pool(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Pool for the kernels: float64[n * row_width(d)] aligned to 64 bytes, from float64[n, d] and float64[n]."""
    n, d = features.shape
    width = row_width(d)
    # Not np.zeros: NumPy asks for large pages for arrays that it does not take from calloc.
    memory = np.empty(n * width + 8)
    offset = (-memory.ctypes.data // 8) % 8
    rows = memory[offset : offset + n * width].reshape(n, width)
    rows[:] = 0.0
    rows[:, :d] = features
    rows[:, -1] = targets
    return rows.reshape(-1)


@inline
def _fetch(pool, width, ring, at):
    """Ask for the rows of the samples ring[at : at + 8]."""
    for i in range(_8):
        row = np.uint64(ring[at + i]) * width
        for j in range(_0, width, _8):
            prefetch(pool, row + j)


@inline
def _eight(family, pool, width, ring, at, theta):
    """dl/dz of the samples ring[at : at + 8]."""
    o0, o1 = np.uint64(ring[at]) * width, np.uint64(ring[at + _1]) * width
    o2, o3 = np.uint64(ring[at + _2]) * width, np.uint64(ring[at + _3]) * width
    o4, o5 = np.uint64(ring[at + _4]) * width, np.uint64(ring[at + _5]) * width
    o6, o7 = np.uint64(ring[at + _6]) * width, np.uint64(ring[at + _7]) * width
    zero = doubles(0.0, 8)
    p0, p1, p2, p3, p4, p5, p6, p7 = zero, zero, zero, zero, zero, zero, zero, zero
    for j in range(_0, width, _8):
        t = load(theta, j, 8)
        p0, p1 = fma(load(pool, o0 + j, 8), t, p0), fma(load(pool, o1 + j, 8), t, p1)
        p2, p3 = fma(load(pool, o2 + j, 8), t, p2), fma(load(pool, o3 + j, 8), t, p3)
        p4, p5 = fma(load(pool, o4 + j, 8), t, p4), fma(load(pool, o5 + j, 8), t, p5)
        p6, p7 = fma(load(pool, o6 + j, 8), t, p6), fma(load(pool, o7 + j, 8), t, p7)
    e = width - _1
    y = gather(pool, o0 + e, o1 + e, o2 + e, o3 + e, o4 + e, o5 + e, o6 + e, o7 + e)
    return residual(family, lane_sums(p0, p1, p2, p3, p4, p5, p6, p7), y)


@jit
def _residuals(family, pool, width, ring, here, following, b, theta, out, to):
    """dl/dz of the batch at ring[here] to out[to:], eight at a time; beyond b it is meaningless.

    `following`: place of the next batch. What stands behind a batch in the ring is an index too.
    """
    distance = min(b, _AHEAD)
    far = pool.size > _NEAR
    for i in range(_0, b, _8):
        if far:
            j = i + distance
            _fetch(pool, width, ring, here + j if j < b else following + (j - b))
        store(out, to + i, _eight(family, pool, width, ring, here + i, theta))


def _adder(lines):
    """Sums of `lines` cache lines of coordinates, from coordinate j on, for two batches side by side."""

    @inline
    def add(pool, width, ring_0, ring_1, here, b, weights, stride, j, out):
        first, second = panel_zero(lines, 8), panel_zero(lines, 8)
        for i in range(b):
            first = panel_gather(first, pool, np.uint64(ring_0[here + i]) * width + j, weights[i])
            second = panel_gather(second, pool, np.uint64(ring_1[here + i]) * width + j, weights[stride + i])
        panel_store(out, j, first)
        panel_store(out, width + j, second)

    return add


_add_4 = _adder(4)
_add_3 = _adder(3)
_add_2 = _adder(2)
_add_1 = _adder(1)


@jit
def _add_up(pool, width, ring_0, ring_1, here, b, weights, stride, out):
    """out[v width + j] = sum over batch v of weights[v stride + i] x_ij, in the order of the batch; v = 0, 1."""
    j = _0
    while j + np.uint64(32) <= width:
        _add_4(pool, width, ring_0, ring_1, here, b, weights, stride, j, out)
        j += np.uint64(32)
    rest = (width - j) >> _3
    if rest == _3:
        _add_3(pool, width, ring_0, ring_1, here, b, weights, stride, j, out)
    elif rest == _2:
        _add_2(pool, width, ring_0, ring_1, here, b, weights, stride, j, out)
    elif rest == _1:
        _add_1(pool, width, ring_0, ring_1, here, b, weights, stride, j, out)


@inline
def _position(state, at, centre, width, theta):
    """theta of one replicate and arm."""
    for j in range(_0, width, _8):
        store(theta, j, load(centre, j, 8) + load(state, at + j, 8))


@inline
def _update(state, at, centre, total, to, width, d, ridge, inverse, eta):
    """One step of one replicate and arm from its summed gradient."""
    for j in range(_0, width, _8):
        delta = load(state, at + j, 8)
        theta = load(centre, j, 8) + delta
        g = fma(ridge, theta, load(total, to + j, 8) * inverse)
        # The sum also ran over the target, which is no coordinate.
        store(state, at + j, select(lane_numbers(8) + j < d, fma(-eta, g, delta), 0.0))


@parallel
def _task(task, tasks, delta, optimum, pool, n, ridge, family, b, design, etas, seed, first_replicate, first_step):
    """The part of `advance_glm` that is number `task` of `tasks`: some successive pairs of replicates.

    centre: the optimum, padded; state: Delta of the two replicates of each arm; weights: dl/dz of two batches; total:
    two gradient sums; ring_0, ring_1: batches of two bulks each, of which the next is drawn when the last batch of the
    other is used; here, following: where the batch of this and of the next step stand.
    """
    plan = make_plan(n, b, design)
    scratch = make_scratch(plan)
    b, bulk, bulk_size = plan.b, plan.steps, plan.size
    arms, replicates, d = np.uint64(delta.shape[0]), delta.shape[1], np.uint64(delta.shape[2])
    steps, width = np.uint64(etas.shape[1]), np.uint64(pool.size // n)
    stride = (b + _7) & ~_7
    inverse = 1.0 / np.float64(b)
    centre, theta, total = np.zeros(width), np.zeros(width), np.zeros(_2 * width)
    weights, state = np.zeros(_2 * stride), np.zeros(arms * _2 * width)
    ring_0, ring_1 = np.zeros(_2 * bulk_size + _8, np.uint32), np.zeros(_2 * bulk_size + _8, np.uint32)
    for j in range(d):
        centre[j] = optimum[j]
    pairs = (replicates + 1) // 2
    for pair in range(pairs * task // tasks, pairs * (task + 1) // tasks):
        # The last of an odd number is advanced twice.
        r0, r1 = 2 * pair, min(2 * pair + 1, replicates - 1)
        c0, c1 = first_replicate + np.uint64(r0), first_replicate + np.uint64(r1)
        for a in range(arms):
            for j in range(d):
                state[a * _2 * width + j] = delta[a, r0, j]
                state[a * _2 * width + width + j] = delta[a, r1, j]
        drawn, within, here = _0, _0, _0
        for k in range(steps):
            while drawn < steps and drawn <= k + _1:
                count, to = min(bulk, steps - drawn), ((drawn // bulk) & _1) * bulk_size
                draw(plan, scratch, seed, c0, first_step + drawn, count, ring_0, to)
                draw(plan, scratch, seed, c1, first_step + drawn, count, ring_1, to)
                drawn += count
            within += _1
            following = here + plan.pitch
            if within == bulk:
                following = _0 if here >= bulk_size else bulk_size
                within = _0
            for a in range(arms):
                at = a * _2 * width
                _position(state, at, centre, width, theta)
                _residuals(family, pool, width, ring_0, here, following, b, theta, weights, _0)
                _position(state, at + width, centre, width, theta)
                _residuals(family, pool, width, ring_1, here, following, b, theta, weights, stride)
                _add_up(pool, width, ring_0, ring_1, here, b, weights, stride, total)
                _update(state, at, centre, total, _0, width, d, ridge, inverse, etas[a, k])
                _update(state, at + width, centre, total, width, width, d, ridge, inverse, etas[a, k])
            here = following
        for a in range(arms):
            for j in range(d):
                delta[a, r0, j] = state[a * _2 * width + j]
                delta[a, r1, j] = state[a * _2 * width + width + j]
    return np.int64(0)


def advance_glm(delta, optimum, pool, n, ridge, family, b, design, etas, seed, first_replicate, first_step, tasks):
    """Advance every replicate of every arm by etas.shape[1] steps; arms share the mini-batches.

    delta: float64[A, R, d], theta minus the optimum, updated in place; optimum: float64[d];
    pool, n: from `pack_pool`, and its rows;
    family: a code of `links`; b: batch; design: a code of `draws`; etas: float64[A, steps], step sizes;
    seed, first_replicate, first_step: uint64; tasks: parts into which replicates are divided among threads.
    A replicate that diverges overflows to infinities and NaN, which stay. Returns 0.
    """
    address = (seed, first_replicate, first_step)
    return _task(tasks, tasks, delta, optimum, pool, n, ridge, family, b, design, etas, *address)

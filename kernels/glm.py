"""Mini-batch SGD of a generalised linear model on a fixed pool.

    theta = optimum + Delta
    g     = (sum over the batch of residual(x_i'theta, y_i) x_i) / b + ridge theta
    Delta = Delta - eta g

Order of operations (part of `stream_version`; all products below are fused into the sum):
    margin      lane j mod 8 adds features 0..7, 8..15, ... from zero; their sum is ((0+4)+(2+6)) + ((1+5)+(3+7))
    gradient    each coordinate adds residual_i x_i over the batch in the order of the draw, from zero
    step        g = fma(ridge, theta, sum * (1/b));  Delta = fma(-eta, g, Delta)
Nothing of it depends on lanes, threads or how many replicates are in flight.

A row of the pool is a multiple of 8 doubles, aligned to a cache line: features, zeros, and the target last.
Rows are asked for `_AHEAD` samples before they are needed, across steps: batches do not depend on the iterate.
"""

import numpy as np
from numba import prange

from ._jit import inline, jit, pjit
from .draws import draw, make_plan, make_scratch
from .lanes import lane_sums, panel_gather, prefetch
from .links import residual
from .vector import doubles, fma, load, panel_store, panel_zero, store

_0, _1, _2, _7, _8 = (np.uint64(i) for i in (0, 1, 2, 7, 8))
_AHEAD = np.uint64(32)


def row_width(d: int) -> int:
    """Doubles in a row of a packed pool: d features, the target, and zeros up to whole cache lines."""
    return (d + 8) // 8 * 8


def pack_pool(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Pool for the kernels: float64[n, row_width(d)] aligned to 64 bytes, from float64[n, d] and float64[n]."""
    n, d = features.shape
    width = row_width(d)
    # Not np.zeros: NumPy asks for large pages for arrays that it does not take from calloc.
    memory = np.empty(n * width + 8)
    offset = (-memory.ctypes.data // 8) % 8
    rows = memory[offset : offset + n * width].reshape(n, width)
    rows[:] = 0.0
    rows[:, :d] = features
    rows[:, -1] = targets
    return rows


@inline
def _eight_margins(pool, width, batch, at, theta):
    """Margins of the samples batch[at : at + 8] as a vector."""
    o0, o1 = np.uint64(batch[at]) * width, np.uint64(batch[at + np.uint64(1)]) * width
    o2, o3 = np.uint64(batch[at + np.uint64(2)]) * width, np.uint64(batch[at + np.uint64(3)]) * width
    o4, o5 = np.uint64(batch[at + np.uint64(4)]) * width, np.uint64(batch[at + np.uint64(5)]) * width
    o6, o7 = np.uint64(batch[at + np.uint64(6)]) * width, np.uint64(batch[at + np.uint64(7)]) * width
    zero = doubles(0.0, 8)
    p0, p1, p2, p3, p4, p5, p6, p7 = zero, zero, zero, zero, zero, zero, zero, zero
    for j in range(_0, width, _8):
        t = load(theta, j, 8)
        p0, p1 = fma(load(pool, o0 + j, 8), t, p0), fma(load(pool, o1 + j, 8), t, p1)
        p2, p3 = fma(load(pool, o2 + j, 8), t, p2), fma(load(pool, o3 + j, 8), t, p3)
        p4, p5 = fma(load(pool, o4 + j, 8), t, p4), fma(load(pool, o5 + j, 8), t, p5)
        p6, p7 = fma(load(pool, o6 + j, 8), t, p6), fma(load(pool, o7 + j, 8), t, p7)
    return lane_sums(p0, p1, p2, p3, p4, p5, p6, p7)


@jit
def _residuals(family, pool, width, batch, at, b, theta, targets, out):
    """dl/dz of the samples batch[at : at + b] to `out`, eight at a time (what is beyond b is meaningless)."""
    for i in range(_0, b, _8):
        for k in range(_8):
            targets[k] = pool[np.uint64(batch[at + i + k]) * width + width - _1]
        z = _eight_margins(pool, width, batch, at + i, theta)
        store(out, i, residual(family, z, load(targets, _0, 8)))


@jit
def _add_up(pool, width, batch, at, b, weights, out):
    """out[j] = sum over the batch of weights[i] x_ij, in the order of the batch."""
    j = _0
    while j < width:
        lines = (width - j) >> np.uint64(3)
        if lines >= np.uint64(4):
            four = panel_zero(4, 8)
            for i in range(b):
                four = panel_gather(four, pool, np.uint64(batch[at + i]) * width + j, weights[i])
            panel_store(out, j, four)
            j += np.uint64(32)
        elif lines == np.uint64(3):
            three = panel_zero(3, 8)
            for i in range(b):
                three = panel_gather(three, pool, np.uint64(batch[at + i]) * width + j, weights[i])
            panel_store(out, j, three)
            j += np.uint64(24)
        elif lines == _2:
            two = panel_zero(2, 8)
            for i in range(b):
                two = panel_gather(two, pool, np.uint64(batch[at + i]) * width + j, weights[i])
            panel_store(out, j, two)
            j += np.uint64(16)
        else:
            one = panel_zero(1, 8)
            for i in range(b):
                one = panel_gather(one, pool, np.uint64(batch[at + i]) * width + j, weights[i])
            panel_store(out, j, one)
            j += _8


@jit
def _fetch(pool, width, batch, at, b):
    """Ask for the rows of the samples batch[at : at + b]."""
    for i in range(b):
        row = np.uint64(batch[at + i]) * width
        for j in range(_0, width, _8):
            prefetch(pool, row + j)


@jit
def _replicate(delta, r, optimum, pool, width, ridge, family, plan, scratch, etas, seed, replicate, first_step):
    """Steps of one replicate, all arms: delta[:, r, :] in place."""
    arms, d = delta.shape[0], np.uint64(delta.shape[2])
    steps = np.uint64(etas.shape[1])
    b = plan.b
    # A ring of two bulks of batches: the next bulk is drawn when the last batch of this one is used.
    pairs = np.zeros(plan.size, np.uint64)
    ring = pairs.view(np.uint32)
    theta, total = np.zeros(width), np.zeros(width)
    weights, targets = np.zeros(b + _8), np.zeros(8)
    inverse = 1.0 / np.float64(b)
    drawn = _0
    for k in range(steps):
        while drawn < steps and drawn <= k + _1:
            bulk = min(plan.steps, steps - drawn)
            to = ((drawn // plan.steps) & _1) * plan.size
            draw(plan, scratch, seed, replicate, first_step + drawn, bulk, ring, pairs, to)
            drawn += bulk
        here = ((k // plan.steps) & _1) * plan.size + k % plan.steps * plan.pitch
        if k + _1 < steps and b <= np.uint64(256):
            n = k + _1
            _fetch(pool, width, ring, ((n // plan.steps) & _1) * plan.size + n % plan.steps * plan.pitch, b)
        for a in range(arms):
            for j in range(d):
                theta[j] = optimum[j] + delta[a, r, j]
            _residuals(family, pool, width, ring, here, b, theta, targets, weights)
            _add_up(pool, width, ring, here, b, weights, total)
            for j in range(d):
                g = fma(ridge, theta[j], total[j] * inverse)
                delta[a, r, j] = fma(-etas[a, k], g, delta[a, r, j])


@jit
def _task(delta, optimum, pool, ridge, family, b, design, etas, seed, first_replicate, first_step):
    """`advance_glm` for some successive replicates on one thread."""
    plan = make_plan(pool.shape[0], b, design)
    scratch = make_scratch(plan)
    width = np.uint64(pool.shape[1])
    rows = pool.reshape(-1)
    for r in range(delta.shape[1]):
        _replicate(
            delta, r, optimum, rows, width, ridge, family, plan, scratch, etas,
            seed, first_replicate + np.uint64(r), first_step,
        )  # fmt: skip


@pjit
def advance_glm(delta, optimum, pool, ridge, family, b, design, etas, seed, first_replicate, first_step, tasks):
    """Advance every replicate of every arm by etas.shape[1] steps; arms share the mini-batches.

    delta: float64[A, R, d], theta minus the optimum, updated in place; optimum: float64[d]; pool: `pack_pool`;
    family: a code of `links`; b: batch; design: a code of `draws`; etas: float64[A, steps], step sizes;
    seed, first_replicate, first_step: uint64; tasks: parts into which replicates are divided among threads.
    A replicate that diverges overflows to infinities and NaN, which stay. Returns 0.
    """
    replicates = delta.shape[1]
    for task in prange(tasks):
        start, stop = replicates * task // tasks, replicates * (task + 1) // tasks
        _task(
            delta[:, start:stop], optimum, pool, ridge, family, b, design, etas,
            seed, first_replicate + np.uint64(start), first_step,
        )  # fmt: skip
    return 0

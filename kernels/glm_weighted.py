"""Mini-batch SGD of a generalised linear model on a fixed pool, with batches of any size whose samples have weights.

    theta = optimum + Delta
    g     = sum over the batch of w_i residual(x_i'theta, y_i) x_i + ridge theta
    Delta = Delta - eta g

Order of operations (part of `stream_version`), products fused into the sum as in `glm`:
    margin      lane j mod 8 adds features 0..7, 8..15, ... from zero; their sum is ((0+4)+(2+6)) + ((1+5)+(3+7))
    gradient    each coordinate adds (w_i residual_i) x_i over the batch in the order of the draw, from zero
    step        g = fma(ridge, theta, sum);  Delta = fma(-eta, g, Delta)

Batches are drawn before, by any design: the kernel of `weighted_draws` or one of a user's. The ridge is no part of a sample,
it is the same whatever is drawn.
"""

import numpy as np

from ._jit import inline, jit
from .lanes import gather, lane_sums, panel_gather, prefetch
from .links import residual
from .parallel import parallel
from .vector import doubles, fma, lane_numbers, load, panel_store, panel_zero, select, store

_0, _1, _2, _3, _4, _5, _6, _7, _8, _16, _24, _32 = (np.uint64(i) for i in (*range(9), 16, 24, 32))
_AHEAD = np.uint64(32)
_NEAR = 2**16  # doubles; a pool up to this size stays in the second-level cache by itself


@inline
def _fetch(pool, width, index, at):
    """Ask for the rows of the samples index[at : at + 8]."""
    for i in range(_8):
        row = np.uint64(index[at + i]) * width
        for j in range(_0, width, _8):
            prefetch(pool, row + j)


@inline
def _eight(family, pool, width, index, at, theta):
    """dl/dz of the samples index[at : at + 8]."""
    o0, o1 = np.uint64(index[at]) * width, np.uint64(index[at + _1]) * width
    o2, o3 = np.uint64(index[at + _2]) * width, np.uint64(index[at + _3]) * width
    o4, o5 = np.uint64(index[at + _4]) * width, np.uint64(index[at + _5]) * width
    o6, o7 = np.uint64(index[at + _6]) * width, np.uint64(index[at + _7]) * width
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


def _adder(lines):
    """Sums of `lines` cache lines of coordinates, from coordinate j on."""

    @inline
    def add(pool, width, index, at, size, factors, j, out):
        total = panel_zero(lines, 8)
        for i in range(size):
            total = panel_gather(total, pool, np.uint64(index[at + i]) * width + j, factors[i])
        panel_store(out, j, total)

    return add


_add_4 = _adder(4)
_add_3 = _adder(3)
_add_2 = _adder(2)
_add_1 = _adder(1)


@jit
def _add_up(pool, width, index, at, size, factors, out):
    """out[j] = sum over the batch of factors[i] x_ij, in the order of the batch."""
    j = _0
    while j + _32 <= width:
        _add_4(pool, width, index, at, size, factors, j, out)
        j += _32
    rest = width - j
    if rest == _24:
        _add_3(pool, width, index, at, size, factors, j, out)
    elif rest == _16:
        _add_2(pool, width, index, at, size, factors, j, out)
    elif rest == _8:
        _add_1(pool, width, index, at, size, factors, j, out)


@jit
def _step(family, pool, width, index, weight, at, size, theta, factors, total):
    """Weighted sum of the gradients of the batch at `at` to `total`."""
    far = pool.size > _NEAR
    for i in range(_0, size, _8):
        if far:
            _fetch(pool, width, index, at + i + _AHEAD)
        store(factors, i, _eight(family, pool, width, index, at + i, theta) * load(weight, at + i, 8))
    _add_up(pool, width, index, at, size, factors, total)


@parallel
def _task(task, tasks, delta, row, optimum, pool, n, ridge, family, pitch, index, weight, size, etas, column):
    """The part of `advance_weighted` that is number `task` of `tasks`: some successive replicates."""
    arms, d, (replicates, steps) = delta.shape[0], np.uint64(delta.shape[2]), size.shape
    width = np.uint64(pool.size // n)
    centre, theta, total = np.zeros(width), np.zeros(width), np.zeros(width)
    factors, state = np.zeros(pitch + _8), np.zeros(np.uint64(arms) * width)
    for j in range(d):
        centre[j] = optimum[j]
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        for a in range(np.uint64(arms)):
            for j in range(d):
                state[a * width + j] = delta[a, row + r, j]
        for k in range(steps):
            at, of = np.uint64(r * steps + k) * pitch, np.uint64(size[r, k])
            for a in range(np.uint64(arms)):
                here = a * width
                for j in range(_0, width, _8):
                    store(theta, j, load(centre, j, 8) + load(state, here + j, 8))
                _step(family, pool, width, index, weight, at, of, theta, factors, total)
                eta = etas[a, column + k]
                for j in range(_0, width, _8):
                    g = fma(ridge, load(theta, j, 8), load(total, j, 8))
                    # The sum also ran over the target, which is no coordinate.
                    inside = lane_numbers(8) + j < d
                    store(state, here + j, select(inside, fma(-eta, g, load(state, here + j, 8)), 0.0))
        for a in range(np.uint64(arms)):
            for j in range(d):
                delta[a, row + r, j] = state[a * width + j]
    return np.int64(0)


def advance_weighted(delta, row, optimum, pool, n, ridge, family, pitch, index, weight, size, etas, column, tasks):
    """Advance size.shape[0] replicates of every arm by size.shape[1] steps; arms share the mini-batches.

    delta: float64[A, R, d], theta minus the optimum, rows row ... updated in place; optimum: float64[d];
    pool, n: from `glm.pack_pool`, and its rows; family: a code of `links`;
    pitch, index, weight, size: from `weighted_draws.fill_batches`; index, weight have 64 elements after the last batch, and
    what stands behind a batch is an index too;
    etas: float64[A, K], step sizes, from column `column` on; tasks: parts into which replicates are divided among threads.
    A replicate that diverges overflows to infinities and NaN, which stay. Returns 0.
    """
    return _task(tasks, tasks, delta, row, optimum, pool, n, ridge, family, pitch, index, weight, size, etas, column)

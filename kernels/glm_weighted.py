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

from .caches import level_of
from .parallel import parallel
from .samples import add_up, derivatives, step
from .vector import load, store

_0, _1, _2, _8 = (np.uint64(i) for i in (0, 1, 2, 8))
_AHEAD = np.uint64(32)


@parallel
def _task(task, tasks, delta, row, optimum, pool, level, n, ridge, family, pitch, index, weight, size, etas, column):
    """The part of `advance_weighted` that is number `task` of `tasks`: some successive replicates."""
    arms, d, (replicates, steps) = delta.shape[0], np.uint64(delta.shape[2]), size.shape
    width = np.uint64(pool.size // n)
    centre, total, rows = np.zeros(width), np.zeros(_2 * width), np.zeros(_8, np.uint64)
    factors, state, theta = np.zeros(pitch + _8), np.zeros(np.uint64(arms) * width), np.zeros(np.uint64(arms) * width)
    for j in range(d):
        centre[j] = optimum[j]
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        for a in range(np.uint64(arms)):
            for j in range(d):
                state[a * width + j] = delta[a, row + r, j]
                theta[a * width + j] = centre[j] + state[a * width + j]
        for k in range(steps):
            at, of = np.uint64(r * steps + k) * pitch, np.uint64(size[r, k])
            for a in range(np.uint64(arms)):
                here, ask, later = a * width, level if a == _0 else _0, at + _AHEAD
                derivatives(family, pool, width, index, at, later, _0, _1, ask, of, theta, here, rows, _0, factors)
                for i in range(_0, of, _8):
                    store(factors, i, load(factors, i, 8) * load(weight, at + i, 8))
                add_up(pool, width, index, at, at, of, factors, _0, _0, total, _0)
                step(state, theta, here, centre, total, _0, width, d, ridge, 1.0, etas[a, column + k])
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
    return _task(
        tasks,
        tasks,
        delta,
        row,
        optimum,
        pool,
        level_of(pool),
        n,
        ridge,
        family,
        pitch,
        index,
        weight,
        size,
        etas,
        column,
    )

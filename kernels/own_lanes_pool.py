"""`own_pool` with the replicates of a block side by side: the same numbers, if the gradient works on lanes.

The samples that the replicates of a block have drawn are turned into vectors, feature by feature, before each gradient.
"""

import numpy as np
from fastsgd.kernels._jit import LANES, inline
from fastsgd.kernels.draws import draw, make_plan, make_scratch
from fastsgd.kernels.lane_arrays import borrow_lanes, workspace
from fastsgd.kernels.lane_steps import position_lanes, update_lanes
from fastsgd.kernels.lanes import prefetch, store_columns
from fastsgd.kernels.own_functions import gradient
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.quadratic import load_block, store_block
from fastsgd.kernels.vector import load, store

_0, _8 = np.uint64(0), np.uint64(8)
_W = np.uint64(LANES)
_NEAR = 2**16  # doubles; a pool up to this size stays in the second-level cache by itself
_AHEAD = np.uint64(2)


@inline
def _fetch(pool, width, rings, pitch, at):
    """Ask for the rows of the samples that the replicates have at one place of their batches."""
    for lane in range(_W):
        row = np.uint64(rings[lane * pitch + at]) * width
        for j in range(_0, width, _8):
            prefetch(pool, row + j)


@inline
def _turned(pool, width, rings, pitch, at, sample):
    """The rows of the samples at one place of the batches, as vectors."""
    for lane in range(_0, _W, _8):
        r = lane * pitch + at
        o0, o1 = np.uint64(rings[r]) * width, np.uint64(rings[r + pitch]) * width
        r += pitch + pitch
        o2, o3 = np.uint64(rings[r]) * width, np.uint64(rings[r + pitch]) * width
        r += pitch + pitch
        o4, o5 = np.uint64(rings[r]) * width, np.uint64(rings[r + pitch]) * width
        r += pitch + pitch
        o6, o7 = np.uint64(rings[r]) * width, np.uint64(rings[r + pitch]) * width
        for j in range(_0, width, _8):
            to = j * _W + lane
            store_columns(pool, o0 + j, o1 + j, o2 + j, o3 + j, o4 + j, o5 + j, o6 + j, o7 + j, sample, to, _W)


@parallel
def advance(block, delta, optimum, params, pool, features, b, design, etas, seed, first_replicate, first_step):
    """Advance the replicates of one block of LANES through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; pool float64[n, width], rows of `features` numbers and
    zeros up to a whole cache line, aligned; b, design: batch and a code of `draws`; etas float64[A, steps]; seed, first_*:
    uint64.
    """
    arms, replicates, d = delta.shape
    steps, n, begin = etas.shape[1], pool.shape[0], block * LANES
    flat, width, inverse = pool.reshape(-1), np.uint64(pool.shape[1]), 1.0 / b
    plan = make_plan(n, b, design)
    scratch = make_scratch(plan)
    pitch, far = plan.size, flat.size > _NEAR
    bulk, rings = np.zeros(plan.size, np.uint32), np.zeros(plan.size * _W, np.uint32)
    size = d * LANES
    state, theta, total = workspace(arms * size), workspace(arms * size + LANES), workspace(arms * size + LANES)
    g, row = workspace(size + LANES), workspace(pool.shape[1] * LANES)
    out, sample = borrow_lanes(g, 0, d, LANES), borrow_lanes(row, 0, features, LANES)
    load_block(delta, begin, d, state)
    count = np.uint64(b)
    for a in range(arms):
        position_lanes(state, optimum, a, d, theta)
    for k in range(steps):
        within = np.uint64(k) % plan.steps
        if within == _0:
            ahead = min(plan.steps, np.uint64(steps - k))
            # Lanes beyond the last replicate have the batches of sample 0: what comes of them is not kept.
            for lane in range(min(LANES, replicates - begin)):
                replicate = first_replicate + np.uint64(begin + lane)
                draw(plan, scratch, seed, replicate, first_step + np.uint64(k), ahead, bulk, _0)
                for i in range(plan.size):
                    rings[np.uint64(lane) * pitch + i] = bulk[i]
        here = within * plan.pitch
        for i in range(count):
            if far:
                _fetch(flat, width, rings, pitch, here + min(i + _AHEAD, count - np.uint64(1)))
            _turned(flat, width, rings, pitch, here + i, row)
            for a in range(arms):
                position = borrow_lanes(theta, a * size, d, LANES)
                if i == _0:
                    gradient(position, sample, params, borrow_lanes(total, a * size, d, LANES))
                    continue
                gradient(position, sample, params, out)
                for at in range(_0, np.uint64(size), _W):
                    to = np.uint64(a * size) + at
                    store(total, to, load(total, to, LANES) + load(g, at, LANES))
        for a in range(arms):
            update_lanes(state, optimum, a, d, total, inverse, -etas[a, k], theta)
    store_block(state, begin, d, delta)
    return np.int64(0)

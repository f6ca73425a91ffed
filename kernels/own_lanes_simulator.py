"""`own_simulator` with the replicates of a block side by side: the same numbers, if the gradient works on lanes."""

import numpy as np
from fastsgd.kernels._jit import LANES
from fastsgd.kernels.lane_arrays import borrow_lanes, workspace
from fastsgd.kernels.lane_steps import position_lanes, update_lanes
from fastsgd.kernels.lane_stream import begin_draws, fill_draws, make_draws, sample_of
from fastsgd.kernels.own_functions import gradient
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.quadratic import load_block, store_block
from fastsgd.kernels.vector import load, store

_0 = np.uint64(0)
_W = np.uint64(LANES)


@parallel
def advance(block, delta, optimum, params, counts, b, etas, seed, first_replicate, first_step):
    """Advance the replicates of one block of LANES through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; counts int64[3], draws of a sample by kind; b samples a
    step; etas float64[A, steps]; seed, first_*: uint64.
    """
    arms, _, d = delta.shape
    begin, inverse = block * LANES, 1.0 / b
    draws = make_draws(counts, b, _0)
    size = d * LANES
    state, theta, total = workspace(arms * size), workspace(arms * size + LANES), workspace(arms * size + LANES)
    g = workspace(size + LANES)
    out = borrow_lanes(g, 0, d, LANES)
    load_block(delta, begin, d, state)
    replicate = first_replicate + np.uint64(begin)
    begin_draws(draws, seed, replicate, first_step)
    for a in range(arms):
        position_lanes(state, optimum, a, d, theta)
    for first in range(0, etas.shape[1], draws.steps):
        steps = min(draws.steps, etas.shape[1] - first)
        if draws.samples == b:
            fill_draws(draws, replicate, seed, first_step + np.uint64(first), steps, 0, b, b)
        for k in range(steps):
            for i in range(b):
                within = i % draws.samples
                if within == 0 and draws.samples < b:
                    some = min(draws.samples, b - i)
                    fill_draws(draws, replicate, seed, first_step + np.uint64(first), 1, i, some, b)
                sample = sample_of(draws, k, within)
                for a in range(arms):
                    here = borrow_lanes(theta, a * size, d, LANES)
                    if i == 0:
                        gradient(here, sample, params, borrow_lanes(total, a * size, d, LANES))
                        continue
                    gradient(here, sample, params, out)
                    for at in range(_0, np.uint64(size), _W):
                        to = np.uint64(a * size) + at
                        store(total, to, load(total, to, LANES) + load(g, at, LANES))
            for a in range(arms):
                update_lanes(state, optimum, a, d, total, inverse, -etas[a, first + k], theta)
    store_block(state, begin, d, delta)
    return np.int64(0)

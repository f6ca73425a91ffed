"""`own_simulator` with the replicates of a block side by side: the same numbers, if the gradient works on lanes."""

import numpy as np
from fastsgd.kernels._jit import LANES
from fastsgd.kernels.lane_arrays import borrow_lanes, workspace
from fastsgd.kernels.lane_steps import position_lanes, update_lanes
from fastsgd.kernels.lane_stream import begin_draws, fill_draws, make_draws, sample_of
from fastsgd.kernels.own_functions import DIMENSION, EXPONENTIALS, NORMALS, PARAMETERS, UNIFORMS, gradient
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.quadratic import load_block, store_block
from fastsgd.kernels.turned import deviations, turn
from fastsgd.kernels.vector import fma, load, store
from fastsgd.kernels.views import borrow

_0 = np.uint64(0)
_W = np.uint64(LANES)


@parallel
def advance(
    block, delta, optimum, params, counts, paired, coefficient, b, etas, seed, first_replicate, first_step
):  # fmt: skip
    """Advance the replicates of one block of LANES through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; counts int64[3], draws of a sample by kind; paired: whether
    samples 2 i and 2 i + 1 are antithetic; coefficient float64[d, draws] of control variates, or [0, 0]; b samples a step;
    etas float64[A, steps]; seed, first_*: uint64.
    """
    arms, d = delta.shape[0], DIMENSION
    begin, inverse, drawn = block * LANES, 1.0 / b, b // 2 if paired else b
    sides, controls = 2 if paired else 1, coefficient.shape[1]
    draws = make_draws((NORMALS, UNIFORMS, EXPONENTIALS), drawn, _0)
    size = d * LANES
    state, theta, total = workspace(arms * size), workspace(arms * size + LANES), workspace(arms * size + LANES)
    g, means = workspace(size + LANES), workspace(controls * LANES + LANES)
    given = borrow(params, 0, PARAMETERS)
    load_block(delta, begin, d, state)
    replicate = first_replicate + np.uint64(begin)
    begin_draws(draws, seed, replicate, first_step)
    for a in range(arms):
        position_lanes(state, optimum, a, d, theta)
    for first in range(0, etas.shape[1], draws.steps):
        steps = min(draws.steps, etas.shape[1] - first)
        if draws.samples == drawn:
            fill_draws(draws, replicate, seed, first_step + np.uint64(first), steps, 0, drawn, drawn)
        for k in range(steps):
            # Borrowed where they are used: nothing else keeps their memory.
            out, sums = borrow_lanes(g, 0, d, LANES), borrow_lanes(means, 0, controls, LANES)
            for i in range(controls):
                sums[i] = 0.0
            for i in range(drawn):
                within = i % draws.samples
                if within == 0 and draws.samples < drawn:
                    some = min(draws.samples, drawn - i)
                    fill_draws(draws, replicate, seed, first_step + np.uint64(first), 1, i, some, drawn)
                sample = sample_of(draws, k, within)
                if controls > 0:
                    deviations(sample, sums)
                for side in range(sides):
                    if side == 1:
                        turn(sample)
                    for a in range(arms):
                        here = borrow_lanes(theta, a * size, d, LANES)
                        if i == 0 and side == 0:
                            gradient(here, sample, given, borrow_lanes(total, a * size, d, LANES))
                            continue
                        gradient(here, sample, given, out)
                        for at in range(_0, np.uint64(size), _W):
                            to = np.uint64(a * size) + at
                            store(total, to, load(total, to, LANES) + load(g, at, LANES))
            for a in range(arms):
                for j in range(d if controls > 0 else 0):
                    to = np.uint64(a * size + j * LANES)
                    left = load(total, to, LANES)
                    for i in range(controls):
                        left = fma(-coefficient[j, i], sums[i], left)
                    store(total, to, left)
                update_lanes(state, optimum, a, d, total, inverse, -etas[a, first + k], theta)
    store_block(state, begin, d, delta)
    return np.int64(0)

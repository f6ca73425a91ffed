"""`own_lanes_simulator` with one arm and independent samples: numbers of draws, coordinates and parameters are constants.

Loops over the coordinates of a small problem disappear, and its state stays in registers from step to step. ALONE: whether a
step is of one sample, of which no sum is made.
"""

import numpy as np
from fastsgd.kernels._jit import LANES
from fastsgd.kernels.lane_arrays import borrow_lanes, stack_lanes, workspace
from fastsgd.kernels.lane_stream import begin_draws, fill_draws, make_draws, sample_of
from fastsgd.kernels.own_functions import ALONE, DIMENSION, EXPONENTIALS, NORMALS, PARAMETERS, UNIFORMS, gradient
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.quadratic import load_block, store_block
from fastsgd.kernels.vector import align_stack, fma
from fastsgd.kernels.views import borrow, keep

_0 = np.uint64(0)
_FEW = 8  # coordinates whose state is on the stack


@parallel
def advance(
    block, delta, optimum, params, counts, paired, coefficient, b, etas, seed, first_replicate, first_step
):  # fmt: skip
    """As that of `own_lanes_simulator` with delta[1, R, DIMENSION]."""
    align_stack()
    begin, replicate = block * LANES, first_replicate + np.uint64(block * LANES)
    batch, inverse = np.int64(1 if ALONE else b), 1.0 / b
    draws = make_draws((NORMALS, UNIFORMS, EXPONENTIALS), batch, _0)
    flat = workspace(DIMENSION * LANES)
    load_block(delta, begin, DIMENSION, flat)
    kept = borrow_lanes(flat, 0, DIMENSION, LANES)
    # Not a multiple of 4 KiB apart, where the processor takes a load for one that must wait for a store.
    pitch = (DIMENSION + 1) * LANES
    room = workspace(0 if DIMENSION <= _FEW else 3 * pitch)
    if DIMENSION <= _FEW:
        state, theta = stack_lanes(DIMENSION, LANES), stack_lanes(DIMENSION, LANES)
        total, out = stack_lanes(DIMENSION, LANES), stack_lanes(DIMENSION, LANES)
        for j in range(DIMENSION):
            state[j] = kept[j]
    else:
        state, theta = kept, borrow_lanes(room, 0, DIMENSION, LANES)
        total, out = borrow_lanes(room, pitch, DIMENSION, LANES), borrow_lanes(room, 2 * pitch, DIMENSION, LANES)
    for j in range(DIMENSION):
        theta[j] = state[j] + optimum[j]
        out[j] = 0.0
        total[j] = -0.0  # nothing, in sums: -0.0 + x is x
    given = borrow(params, 0, PARAMETERS)
    begin_draws(draws, seed, replicate, first_step)
    for k in range(etas.shape[1]):
        within = k % draws.steps
        for first in range(0, batch, draws.samples):
            here = min(draws.samples, batch - first)
            if within == 0:
                ahead = min(draws.steps, etas.shape[1] - k)
                fill_draws(draws, replicate, seed, first_step + np.uint64(k), ahead, first, here, batch)
            for i in range(here):
                gradient(theta, sample_of(draws, within, i), given, out)
                if not ALONE:
                    for j in range(DIMENSION):
                        total[j] = total[j] + out[j]
        for j in range(DIMENSION):
            ghat = out[j] if ALONE else total[j] * inverse
            if not ALONE:
                total[j] = -0.0
            state[j] = fma(-etas[0, k], ghat, state[j])
            theta[j] = state[j] + optimum[j]
    for j in range(DIMENSION):
        kept[j] = state[j]
    store_block(flat, begin, DIMENSION, delta)
    keep(room)
    return np.int64(0)

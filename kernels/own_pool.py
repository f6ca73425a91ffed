"""SGD on a problem with a pool of samples: a template. A made module takes its functions from a user's file.

    ghat  = sum_i w_i gradient(theta, sample i)                    the batch in the order of its draw, from zero
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

w_i = 1/b for simple designs; `designs` has the weights of the others. All arms use the same batches.
"""

import numpy as np
from fastsgd.kernels._jit import jit, pjit
from fastsgd.kernels.draws import draw, make_plan, make_scratch
from fastsgd.kernels.own_functions import gradient, loss
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow
from fastsgd.kernels.weighted import SIMPLE, draw_weighted, make_table
from numba import prange

_0 = np.uint64(0)


@jit
def _task(
    task, tasks, delta, optimum, samples, params, b, design, parts, allocation, chances, etas,
    seed, first_replicate, first_step,
):  # fmt: skip
    """The part of `advance` that is number `task` of `tasks`: some successive replicates."""
    arms, replicates, d = delta.shape
    steps, n = etas.shape[1], samples.shape[0]
    simple = design in SIMPLE
    plan = make_plan(n, b if simple else 1, design if simple else 1)
    scratch = make_scratch(plan)
    bulk = np.zeros(plan.size, np.uint32)
    table = make_table(n, b, design, parts, allocation, chances)
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    flat, width = samples.reshape(-1), samples.shape[1]
    inverse = 1.0 / b
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        table.state[0] = -1
        for k in range(steps):
            step = first_step + np.uint64(k)
            size = b
            within = np.uint64(k) % plan.steps
            if simple:
                if within == _0:
                    ahead = min(plan.steps, np.uint64(steps - k))
                    draw(plan, scratch, seed, replicate, step, ahead, bulk, _0)
            else:
                size = draw_weighted(table, seed, replicate, step)
            for a in range(arms):
                for j in range(d):
                    theta[a * d + j] = optimum[j] + delta[a, r, j]
                    total[a, j] = 0.0
            for i in range(size):
                index = np.int64(bulk[within * plan.pitch + np.uint64(i)]) if simple else table.index[i]
                weight = inverse if simple else table.weight[i]
                for a in range(arms):
                    gradient(borrow(theta, a * d, d), borrow(flat, index * width, width), params, g)
                    for j in range(d):
                        total[a, j] = fma(weight, g[j], total[a, j])
            for a in range(arms):
                for j in range(d):
                    delta[a, r, j] = fma(-etas[a, k], total[a, j], delta[a, r, j])


@pjit
def advance(
    delta, optimum, samples, params, b, design, parts, allocation, chances, etas, seed, first_replicate, first_step, tasks,
):  # fmt: skip
    """Advance every replicate of every arm by etas.shape[1] steps, in place; arms share the mini-batches.

    delta float64[A, R, d]; optimum float64[d]; samples float64[n, p]; params float64[m]; design: a code of `draws` or `weighted`, whose
    `make_table` says what parts, allocation and chances are; etas float64[A, steps]; seed, first_*: uint64.
    """
    for task in prange(tasks):
        _task(
            np.int64(task), tasks, delta, optimum, samples, params, b, design, parts, allocation, chances, etas,
            seed, first_replicate, first_step,
        )  # fmt: skip
    return 0


@pjit
def pilot(points, samples, params, size, first_chunk, second, sums, products):
    """Sums of gradients over chunks of `size` successive samples (the last may be shorter), at every point.

    points float64[P, d]; sums float64[chunks, P, d], added to; if `second`, products float64[chunks, d, d], of the last point: g g'.
    """
    for chunk in prange(sums.shape[0]):
        c = np.int64(chunk)
        d = points.shape[1]
        g = np.zeros(d)
        begin = (first_chunk + c) * size
        for i in range(begin, min(begin + size, samples.shape[0])):
            for p in range(points.shape[0]):
                gradient(points[p], samples[i], params, g)
                for j in range(d):
                    sums[c, p, j] += g[j]
            if second:
                for j in range(d):
                    for k in range(d):
                        products[c, j, k] += g[j] * g[k]
    return 0


@jit
def gradients(theta, samples, params, out):
    """out[i] = gradient of sample i at theta: float64[n, d]."""
    for i in range(samples.shape[0]):
        gradient(theta, samples[i], params, out[i])
    return 0


@jit
def pilot_losses(points, samples, params, size, first_chunk, sums):
    """Sums of the loss over the samples of each chunk: float64[chunks, P], added to."""
    for c in range(sums.shape[0]):
        begin = (first_chunk + c) * size
        for i in range(begin, min(begin + size, samples.shape[0])):
            for p in range(points.shape[0]):
                sums[c, p] += loss(points[p], samples[i], params)
    return 0

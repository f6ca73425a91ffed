"""SGD on a problem with a pool of samples: a template. A made module takes its functions from a user's file.

    ghat  = (1/b) sum_i gradient(theta, sample i)                  the batch in the order of its draw
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

All arms use the same batches.
"""

import numpy as np
from fastsgd.kernels.draws import draw, make_plan, make_scratch
from fastsgd.kernels.own_functions import gradient, hessian, loss
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow

_0 = np.uint64(0)


@parallel
def advance(task, tasks, delta, optimum, params, samples, b, design, etas, seed, first_replicate, first_step):
    """Advance the replicates of one of `tasks` parts through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; samples float64[n, p]; design: a code of `draws`;
    etas float64[A, steps]; seed, first_*: uint64.
    """
    arms, replicates, d = delta.shape
    steps, n = etas.shape[1], samples.shape[0]
    plan = make_plan(n, b, design)
    scratch = make_scratch(plan)
    bulk = np.zeros(plan.size, np.uint32)
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    flat, width = samples.reshape(-1), samples.shape[1]
    inverse = 1.0 / b
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        for k in range(steps):
            within = np.uint64(k) % plan.steps
            if within == _0:
                ahead = min(plan.steps, np.uint64(steps - k))
                draw(plan, scratch, seed, replicate, first_step + np.uint64(k), ahead, bulk, _0)
            for a in range(arms):
                for j in range(d):
                    theta[a * d + j] = optimum[j] + delta[a, r, j]
            for i in range(b):
                index = np.int64(bulk[within * plan.pitch + np.uint64(i)])
                for a in range(arms):
                    gradient(borrow(theta, a * d, d), borrow(flat, index * width, width), params, g)
                    for j in range(d):
                        total[a, j] = total[a, j] + g[j] if i > 0 else g[j]
            for a in range(arms):
                for j in range(d):
                    delta[a, r, j] = fma(-etas[a, k], total[a, j] * inverse, delta[a, r, j])
    return np.int64(0)


@parallel
def pilot(chunk, points, params, samples, size, seed, sums, products):
    """Sums of gradients over `size` successive samples (the last chunk may be shorter); g g' at the first point.

    points float64[P, d]; sums float64[chunks, P, d] and products float64[chunks, d, d] (or [0, d, d]: none), added to.
    """
    d = points.shape[1]
    g = np.zeros(d)
    for i in range(chunk * size, min((chunk + 1) * size, samples.shape[0])):
        for p in range(points.shape[0]):
            gradient(points[p], samples[i], params, g)
            for j in range(d):
                sums[chunk, p, j] += g[j]
            if p == 0 and products.shape[0] > 0:
                for j in range(d):
                    for k in range(d):
                        products[chunk, j, k] += g[j] * g[k]
    return np.int64(0)


@parallel
def pilot_losses(chunk, points, params, samples, size, seed, sums):
    """Sums of the loss over the samples of a chunk: float64[chunks, P], added to."""
    for i in range(chunk * size, min((chunk + 1) * size, samples.shape[0])):
        for p in range(points.shape[0]):
            sums[chunk, p] += loss(points[p], samples[i], params)
    return np.int64(0)


@parallel
def pilot_hessian(chunk, theta, params, samples, size, seed, sums):
    """Sums of the Hessian at theta float64[d] over the samples of a chunk: float64[chunks, d, d], added to."""
    d = theta.size
    h = np.zeros((d, d))
    for i in range(chunk * size, min((chunk + 1) * size, samples.shape[0])):
        hessian(theta, samples[i], params, h)
        for j in range(d):
            for k in range(d):
                sums[chunk, j, k] += h[j, k]
    return np.int64(0)

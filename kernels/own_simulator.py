"""SGD on a problem whose samples are simulated: a template. A made module takes its functions from a user's file.

    ghat  = (1/b) sum_i gradient(theta, draws of sample i)         the samples in order
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

All arms use the same samples.
"""

import numpy as np
from fastsgd.kernels._jit import jit
from fastsgd.kernels.own_functions import gradient, hessian, loss
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.philox import PILOT
from fastsgd.kernels.stream import EXPONENTIAL, NORMAL, UNIFORM, bulk_steps, fill, make_rows, sample_of
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow

_0 = np.uint64(0)


@parallel
def advance(task, tasks, delta, optimum, params, counts, b, etas, seed, first_replicate, first_step):
    """Advance the replicates of one of `tasks` parts through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; counts int64[3], draws of a sample by kind; b samples a
    step; etas float64[A, steps]; seed, first_*: uint64.
    """
    arms, replicates, d = delta.shape
    steps = etas.shape[1]
    bulk = bulk_steps(counts, b)
    zs = make_rows(NORMAL, counts[0], b, bulk)
    us = make_rows(UNIFORM, counts[1], b, bulk)
    es = make_rows(EXPONENTIAL, counts[2], b, bulk)
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    inverse = 1.0 / b
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        for k in range(steps):
            within = k % bulk
            if within == 0:
                ahead, step = min(bulk, steps - k), first_step + np.uint64(k)
                fill(zs, _0, seed, replicate, step, ahead)
                fill(us, _0, seed, replicate, step, ahead)
                fill(es, _0, seed, replicate, step, ahead)
            for a in range(arms):
                for j in range(d):
                    theta[a * d + j] = optimum[j] + delta[a, r, j]
            for i in range(b):
                stream = sample_of(zs, us, es, counts, within, i)
                for a in range(arms):
                    gradient(borrow(theta, a * d, d), stream, params, g)
                    for j in range(d):
                        total[a, j] = total[a, j] + g[j] if i > 0 else g[j]
            for a in range(arms):
                for j in range(d):
                    delta[a, r, j] = fma(-etas[a, k], total[a, j] * inverse, delta[a, r, j])
    return np.int64(0)


@jit
def _draws(counts, size, seed, chunk):
    """The draws of the pilot samples of one chunk, of every kind."""
    zs = make_rows(NORMAL, counts[0], size, 1)
    us = make_rows(UNIFORM, counts[1], size, 1)
    es = make_rows(EXPONENTIAL, counts[2], size, 1)
    for rows in (zs, us, es):
        fill(rows, PILOT, seed, np.uint64(chunk), _0, 1)
    return zs, us, es


@parallel
def pilot(chunk, points, params, counts, size, seed, sums, products):
    """Sums of gradients over the `size` pilot samples of a chunk, the same at every point; g g' at the first point.

    points float64[P, d]; sums float64[chunks, P, d] and products float64[chunks, d, d] (or [0, d, d]: none), added to.
    """
    d = points.shape[1]
    zs, us, es = _draws(counts, size, seed, chunk)
    g = np.zeros(d)
    for i in range(size):
        stream = sample_of(zs, us, es, counts, 0, i)
        for p in range(points.shape[0]):
            gradient(points[p], stream, params, g)
            for j in range(d):
                sums[chunk, p, j] += g[j]
            if p == 0 and products.shape[0] > 0:
                for j in range(d):
                    for k in range(d):
                        products[chunk, j, k] += g[j] * g[k]
    return np.int64(0)


@parallel
def pilot_losses(chunk, points, params, counts, size, seed, sums):
    """Sums of the loss over the pilot samples of a chunk: float64[chunks, P], added to."""
    zs, us, es = _draws(counts, size, seed, chunk)
    for i in range(size):
        stream = sample_of(zs, us, es, counts, 0, i)
        for p in range(points.shape[0]):
            sums[chunk, p] += loss(points[p], stream, params)
    return np.int64(0)


@parallel
def pilot_hessian(chunk, theta, params, counts, size, seed, sums):
    """Sums of the Hessian at theta float64[d] over the pilot samples of a chunk: float64[chunks, d, d], added to."""
    d = theta.size
    zs, us, es = _draws(counts, size, seed, chunk)
    h = np.zeros((d, d))
    for i in range(size):
        hessian(theta, sample_of(zs, us, es, counts, 0, i), params, h)
        for j in range(d):
            for k in range(d):
                sums[chunk, j, k] += h[j, k]
    return np.int64(0)

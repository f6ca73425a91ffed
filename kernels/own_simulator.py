"""SGD on a problem whose samples are simulated: a template. A made module takes its functions from a user's file.

    ghat  = (1/b) sum_i gradient(theta, draws of sample i)         the samples in order
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

All arms use the same samples. Antithetic pairs and control variates are as in `simulator`.
"""

import numpy as np
from fastsgd.kernels._jit import jit
from fastsgd.kernels.own_functions import gradient, hessian, loss
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.philox import PILOT
from fastsgd.kernels.stream import EXPONENTIAL, NORMAL, UNIFORM, bulk_steps, fill, make_rows, sample_of
from fastsgd.kernels.turned import deviations, turn
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow

_0 = np.uint64(0)
_ANTITHETIC, _CONTROL = 1, 2


@parallel
def advance(
    task, tasks, delta, optimum, params, counts, paired, coefficient, b, etas, seed, first_replicate, first_step
):  # fmt: skip
    """Advance the replicates of one of `tasks` parts through etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; counts int64[3], draws of a sample by kind; paired: whether
    samples 2 i and 2 i + 1 are antithetic; coefficient float64[d, draws] of control variates, or [0, 0]; b samples a step;
    etas float64[A, steps]; seed, first_*: uint64.
    """
    arms, replicates, d = delta.shape
    steps, drawn = etas.shape[1], b // 2 if paired else b
    bulk = bulk_steps(counts, drawn)
    zs = make_rows(NORMAL, counts[0], drawn, bulk)
    us = make_rows(UNIFORM, counts[1], drawn, bulk)
    es = make_rows(EXPONENTIAL, counts[2], drawn, bulk)
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    sums = np.zeros(coefficient.shape[1])
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
                    total[a, j] = -0.0  # nothing, in sums: -0.0 + x is x
            sums[:] = 0.0
            for i in range(drawn):
                stream = sample_of(zs, us, es, counts, within, i)
                if sums.size > 0:
                    deviations(stream, sums)
                for side in range(2 if paired else 1):
                    if side == 1:
                        turn(stream)
                    for a in range(arms):
                        gradient(borrow(theta, a * d, d), stream, params, g)
                        for j in range(d):
                            total[a, j] += g[j]
            for a in range(arms):
                for j in range(d):
                    for i in range(sums.size):
                        total[a, j] = fma(-coefficient[j, i], sums[i], total[a, j])
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
def pilot(chunk, points, params, counts, how, size, seed, sums, products):
    """Sums of gradients over the `size` pilot samples of a chunk, the same at every point; g g' at the first point.

    points float64[P, d]; sums float64[chunks, P, d] and products float64[chunks, d, d] (or [0, d, d]: none), added to.
    how: 1 for the mean gradients of antithetic pairs (one point), 2 for products g c' float64[chunks, d, draws] with the
    draws c of a sample less their means.
    """
    d = points.shape[1]
    zs, us, es = _draws(counts, size, seed, chunk)
    g, other, c = np.zeros(d), np.zeros(d), np.zeros(products.shape[2])
    for i in range(size):
        stream = sample_of(zs, us, es, counts, 0, i)
        if how == _CONTROL:
            c[:] = 0.0
            deviations(stream, c)
        for p in range(points.shape[0]):
            gradient(points[p], stream, params, g)
            if how == _ANTITHETIC:
                turn(stream)
                gradient(points[p], stream, params, other)
                for j in range(d):
                    g[j] = 0.5 * (g[j] + other[j])
            for j in range(d):
                sums[chunk, p, j] += g[j]
            if p == 0 and products.shape[0] > 0:
                for j in range(d):
                    for k in range(products.shape[2]):
                        products[chunk, j, k] += g[j] * (c[k] if how == _CONTROL else g[k])
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

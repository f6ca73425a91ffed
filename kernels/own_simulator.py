"""SGD on a problem whose samples are simulated: a template. A made module takes its functions from a user's file.

    ghat  = (1/b) sum_i gradient(theta, draws of sample i)         the samples in order, from zero
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

All arms use the same samples; an arm with a smaller batch uses the first of them. Designs: fresh; antithetic, where samples
2i and 2i + 1 have the draws of sample i and their mirror; control variates, where B (c - E c) is subtracted, c all draws.
"""

import numpy as np
from fastsgd.kernels._jit import jit, pjit
from fastsgd.kernels.own_functions import gradient, loss
from fastsgd.kernels.philox import PILOT
from fastsgd.kernels.stream import EXPONENTIAL, NORMAL, UNIFORM, bulk_steps, fill, make_rows, sample_of
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow
from numba import prange

FRESH, ANTITHETIC, CONTROL = 0, 1, 2


@jit
def _subtract_controls(stream, control, total):
    """total -= B (c - E c) of one sample; control float64[d, m], c = normals, uniforms, exponentials."""
    for j in range(total.size):
        shift, at = 0.0, 0
        for z in stream.normals:
            shift = fma(control[j, at], z, shift)
            at += 1
        for u in stream.uniforms:
            shift = fma(control[j, at], u - 0.5, shift)
            at += 1
        for e in stream.exponentials:
            shift = fma(control[j, at], e - 1.0, shift)
            at += 1
        total[j] -= shift


@jit
def _task(
    task, tasks, delta, optimum, params, counts, batches, design, control, etas, seed, first_replicate, first_step
):
    """The part of `advance` that is number `task` of `tasks`: some successive replicates."""
    arms, replicates, d = delta.shape
    steps, b = etas.shape[1], batches.max()
    drawn = b // 2 if design == ANTITHETIC else b
    nz, nu, ne = counts[0], counts[1], counts[2]
    bulk = bulk_steps(counts, drawn)
    mirrored = design == ANTITHETIC
    zs = make_rows(NORMAL, nz, drawn, bulk, mirrored)
    us = make_rows(UNIFORM, nu, drawn, bulk, mirrored)
    es = make_rows(EXPONENTIAL, ne, drawn, bulk, mirrored)
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        for k in range(steps):
            within = k % bulk
            if within == 0:
                ahead, step = min(bulk, steps - k), first_step + np.uint64(k)
                fill(zs, np.uint64(0), seed, replicate, step, ahead)
                fill(us, np.uint64(0), seed, replicate, step, ahead)
                fill(es, np.uint64(0), seed, replicate, step, ahead)
            for a in range(arms):
                for j in range(d):
                    theta[a * d + j] = optimum[j] + delta[a, r, j]
                    total[a, j] = 0.0
            for i in range(b):
                place = i // 2 if mirrored else i
                stream = sample_of(zs, us, es, counts, within, mirrored and i % 2 == 1, place)
                for a in range(arms):
                    if i < batches[a]:
                        gradient(borrow(theta, a * d, d), stream, params, g)
                        for j in range(d):
                            total[a, j] += g[j]
                        if design == CONTROL:
                            _subtract_controls(stream, control, total[a])
            for a in range(arms):
                inverse = 1.0 / batches[a]
                for j in range(d):
                    delta[a, r, j] = fma(-etas[a, k], total[a, j] * inverse, delta[a, r, j])


@pjit
def advance(delta, optimum, params, counts, batches, design, control, etas, seed, first_replicate, first_step, tasks):
    """Advance every replicate of every arm by etas.shape[1] steps, in place.

    delta float64[A, R, d]; optimum float64[d]; params float64[m]; counts int64[3], draws of a sample by kind; batches int64[A]
    (even if antithetic); control float64[d, draws] if design is CONTROL; etas float64[A, steps]; seed, first_*: uint64.
    """
    for task in prange(tasks):
        _task(
            np.int64(task), tasks, delta, optimum, params, counts, batches, design, control, etas,
            seed, first_replicate, first_step,
        )  # fmt: skip
    return 0


@jit
def _draws(counts, size, seed, chunk, mirrored):
    """The draws of the pilot samples of one chunk, of every kind."""
    zs = make_rows(NORMAL, counts[0], size, 1, mirrored)
    us = make_rows(UNIFORM, counts[1], size, 1, mirrored)
    es = make_rows(EXPONENTIAL, counts[2], size, 1, mirrored)
    for rows in (zs, us, es):
        fill(rows, PILOT, seed, np.uint64(chunk), np.uint64(0), 1)
    return zs, us, es


@jit
def _sums(points, params, counts, size, seed, chunk, second, sums, products, variates):
    """One chunk of `pilot`."""
    d, nz, nu = points.shape[1], counts[0], counts[1]
    zs, us, es = _draws(counts, size, seed, chunk, False)
    g = np.zeros(d)
    for i in range(size):
        stream = sample_of(zs, us, es, counts, 0, False, i)
        for p in range(points.shape[0]):
            gradient(points[p], stream, params, g)
            for j in range(d):
                sums[p, j] += g[j]
        if second:
            for j in range(d):
                for k in range(d):
                    products[j, k] += g[j] * g[k]
                for k in range(variates.shape[1]):
                    if k < nz:
                        c = stream.normals[k]
                    elif k < nz + nu:
                        c = stream.uniforms[k - nz] - 0.5
                    else:
                        c = stream.exponentials[k - nz - nu] - 1.0
                    variates[j, k] += g[j] * c


@pjit
def pilot(points, params, counts, size, seed, first_chunk, second, sums, products, variates):
    """Sums of gradients over chunks of `size` pilot samples: the same samples at every point.

    points float64[P, d]; sums float64[chunks, P, d], added to. If `second`, of the last point also, added to:
    products float64[chunks, d, d]: g g'; variates float64[chunks, d, m]: g (c - E c)', c the draws (m = 0: none).
    """
    for chunk in prange(sums.shape[0]):
        c = np.int64(chunk)
        _sums(points, params, counts, size, seed, first_chunk + c, second, sums[c], products[c], variates[c])
    return 0


@jit
def pilot_pairs(theta, params, counts, size, seed, cross):
    """cross += g(draws) g(mirrored draws)' at theta float64[d], summed over a chunk of pilot samples: float64[chunks, d, d]."""
    d = theta.size
    g, h = np.zeros(d), np.zeros(d)
    for chunk in range(cross.shape[0]):
        zs, us, es = _draws(counts, size, seed, chunk, True)
        for i in range(size):
            gradient(theta, sample_of(zs, us, es, counts, 0, False, i), params, g)
            gradient(theta, sample_of(zs, us, es, counts, 0, True, i), params, h)
            for j in range(d):
                for k in range(d):
                    cross[chunk, j, k] += g[j] * h[k]
    return 0


@jit
def pilot_losses(points, params, counts, size, seed, first_chunk, sums):
    """Sums of the loss over the pilot samples of each chunk: float64[chunks, P], added to."""
    for chunk in range(sums.shape[0]):
        zs, us, es = _draws(counts, size, seed, first_chunk + chunk, False)
        for i in range(size):
            stream = sample_of(zs, us, es, counts, 0, False, i)
            for p in range(points.shape[0]):
                sums[chunk, p] += loss(points[p], stream, params)
    return 0

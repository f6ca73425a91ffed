"""SGD on a problem with a pool of samples: a template. A made module takes its functions from a user's file.

    ghat  = (1/b) sum_i gradient(theta, sample i)                  the batch in the order of its draw
    ghat  = sum_i w_i gradient(theta, sample i)                    if samples have weights
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

All arms use the same batches, which were drawn before.
"""

import numpy as np
from fastsgd.kernels.own_functions import gradient, hessian, loss
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.vector import fma
from fastsgd.kernels.views import borrow


@parallel
def advance(
    task, tasks, delta, row, optimum, params, samples, pitch, index, weighted, weight, size, inverse, etas, column
):  # fmt: skip
    """Advance the replicates of one of `tasks` shares of a part of a segment, in place.

    delta float64[A, R, d] and row, the first replicate of the part; optimum float64[d]; params float64[m]; samples
    float64[n, p]; index uint32 and weight float64 (any if not `weighted`), flat [replicates, steps, pitch], of the part; size
    int64[replicates, steps], samples of a batch; inverse: what sums are multiplied by; etas float64[A, .] and column, where
    the part's steps begin in them.
    """
    arms, _, d = delta.shape
    replicates, steps = size.shape
    theta, total, g = np.empty(arms * d), np.empty((arms, d)), np.zeros(d)
    flat, width = samples.reshape(-1), samples.shape[1]
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        for k in range(steps):
            for a in range(arms):
                for j in range(d):
                    theta[a * d + j] = optimum[j] + delta[a, row + r, j]
                    total[a, j] = -0.0  # nothing, in sums: -0.0 + x is x
            begin = np.uint64(r * steps + k) * pitch
            for i in range(np.uint64(size[r, k])):
                place = np.int64(index[begin + i])
                for a in range(arms):
                    gradient(borrow(theta, a * d, d), borrow(flat, place * width, width), params, g)
                    for j in range(d):
                        total[a, j] += g[j] * weight[begin + i] if weighted else g[j]
            for a in range(arms):
                for j in range(d):
                    to = delta[a, row + r, j]
                    delta[a, row + r, j] = fma(-etas[a, column + k], total[a, j] * inverse, to)
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

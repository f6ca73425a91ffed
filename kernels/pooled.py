"""SGD on a pool of samples with batches that were drawn before, replicates side by side in lanes.

A pool problem is a file with two small functions and a kernel made of them (`portfolio`, for one):

    gradient(params, shape, sample, theta, weight, total)    add weight times the sample's gradient at theta to total
    regular(params, shape, theta, total)                     add the part of the gradient that no sample changes

Arrays in them are flat, [item, lane], as in `simulator`; the lanes of `sample` hold the rows of the pool that each replicate
has drawn, and `weight` is a vector. One step is, over the batch in the order of its draw,

    ghat  = sum_i weight_i gradient(theta, sample i) + regular(theta),    Delta = fma(-eta, ghat, Delta)

All arms use the same batches.
"""

import numpy as np

from ._jit import LANES, named_after
from .simulator import get, put
from .vector import doubles, fma, load
from .views import borrow

_0 = np.uint64(0)


def stepper(gradient, regular):
    """A problem's kernel, for `parallel`: advance one block of `LANES` replicates of a part of a segment, in place.

    It takes block, delta float64[A, R, d] and row, the first replicate of the part; optimum float64[d]; params float64[m]
    and shape int64[k], what the two functions need; samples float64[n, p]; index uint32 and weight float64, flat
    [replicates, steps, pitch], of the part, and size int64[replicates, steps], how many of a batch there are; etas
    float64[A, .] and column, where the part's steps begin in them.
    """

    def advance(block, delta, row, optimum, params, shape, samples, pitch, index, weight, size, etas, column):
        arms, _, d = delta.shape
        replicates, steps = size.shape
        first, width, items = block * LANES, samples.shape[1], d * LANES
        here = min(LANES, replicates - first)
        state, theta, total = np.zeros(arms * items), np.empty(arms * items), np.empty(arms * items)
        sample, weights = np.zeros(width * LANES), np.zeros(LANES)
        for a in range(arms):
            for lane in range(here):
                for j in range(d):
                    state[(a * d + j) * LANES + lane] = delta[a, row + first + lane, j]
        for k in range(steps):
            most = np.int64(0)
            for lane in range(here):
                most = max(most, size[first + lane, k])
            for a in range(arms):
                for j in range(d):
                    put(theta, a * d + j, get(state, a * d + j) + optimum[j])
                    put(total, a * d + j, doubles(0.0, LANES))
            for i in range(most):
                for lane in range(here):
                    at = ((first + lane) * steps + k) * pitch + i
                    inside = i < size[first + lane, k]
                    weights[lane] = weight[np.uint64(at)] if inside else 0.0
                    source = np.uint64(index[np.uint64(at)]) if inside else _0
                    for j in range(np.uint64(width)):
                        sample[j * np.uint64(LANES) + np.uint64(lane)] = samples[source, j]
                each = load(weights, _0, LANES)
                for a in range(arms):
                    position, sums = borrow(theta, a * items, items), borrow(total, a * items, items)
                    gradient(params, shape, sample, position, each, sums)
            for a in range(arms):
                regular(params, shape, borrow(theta, a * items, items), borrow(total, a * items, items))
                for j in range(d):
                    put(state, a * d + j, fma(-etas[a, column + k], get(total, a * d + j), get(state, a * d + j)))
        for a in range(arms):
            for lane in range(here):
                for j in range(d):
                    delta[a, row + first + lane, j] = state[(a * d + j) * LANES + lane]
        return np.int64(0)

    return named_after(gradient, advance)

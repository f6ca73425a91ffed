"""`own_pool` with samples and replicates side by side: the same numbers, if the gradient works on lanes.

A vector has SIDE successive samples of a batch for each of REPLICATES replicates. The rows that they have drawn are turned
into vectors, feature by feature, before each gradient; theta is the same for the samples of a replicate, so its vectors have a
lane a replicate and are read again and again. A turn adds its gradients to the sums of the batch on the way out of the user's
function (`lane_sums`).
"""

import numpy as np
from fastsgd.kernels._jit import inline
from fastsgd.kernels.lane_arrays import borrow_lanes, workspace
from fastsgd.kernels.lane_sums import lane_sums
from fastsgd.kernels.lanes import prefetch, store_columns
from fastsgd.kernels.own_functions import REPLICATES, SIDE, WEIGHTED, accumulate
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.vector import fma, load, store

_LANES = REPLICATES * SIDE
_0, _1, _2, _3, _4, _7, _8 = (np.uint64(i) for i in (0, 1, 2, 3, 4, 7, 8))
_V, _S, _W = np.uint64(REPLICATES), np.uint64(SIDE), np.uint64(REPLICATES * SIDE)


@inline
def _turned(pool, width, features, index, places, at, left, far, later, sample):
    """The rows of SIDE samples of each replicate, as vectors; `left` of the longest batch; ask for those from `later` on."""
    whole, rest = features & ~_7, features & _7
    for s in range(_S):
        # What a batch has not, is not added: any row will do.
        i = at + s if s < left else at
        for v in range(_0, _V, _8):
            if far:
                for u in range(v, v + _8):
                    row = np.uint64(index[places[u] + later + s]) * width
                    for j in range(_0, width, _8):
                        prefetch(pool, row + j, 2)
            o0, o1 = np.uint64(index[places[v] + i]) * width, np.uint64(index[places[v + _1] + i]) * width
            o2, o3 = np.uint64(index[places[v + _2] + i]) * width, np.uint64(index[places[v + _3] + i]) * width
            w = v + _4
            o4, o5 = np.uint64(index[places[w] + i]) * width, np.uint64(index[places[w + _1] + i]) * width
            o6, o7 = np.uint64(index[places[w + _2] + i]) * width, np.uint64(index[places[w + _3] + i]) * width
            to = s * _V + v
            for j in range(_0, whole, _8):
                store_columns(pool, o0 + j, o1 + j, o2 + j, o3 + j, o4 + j, o5 + j, o6 + j, o7 + j, sample, to, _W, 8)
                to += _8 * _W
            j = whole
            if rest > _4:
                store_columns(pool, o0 + j, o1 + j, o2 + j, o3 + j, o4 + j, o5 + j, o6 + j, o7 + j, sample, to, _W, 8)
            elif rest > _0:
                store_columns(pool, o0 + j, o1 + j, o2 + j, o3 + j, o4 + j, o5 + j, o6 + j, o7 + j, sample, to, _W, 4)


@parallel
def advance(
    block, delta, row, optimum, params, pool, features, level, pitch, index, weight, size, inverse, etas, column
):
    """Advance the replicates of one block of REPLICATES of a part of a segment, in place.

    delta float64[A, R, d] and row, the first replicate of the part; optimum float64[d]; params float64[m]; pool
    float64[n, width], rows of `features` numbers and zeros up to a whole cache line, aligned; level: of `caches`, rows from
    behind the second are asked for; index uint32, flat [replicates, steps, pitch] and some more, of the part, numbers of rows
    everywhere; weight float64 likewise (if WEIGHTED, else any); size int64[replicates, steps], samples of a batch (all
    the same if not WEIGHTED); inverse: what sums are multiplied by; etas float64[A, .] and column, where the part's steps
    begin in them.
    """
    arms, _, d = delta.shape
    replicates, steps = size.shape
    first = block * REPLICATES
    here = min(REPLICATES, replicates - first)
    flat, width = pool.reshape(-1), np.uint64(pool.shape[1])
    items = d * REPLICATES
    state, theta = workspace(arms * items), workspace(arms * items)
    sums, g, turned = workspace(3 * arms * items), workspace(d * _LANES), workspace(pool.shape[1] * _LANES)
    for at in range(arms * items):
        sums[at] = -0.0  # nothing, in sums: -0.0 + x is x
    order, sizes, weights = np.empty(_LANES), np.empty(_LANES), np.zeros(_LANES)
    places, most = np.zeros(_V, np.uint64), np.uint64(size[first, 0])
    for lane in range(_W):
        order[lane], sizes[lane] = np.float64(lane // _V), np.float64(most)
    for v in range(_V):
        places[v] = np.uint64((first + min(np.int64(v), here - 1)) * steps) * pitch
    for a in range(arms):
        for v in range(here):
            for j in range(d):
                state[(a * d + j) * REPLICATES + v] = delta[a, row + first + v, j]
        for j in range(d):
            at = np.uint64(a * items + j * REPLICATES)
            store(theta, at, load(state, at, REPLICATES) + optimum[j])
    for k in range(steps):
        if WEIGHTED:
            most = _0
            for v in range(_V):
                of = first + min(np.int64(v), here - 1)
                most = max(most, np.uint64(size[of, k]))
                for s in range(_S):
                    sizes[s * _V + v] = np.float64(size[of, k])
        before, total, other = 0, arms * items, 2 * arms * items
        for i in range(_0, most, _S):
            later = i + _S if i + _S < most else pitch
            ask = level == _2 and (later < pitch or k + 1 < steps)
            _turned(flat, width, np.uint64(features), index, places, i, most - i, ask, later, turned)
            live = load(order, _0, _LANES) < load(sizes, _0, _LANES) - np.float64(i)
            if WEIGHTED:
                for v in range(_V):
                    for s in range(_S):
                        weights[s * _V + v] = weight[places[v] + i + s]
            # Borrowed where they are used: nothing else keeps their memory.
            out, sample = borrow_lanes(g, 0, d, _LANES), borrow_lanes(turned, 0, features, _LANES)
            for a in range(arms):
                position = borrow_lanes(theta, a * items, d, REPLICATES)
                into = lane_sums(
                    sums, before + a * items, total + a * items, d, live, load(weights, _0, _LANES), REPLICATES, WEIGHTED
                )  # fmt: skip
                accumulate(position, sample, params, out, into)
            before, total, other = total, other, total
        for a in range(arms):
            minus_eta = -etas[a, column + k]
            for j in range(d):
                at = np.uint64(a * items + j * REPLICATES)
                ghat = load(sums, np.uint64(before) + at, REPLICATES) * inverse
                moved = fma(minus_eta, ghat, load(state, at, REPLICATES))
                store(state, at, moved)
                store(theta, at, moved + optimum[j])
        for v in range(_V):
            places[v] += pitch
    for a in range(arms):
        for v in range(here):
            for j in range(d):
                delta[a, row + first + v, j] = state[(a * d + j) * REPLICATES + v]
    return np.int64(0)

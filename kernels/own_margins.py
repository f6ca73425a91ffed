"""`own_pool` for a gradient that `lane_margins` has found a form of: eight samples of one replicate side by side.

    g_k = s x_{b+k} + t theta_{o+k},   g_c = e_c

A batch is gone through twice: for its numbers s, t, e_c, eight samples at a time, then for the sum of s x over the
batch, in the order of its draw and fused (`samples.add_up`). The sums of t and of the e_c are those of eight lanes, then
added as ((0+4)+(2+6)) + ((1+5)+(3+7)). Two replicates are side by side, because the operations of one wait for each other.
"""

import numpy as np
from fastsgd.kernels._jit import inline
from fastsgd.kernels.lane_arrays import workspace
from fastsgd.kernels.lane_rows import eight_rows, fetch_line
from fastsgd.kernels.own_functions import DIMENSION, EXTRAS, FEATURES, PULL, WEIGHTED, margins
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.samples import add_up, straight_sums
from fastsgd.kernels.vector import align_stack, doubles, fma, lane_numbers, load, select, store
from fastsgd.kernels.views import borrow

_BLOCK = 8  # replicates
_MORE = EXTRAS > 1 or PULL
_LINES = (FEATURES + 7) // 8
_STRAIGHT = 8  # cache lines of a row up to which code without loops pays
_0, _1, _2, _7, _8 = (np.uint64(i) for i in (0, 1, 2, 7, 8))
_NEAR = np.uint64(64)  # cache lines of a batch below which its rows are asked for two steps ahead


@inline
def _lanes_added(x, at):
    """The sum of eight successive elements."""
    return ((x[at] + x[at + 4]) + (x[at + 2] + x[at + 6])) + ((x[at + 1] + x[at + 5]) + (x[at + 3] + x[at + 7]))


@inline
def _fetch(flat, width, index, at, level):
    """Ask for eight rows, into a level of `caches`."""
    rows = eight_rows(flat, width, index, at, FEATURES)
    for j in range(_0, width, _8):
        if level == _2:
            fetch_line(rows, j, 2)
        else:
            fetch_line(rows, j, 1)


@parallel
def advance(
    block, delta, row, optimum, params, pool, features, level, pitch, index, weight, size, inverse, etas, column
):
    """Advance the replicates of one block of 8 of a part of a segment, in place. Arguments as in `own_lanes_pool`."""
    align_stack()
    arms, d = delta.shape[0], DIMENSION
    replicates, steps = size.shape
    first = block * _BLOCK
    here = min(_BLOCK, replicates - first)
    flat, width = pool.reshape(-1), np.uint64(8 * _LINES)
    room = (d + 7) // 8 * 8 + 8  # vectors may reach behind the last coordinate
    stride = (pitch + _7) & ~_7
    state, theta, centre = workspace(2 * arms * room), workspace(2 * arms * room), workspace(room)
    total, weights, extra = workspace(2 * pool.shape[1] + 24), workspace(2 * np.int64(stride)), workspace(16 * EXTRAS)
    sums, g = workspace(EXTRAS), workspace(room)
    centre[:d] = optimum
    ahead = _2 if np.uint64(size[first, 0]) * width < _8 * _NEAR else _1
    for pair in range(first, first + here, 2):
        alive = min(2, first + here - pair)
        for a in range(arms):
            for v in range(alive):
                at = (v * arms + a) * room
                for j in range(d):
                    state[at + j] = delta[a, row + pair + v, j]
                    theta[at + j] = optimum[j] + delta[a, row + pair + v, j]
        # Places depend on sizes and params alone; the gradient is asked at an iterate, since it may not end elsewhere.
        any_rows = eight_rows(flat, width, index, np.uint64(pair * steps) * pitch, FEATURES)
        _, _, low, high, start, places = margins(borrow(theta, 0, d), any_rows, params)
        for k in range(steps):
            most = np.uint64(size[pair, k])
            if WEIGHTED:
                most = max(most, np.uint64(size[pair + alive - 1, k]))
            here_0 = np.uint64(pair * steps + k) * pitch
            here_1 = np.uint64((pair + alive - 1) * steps + k) * pitch
            for a in range(arms):
                ask = level > _0 and a == 0 and k + np.int64(ahead) < steps
                for m in range(2 * EXTRAS if _MORE else 0):
                    store(extra, np.uint64(8 * m), doubles(0.0, 8))
                for i in range(_0, most, _8):
                    for v in range(alive):
                        place = np.uint64((pair + v) * steps + k) * pitch + i
                        if ask:
                            _fetch(flat, width, index, place + ahead * pitch, level)
                        rows = eight_rows(flat, width, index, place, FEATURES)
                        others, s, _, _, _, _ = margins(
                            borrow(theta, (v * arms + a) * room, d), rows, params
                        )  # fmt: skip
                        if WEIGHTED:
                            live = lane_numbers(8) + i < np.uint64(size[pair + v, k])
                            each = load(weight, place, 8)
                            store(weights, v * stride + i, select(live, s * each, 0.0))
                            for m in range(EXTRAS if _MORE else 0):
                                to = np.uint64((v * EXTRAS + m) * 8)
                                store(extra, to, load(extra, to, 8) + select(live, others[m] * each, 0.0))
                        else:
                            live = lane_numbers(8) + i < most
                            store(weights, v * stride + i, s)
                            for m in range(EXTRAS if _MORE else 0):
                                to = np.uint64((v * EXTRAS + m) * 8)
                                store(extra, to, load(extra, to, 8) + select(live, others[m], 0.0))
                if _LINES <= _STRAIGHT:
                    straight_sums(
                        _LINES, flat, index, here_0, here_1, most, weights, _0, np.uint64(alive - 1) * stride, total, _8
                    )
                else:
                    add_up(
                        flat, width, index, here_0, here_1, most, weights, _0, np.uint64(alive - 1) * stride, total, _8
                    )
                for v in range(alive):
                    at = np.uint64((v * arms + a) * room)
                    for m in range(EXTRAS if _MORE else 0):
                        sums[m] = _lanes_added(extra, 8 * (v * EXTRAS + m))
                    eta, of = etas[a, column + k], _8 + np.uint64(v) * width
                    _step(state, theta, at, centre, total, of, g, d, sums, places, low, high, start, inverse, eta)
        for a in range(arms):
            for v in range(alive):
                for j in range(d):
                    delta[a, row + pair + v, j] = state[(v * arms + a) * room + j]
    return np.int64(0)


@inline
def _step(state, theta, at, centre, total, of, g, d, sums, places, low, high, start, inverse, eta):
    """One step of one replicate and arm from the sums of its batch: of s x in total[of:], of t and the e_c in sums."""
    for j in range(_0, np.uint64(d), _8):
        store(g, j, doubles(0.0, 8))
    for j in range(np.uint64(low) & ~_7, np.uint64(high), _8):
        lanes = lane_numbers(8) + j
        inside = (lanes < np.uint64(high)) & (lanes >= np.uint64(low))
        x = load(total, of + j - np.uint64(low) + np.uint64(start), 8)
        if _MORE:
            x = fma(doubles(sums[0], 8), load(theta, at + j, 8), x)
        store(g, j, select(inside, x, 0.0))
    for m in range(1, EXTRAS):
        c = places[m] >> 1
        c += d if c < 0 else 0
        if not low <= c < high or places[m] & 1:
            g[c] = sums[m]
    for j in range(_0, np.uint64(d), _8):
        moved = fma(-eta, load(g, j, 8) * inverse, load(state, at + j, 8))
        moved = select(lane_numbers(8) + j < np.uint64(d), moved, 0.0)
        store(state, at + j, moved)
        store(theta, at + j, load(centre, j, 8) + moved)

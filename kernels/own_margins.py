"""`own_pool` for a gradient that `lane_margins` has found a form of: eight samples of one replicate side by side.

    g_k = s x_{b+k} + t theta_{o+k},   g_c = e_c

A batch is gone through twice: for its numbers s, t, e_c, eight samples at a time, then for the sum of s x over the
batch, in the order of its draw and fused (`samples.add_up`). The sums of t and of the e_c are those of eight lanes, then
added as ((0+4)+(2+6)) + ((1+5)+(3+7)). Two replicates are side by side, because the operations of one wait for each other.
"""

import numpy as np
from fastsgd.kernels._jit import inline
from fastsgd.kernels.draws import draw, make_scratch
from fastsgd.kernels.glm import place_in_ring
from fastsgd.kernels.lane_arrays import workspace
from fastsgd.kernels.lane_rows import eight_rows, fetch_line
from fastsgd.kernels.own_functions import DIMENSION, EXTRAS, FEATURES, PULL, WEIGHTED, margins
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.samples import add_up, straight_sums
from fastsgd.kernels.vector import align_stack, doubles, fma, lane_numbers, load, select, store
from fastsgd.kernels.views import borrow

_MORE = EXTRAS > 1 or PULL
_LINES = (FEATURES + 7) // 8
_STRAIGHT = 8  # cache lines of a row up to which code without loops pays
_0, _1, _2, _4, _7, _8 = (np.uint64(i) for i in (0, 1, 2, 4, 7, 8))
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
def advance(task, tasks, delta, row, optimum, params, pool, level, batches, inverse, etas, column):
    """Advance one of `tasks` shares of the replicates of a part of a segment, in place; arms share the batches.

    delta float64[A, R, d] and row, the first replicate of the part; optimum float64[d]; params float64[m]; pool
    float64[n, width], rows of FEATURES numbers and zeros up to a whole cache line, aligned; level: of `caches`, into which
    rows are asked; inverse: what sums are multiplied by; etas float64[A, .] and column, where the part's steps begin in them.
    batches: (pitch, index, weight, size) as in `own_lanes_pool` if WEIGHTED; else (plan, seed, first_replicate,
    first_step), how `draws` draws those of all replicates and steps.
    """
    align_stack()
    arms, d = delta.shape[0], DIMENSION
    flat, width = pool.reshape(-1), np.uint64(8 * _LINES)
    if WEIGHTED:
        pitch, index, weight, size = batches
        replicates, steps = size.shape
        apart, room_of_batch = np.uint64(steps) * pitch, (pitch + _7) & ~_7
        ahead = _2 if np.uint64(size[0, 0]) * width < _8 * _NEAR else _1
    else:
        plan, seed, first_replicate, first_step = batches
        replicates, steps = delta.shape[1], etas.shape[1]
        index, scratch, weight = np.zeros(_4 * plan.size, np.uint32), make_scratch(plan), optimum
        apart, room_of_batch = _2 * plan.size, (plan.b + _7) & ~_7
        ahead = _2 if plan.b * width < _8 * _NEAR else _1
    room = (d + 7) // 8 * 8 + 8  # vectors may reach behind the last coordinate
    state, theta, centre = workspace(2 * arms * room), workspace(2 * arms * room), workspace(room)
    total, weights = workspace(2 * pool.shape[1] + 24), workspace(2 * np.int64(room_of_batch))
    extra, sums, g = workspace(16 * EXTRAS), workspace(EXTRAS), workspace(room)
    centre[:d] = optimum
    groups = (replicates + 1) // 2
    for group in range(groups * task // tasks, groups * (task + 1) // tasks):
        pair = 2 * group
        alive = min(2, replicates - pair)
        origin = np.uint64(pair) * apart if WEIGHTED else _0
        for a in range(arms):
            for v in range(alive):
                at = (v * arms + a) * room
                for j in range(d):
                    state[at + j] = delta[a, row + pair + v, j]
                    theta[at + j] = optimum[j] + delta[a, row + pair + v, j]
        # Places depend on sizes and params alone; the gradient is asked at an iterate, since it may not end elsewhere.
        any_rows = eight_rows(flat, width, index, origin, FEATURES)
        _, _, low, high, start, places = margins(borrow(theta, 0, d), any_rows, params)
        begin, drawn = _0, _0
        while begin < np.uint64(steps):
            end = np.uint64(steps)
            if not WEIGHTED:
                # As in `glm.fly`.
                while drawn < np.uint64(steps) and drawn <= begin + ahead:
                    for v in range(np.uint64(alive)):
                        draw(
                            plan, scratch, seed, first_replicate + np.uint64(pair) + v, first_step + drawn,
                            min(plan.steps, np.uint64(steps) - drawn), index, v * apart + place_in_ring(plan, drawn),
                        )  # fmt: skip
                    drawn += plan.steps
                end = end if drawn >= end else drawn - ahead
            for k in range(begin, end):
                if WEIGHTED:
                    most = np.uint64(max(size[pair, k], size[pair + alive - 1, k]))
                    here, later = origin + k * pitch, origin + (k + ahead) * pitch
                else:
                    most = plan.b
                    here, later = place_in_ring(plan, k), place_in_ring(plan, k + ahead)
                for a in range(arms):
                    ask = level > _0 and a == 0 and (not WEIGHTED or k + ahead < end)
                    for m in range(2 * EXTRAS if _MORE else 0):
                        store(extra, np.uint64(8 * m), doubles(0.0, 8))
                    for i in range(_0, most, _8):
                        for v in range(np.uint64(alive)):
                            place = here + v * apart + i
                            if ask:
                                _fetch(flat, width, index, later + v * apart + i, level)
                            rows = eight_rows(flat, width, index, place, FEATURES)
                            position = borrow(theta, (np.int64(v) * arms + a) * room, d)
                            others, s, _, _, _, _ = margins(position, rows, params)
                            to = v * room_of_batch + i
                            if WEIGHTED:
                                live = lane_numbers(8) + i < np.uint64(size[pair + np.int64(v), k])
                                each = load(weight, place, 8)
                                store(weights, to, select(live, s * each, 0.0))
                                for m in range(EXTRAS if _MORE else 0):
                                    of = (v * np.uint64(EXTRAS) + np.uint64(m)) * _8
                                    store(extra, of, load(extra, of, 8) + select(live, others[m] * each, 0.0))
                            else:
                                live = lane_numbers(8) + i < most
                                store(weights, to, s)
                                for m in range(EXTRAS if _MORE else 0):
                                    of = (v * np.uint64(EXTRAS) + np.uint64(m)) * _8
                                    store(extra, of, load(extra, of, 8) + select(live, others[m], 0.0))
                    last = np.uint64(alive - 1)
                    here_1, of_1 = here + last * apart, last * room_of_batch
                    if _LINES <= _STRAIGHT:
                        straight_sums(_LINES, flat, index, here, here_1, most, weights, _0, of_1, total, _8)
                    else:
                        add_up(flat, width, index, here, here_1, most, weights, _0, of_1, total, _8)
                    for v in range(alive):
                        at = np.uint64((v * arms + a) * room)
                        for m in range(EXTRAS if _MORE else 0):
                            sums[m] = _lanes_added(extra, 8 * (v * EXTRAS + m))
                        eta, of = etas[a, column + np.int64(k)], _8 + np.uint64(v) * width
                        _step(state, theta, at, centre, total, of, g, d, sums, places, low, high, start, inverse, eta)
            begin = end
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

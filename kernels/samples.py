"""Batches of rows of a packed pool: margins and derivatives of the loss eight samples at a time, sums, and the step.

A row is a multiple of 8 doubles, aligned to a cache line: features, zeros, and the target last; `width` is its length.
`ring` (uint32) holds batches of row numbers; what stands behind a batch must be row numbers of the pool too.
"""

import numpy as np

from ._jit import inline, leaf
from .lanes import gather_rows, lane_sums, panel_dot, panel_dots, panel_gather, prefetch_rows
from .links import residual
from .rows import dot_eight, fetch_eight, last_of_eight
from .vector import fma, lane_numbers, load, panel_store, panel_zero, select, store

_0, _1, _2, _3, _8 = (np.uint64(i) for i in (0, 1, 2, 3, 8))


@inline
def _find(ring, at, width, rows):
    """rows[:8]: where the rows of the samples ring[at : at + 8] begin in the pool."""
    for i in range(_8):
        rows[i] = np.uint64(ring[at + i]) * width


@inline
def _fetch(pool, rows, width, level):
    """Ask for eight rows, into a level of `caches`."""
    if level == _1:
        for j in range(_0, width, _8):
            prefetch_rows(pool, rows, j, 1)
    elif level == _2:
        for j in range(_0, width, _8):
            prefetch_rows(pool, rows, j, 2)


@leaf
def derivatives(family, pool, width, ring, at, later, apart, alive, level, b, theta, origin, rows, stride, out):
    """dl/dz at the batches of `alive` replicates, replicate after replicate for each eight samples.

    Batch v stands at ring[at + v apart :], the one to ask for at ring[later + v apart :] (into which level of `caches`: 0
    for none), its iterate at theta[origin + v width :], its results go to out[v stride : v stride + b]; out has room for
    whole eights, what stands there beyond b has no meaning. rows: uint64[8], working memory.
    """
    for i in range(_0, b, _8):
        for v in range(alive):
            place = v * apart + i
            if level > _0:
                _find(ring, later + place, width, rows)
                _fetch(pool, rows, width, level)
            _find(ring, at + place, width, rows)
            p, start = panel_zero(8, 8), origin + v * width
            for j in range(_0, width, _8):
                p = panel_dot(p, pool, rows, j, load(theta, start + j, 8))
            store(out, v * stride + i, residual(family, lane_sums(p), gather_rows(pool, rows, width - _1)))


def _adder(lines):
    """Sums of `lines` cache lines of coordinates, from coordinate j on, for two batches side by side."""

    @inline
    def add(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, j, out, to):
        first, second = panel_zero(lines, 8), panel_zero(lines, 8)
        for i in range(b):
            first = panel_gather(first, pool, np.uint64(ring[at_0 + i]) * width + j, weights[of_0 + i])
            second = panel_gather(second, pool, np.uint64(ring[at_1 + i]) * width + j, weights[of_1 + i])
        panel_store(out, to + j, first)
        panel_store(out, to + width + j, second)

    return add


_add_4 = _adder(4)
_add_3 = _adder(3)
_add_2 = _adder(2)
_add_1 = _adder(1)


@leaf
def add_up(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, out, to):
    """out[to + v width + j] = sum over batch v of weights[of_v + i] x_ij, in the order of the batch; v = 0, 1."""
    j = _0
    while j + np.uint64(32) <= width:
        _add_4(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, j, out, to)
        j += np.uint64(32)
    rest = (width - j) >> _3
    if rest == _3:
        _add_3(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, j, out, to)
    elif rest == _2:
        _add_2(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, j, out, to)
    elif rest == _1:
        _add_1(pool, width, ring, at_0, at_1, b, weights, of_0, of_1, j, out, to)


# ---- the batches of several replicates: one of three ways ------------------------------------------------------------
#
# Each melts into the steps of `glm`: `derivatives` to weights, and their sums over the batch of replicate v to
# total[v width :]. rows, places: uint64[8], working memory.


@inline
def straight_sums(lines, pool, ring, at_0, at_1, b, weights, of_0, of_1, out, to):
    """`add_up` for rows of `lines` (a constant) cache lines."""
    length = np.uint64(8 * lines)
    first, second = panel_zero(lines, 8), panel_zero(lines, 8)
    for i in range(b):
        first = panel_gather(first, pool, np.uint64(ring[at_0 + i]) * length, weights[of_0 + i])
        second = panel_gather(second, pool, np.uint64(ring[at_1 + i]) * length, weights[of_1 + i])
    panel_store(out, to, first)
    panel_store(out, to + length, second)


@inline
def straight(lines, family, alive, pool, ring, at, later, apart, level, b, theta, origin, stride, weights, total):
    """For up to two replicates and rows of `lines` (a constant) cache lines: code without inner loops."""
    length = np.uint64(8 * lines)
    for i in range(_0, b, _8):
        for v in range(alive):
            place = v * apart + i
            if level == _1:
                fetch_eight(pool, ring, later + place, lines, 1)
            elif level == _2:
                fetch_eight(pool, ring, later + place, lines, 2)
            p = dot_eight(pool, ring, at + place, lines, theta, origin + v * length)
            y = last_of_eight(pool, ring, at + place, lines)
            store(weights, v * stride + i, residual(family, lane_sums(p), y))
    # One alone is added up beside itself.
    last = alive - _1
    straight_sums(lines, pool, ring, at, at + last * apart, b, weights, _0, last * stride, total, _0)


@inline
def _add_up_all(alive, pool, width, ring, at, apart, b, stride, weights, total):
    """Sums over the batch of each replicate, two at a time; one alone is added up beside itself."""
    for v in range(_0, alive, _2):
        w = min(v + _1, alive - _1)
        at_0, at_1 = at + v * apart, at + w * apart
        add_up(pool, width, ring, at_0, at_1, b, weights, v * stride, w * stride, total, v * width)


@inline
def wide(family, alive, pool, width, ring, at, later, apart, level, b, theta, origin, rows, stride, weights, total):
    """For rows of any length."""
    derivatives(family, pool, width, ring, at, later, apart, alive, level, b, theta, origin, rows, stride, weights)
    _add_up_all(alive, pool, width, ring, at, apart, b, stride, weights, total)


@inline
def together(
    family, alive, pool, width, ring, at, later, apart, level, b, theta, origin, rows, places, stride, weights, total
):
    """For batches of b = stride = 1 or 2 samples of up to 8 / b replicates, in one vector."""
    if level > _0:
        for i in range(_8):
            rows[i] = np.uint64(ring[later + i // stride * apart + i % stride]) * width
        _fetch(pool, rows, width, level)
    for i in range(_8):
        rows[i] = np.uint64(ring[at + i // stride * apart + i % stride]) * width
        places[i] = origin + i // stride * width
    p = panel_zero(8, 8)
    for j in range(_0, width, _8):
        p = panel_dots(p, pool, rows, j, theta, places)
    store(weights, _0, residual(family, lane_sums(p), gather_rows(pool, rows, width - _1)))
    _add_up_all(alive, pool, width, ring, at, apart, b, stride, weights, total)


@inline
def step(state, theta, at, centre, total, of, width, d, ridge, scale, eta):
    """One step of one replicate and arm, state (Delta) and theta at `at`, from its summed gradient at total[of:]."""
    for j in range(_0, width, _8):
        g = fma(ridge, load(theta, at + j, 8), load(total, of + j, 8) * scale)
        # The sum also ran over the target, which is no coordinate.
        delta = select(lane_numbers(8) + j < d, fma(-eta, g, load(state, at + j, 8)), 0.0)
        store(state, at + j, delta)
        store(theta, at + j, load(centre, j, 8) + delta)

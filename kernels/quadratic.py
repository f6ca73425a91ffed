"""SGD on a quadratic with Gaussian gradient noise, in the eigenbasis of the Hessian.

One step of one replicate, with Delta = theta - theta*, H = diag(lam) and C C' = G / b (equation (36)):

    Delta <- Delta + eta (C z - lam * Delta),    z ~ N(0, I)

A dense H costs no more: an orthogonal change of coordinates diagonalises it once, before the run. Several arms that
share their draws (common random numbers) differ in C, lam and eta and pay for z once.

A block of `LANES` replicates runs a whole time segment before the next block starts; its state and its z stay in the
first-level cache. C is packed in panels of rows (`pack`), whose accumulators stay in registers.
"""

import numpy as np

from ._jit import LANES, inline, jit
from .normal import fill_steps
from .parallel import parallel
from .vector import (
    fma,
    lane_numbers,
    load,
    panel_axpy,
    panel_fma,
    panel_load,
    panel_scale,
    panel_store,
    panel_triangle,
    store,
)

_W = np.uint64(LANES)
_1 = np.uint64(1)

_PANELS = (8, 4, 2, 1) if LANES >= 16 else (4, 2, 1)
_TALL = np.uint64(_PANELS[0])
_TOGETHER = 32  # normals a replicate that are made before they are used


def panels(dimension):
    """Heights of the panels that cover `dimension` rows, top to bottom: the tallest first, then a remainder."""
    tallest = _PANELS[0]
    heights = [tallest] * (dimension // tallest)
    rest = dimension % tallest
    return heights + [h for h in _PANELS[1:] if rest & h]


def pack(factors):
    """Lower triangular factors C[a, d, d] of all arms as the kernel reads them.

    Returns (coefficients, starts): each panel of rows is stored column by column, from its first column that is not zero
    in any of its rows and in any arm (`starts`, one per panel; a diagonal C costs d, not d^2/2).
    """
    arms, dimension, _ = factors.shape
    starts = []
    pieces = [[] for _ in range(arms)]
    top = 0
    for height in panels(dimension):
        rows = factors[:, top : top + height, : top + height]
        used = np.flatnonzero((rows != 0.0).any(axis=(0, 1)))
        start = min(int(used[0]) if used.size else top, top)
        starts.append(start)
        for arm in range(arms):
            pieces[arm].append(rows[arm, :, start:].T.ravel())
        top += height
    return np.stack([np.concatenate(p) for p in pieces]), np.array(starts, dtype=np.uint64)


def _rows(height):
    """One panel of `height` rows of the recursion, as a function that melts into the step."""

    @inline
    def rows(top, start, at, coefficients, minus_lam, eta, z, source, delta, offset):
        row = offset + top * _W
        position = panel_load(height, delta, row, LANES)
        drift = panel_scale(minus_lam, top, position)
        for j in range(start, top):
            drift = panel_fma(drift, 0, coefficients, at, load(z, source + np.uint64(j) * _W, LANES))
            at += np.uint64(height)
        drift = panel_triangle(drift, coefficients, at, z, source + top * _W)
        panel_store(delta, row, panel_axpy(eta, drift, position))
        return at + np.uint64(height * height)

    return rows


_rows_8 = _rows(8)
_rows_4 = _rows(4)
_rows_2 = _rows(2)
_rows_1 = _rows(1)


@inline
def _step(dimension, coefficients, starts, minus_lam, eta, z, source, delta, offset):
    """Delta <- Delta + eta (C z - lam Delta) for one arm of one block."""
    at = np.uint64(0)
    top = np.uint64(0)
    panel = np.uint64(0)
    while top + _TALL <= dimension:
        if np.uint64(8) == _TALL:
            at = _rows_8(top, starts[panel], at, coefficients, minus_lam, eta, z, source, delta, offset)
        else:
            at = _rows_4(top, starts[panel], at, coefficients, minus_lam, eta, z, source, delta, offset)
        top += _TALL
        panel += _1
    rest = dimension - top
    if rest & np.uint64(4):
        at = _rows_4(top, starts[panel], at, coefficients, minus_lam, eta, z, source, delta, offset)
        top += np.uint64(4)
        panel += _1
    if rest & np.uint64(2):
        at = _rows_2(top, starts[panel], at, coefficients, minus_lam, eta, z, source, delta, offset)
        top += np.uint64(2)
        panel += _1
    if rest & _1:
        _rows_1(top, starts[panel], at, coefficients, minus_lam, eta, z, source, delta, offset)


@jit
def _advance_two(minus_lam, coefficients, eta, z, steps, first, state):
    """`steps` steps of a block in two dimensions (one arm) with the state in registers; the operations are those of `_step`."""
    x = load(state, np.uint64(0), LANES)
    y = load(state, _W, LANES)
    at = np.uint64(0)
    for k in range(first, first + steps):
        z0 = load(z, at, LANES)
        z1 = load(z, at + _W, LANES)
        drift_x = fma(coefficients[0], z0, minus_lam[0] * x)
        drift_y = fma(coefficients[3], z1, fma(coefficients[1], z0, minus_lam[1] * y))
        x = fma(eta[k], drift_x, x)
        y = fma(eta[k], drift_y, y)
        at += np.uint64(2) * _W
    store(state, np.uint64(0), x)
    store(state, _W, y)


@inline
def steps_together(dimension):
    """How many steps' normals are made before they are used: in few dimensions one step gives too little to overlap."""
    return max(1, _TOGETHER // (dimension + dimension % 2))


@inline
def run_steps(minus_lam, coefficients, starts, eta, z, first, steps, rows, state):
    """Steps first .. first + steps - 1 of all arms of one block, with their normals in z.

    state: flat [arm, rows >= d, LANES]; eta: float64[A, K].
    """
    arms, dimension = minus_lam.shape
    d = np.uint64(dimension)
    if arms == 1 and dimension == 2 and starts[0] == 0:
        _advance_two(minus_lam[0], coefficients[0], eta[0], z, steps, first, state)
        return
    stride = np.uint64(dimension + dimension % 2) * _W
    for k in range(steps):
        source = np.uint64(k) * stride
        for a in range(arms):
            offset = np.uint64(a * rows) * _W
            _step(d, coefficients[a], starts, minus_lam[a], eta[a, first + k], z, source, state, offset)


@inline
def load_block(delta, begin, rows, state):
    """Copy replicates begin .. of delta [A, R, d] into the lanes of state, flat [arm, rows, LANES]."""
    arms, replicates, dimension = delta.shape
    for a in range(arms):
        for lane in range(min(LANES, replicates - begin)):
            for i in range(dimension):
                state[(a * rows + i) * LANES + lane] = delta[a, begin + lane, i]


@inline
def store_block(state, begin, rows, delta):
    """The inverse of `load_block`."""
    arms, replicates, dimension = delta.shape
    for a in range(arms):
        for lane in range(min(LANES, replicates - begin)):
            for i in range(dimension):
                delta[a, begin + lane, i] = state[(a * rows + i) * LANES + lane]


@parallel
def _advance_blocks(block, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, delta):
    """Run the replicates of one block (rows block * LANES ... of delta) through the steps of a segment."""
    arms, _, dimension = delta.shape
    begin = block * LANES
    chunk = steps_together(dimension)
    z = np.empty(chunk * (dimension + 1) * LANES)
    state = np.zeros(arms * dimension * LANES)
    load_block(delta, begin, dimension, state)
    numbers = lane_numbers(LANES) + (replicate + np.uint64(begin))
    for first in range(0, eta.shape[1], chunk):
        steps = min(chunk, eta.shape[1] - first)
        fill_steps(steps, dimension, purpose, numbers, first_step + np.uint64(first), seed, z)
        run_steps(minus_lam, coefficients, starts, eta, z, first, steps, dimension, state)
    store_block(state, begin, dimension, delta)
    return np.int64(0)


def advance_quadratic(minus_lam, coefficients, starts, eta, seed, purpose, first_replicate, first_step, delta):
    """Run replicates first_replicate ... through steps first_step ... of the recursion, in place.

    minus_lam     float64[A, d]    minus the eigenvalues of H
    coefficients  float64[A, m]    C of each arm, from `pack`
    starts        uint64[panels]   from `pack`
    eta           float64[A, K]    step size of each step
    seed, purpose, first_replicate, first_step: uint64
    delta         float64[A, R, d] Delta in the eigenbasis of H, overwritten
    """
    blocks = -(-delta.shape[1] // LANES)
    return _advance_blocks(
        blocks, minus_lam, coefficients, starts, eta, seed, purpose, first_replicate, first_step, delta
    )


def add_normals(factors, seed, purpose, first_replicate, delta):
    """Add C z to every row of delta float64[A, R, d], with lower triangular C = factors[a] and z ~ N(0, I) of step 0.

    One step of the recursion with lam = 0 and eta = 1 does exactly that, with code that a run has compiled anyway.
    """
    arms, _, dimension = delta.shape
    coefficients, starts = pack(factors)
    still, one, zero = np.zeros((arms, dimension)), np.ones((arms, 1)), np.uint64(0)
    return advance_quadratic(
        still, coefficients, starts, one, np.uint64(seed), purpose, np.uint64(first_replicate), zero, delta
    )

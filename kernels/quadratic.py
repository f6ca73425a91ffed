"""SGD on a quadratic with Gaussian gradient noise, in the eigenbasis of the Hessian.

One step of one replicate, with Delta = theta - theta*, H = diag(lam) and C C' = G / b (equation (36)):

    Delta <- Delta + eta (C z - lam * Delta),    z ~ N(0, I)

A dense H costs no more: an orthogonal change of coordinates diagonalises it once, before the run. Several arms that
share their draws (common random numbers) differ in C, lam and eta and pay for z once.

A block of `LANES` replicates runs a whole time segment before the next block starts; its state and its z stay in the
first-level cache. C is packed in panels of rows (`pack`), whose accumulators stay in registers.
"""

import functools

import numpy as np
from numba import typeof
from numba.core import types

from ._jit import LANES, inline, leaf
from .normal import (
    KEPT,
    address,
    fill_normals,
    load_words,
    low_words,
    normals,
    normals_and_next,
    start_words,
    store_words,
    turn_of,
)
from .normal_single import fill_single, four_and_next
from .parallel import address_of_types, call, parallel
from .philox import PURPOSE_SINGLE, round_keys
from .sampling import Samples, lay_out, no_samples
from .vector import (
    align_stack,
    doubles,
    fma,
    load,
    panel_axpy,
    panel_fma,
    panel_load,
    panel_scale,
    panel_store,
    panel_triangle,
    store,
)
from .views import workspaces

_W = np.uint64(LANES)
_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)

_PANELS = (8, 4, 2, 1) if LANES >= 16 else (4, 2, 1)
_TALL = np.uint64(_PANELS[0])


def panels(dimension):
    """Heights of the panels that cover `dimension` rows, top to bottom.

    The low ones stand first, where the rows are short: a low panel has too few accumulators to hide latencies.
    """
    tallest = _PANELS[0]
    rest = dimension % tallest
    return [h for h in _PANELS[1:] if rest & h] + [tallest] * (dimension // tallest)


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
    def rows(top, start, at, coefficients, minus_lam, eta, z, delta, offset):
        row = offset + top * _W
        position = panel_load(height, delta, row, LANES)
        drift = panel_scale(minus_lam, top, position)
        for j in range(start, top):
            drift = panel_fma(drift, 0, coefficients, at, load(z, np.uint64(j) * _W, LANES))
            at += np.uint64(height)
        drift = panel_triangle(drift, coefficients, at, z, top * _W)
        panel_store(delta, row, panel_axpy(eta, drift, position))
        return at + np.uint64(height * height)

    return rows


_rows_8 = _rows(8)
_rows_4 = _rows(4)
_rows_2 = _rows(2)
_rows_1 = _rows(1)


@inline
def _step(dimension, coefficients, starts, minus_lam, eta, z, delta, offset):
    """Delta <- Delta + eta (C z - lam Delta) for one arm of one block."""
    at = _0
    top = _0
    panel = _0
    if dimension % _TALL & np.uint64(4):
        at = _rows_4(top, starts[panel], at, coefficients, minus_lam, eta, z, delta, offset)
        top += np.uint64(4)
        panel += _1
    if dimension & np.uint64(2):
        at = _rows_2(top, starts[panel], at, coefficients, minus_lam, eta, z, delta, offset)
        top += np.uint64(2)
        panel += _1
    if dimension & _1:
        at = _rows_1(top, starts[panel], at, coefficients, minus_lam, eta, z, delta, offset)
        top += _1
        panel += _1
    while top < dimension:
        if np.uint64(8) == _TALL:
            at = _rows_8(top, starts[panel], at, coefficients, minus_lam, eta, z, delta, offset)
        else:
            at = _rows_4(top, starts[panel], at, coefficients, minus_lam, eta, z, delta, offset)
        top += _TALL
        panel += _1


def _two(sampled, single):
    """`_any` of one arm in two dimensions, with normals and state in registers; the operations are those of `_step`."""

    @leaf
    def run_two(
        begin, steps, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, words, z, rows, state,
        samples,
    ):  # fmt: skip
        align_stack()
        keys = round_keys(seed & _LOW, seed >> _32)
        lanes = low_words(replicate)
        w = load_words(words)
        x = load(state, _0, LANES)
        y = load(state, _W, LANES)
        until, number = samples.until, 0
        step = first_step
        for k in range(begin, begin + steps):
            step += _1
            following = address(purpose, replicate, lanes, step, keys)
            if single == 1:
                z0, z1, _, _, w = four_and_next(w, following, _0, keys)
            else:
                z0, z1, w = normals_and_next(w, following, _0, keys)
            drift_x = fma(coefficients[0, 0], z0, minus_lam[0, 0] * x)
            drift_y = fma(coefficients[0, 3], z1, fma(coefficients[0, 1], z0, minus_lam[0, 1] * y))
            x = fma(eta[0, k], drift_x, x)
            y = fma(eta[0, k], drift_y, y)
            if sampled == 1:
                until -= 1
                if until == 0:
                    store(state, _0, x)
                    store(state, _W, y)
                    lay_out(state, 1, rows, samples, number)
                    until, number = samples.thin, number + 1
        store_words(w, words)
        store(state, _0, x)
        store(state, _W, y)
        return np.int64(0)

    return run_two


def _any(sampled, single):
    """Steps first_step .. first_step + steps - 1 of all arms of one block, with eta[:, begin ...].

    replicate: of the first lane; words: of first_step (`start_words`), then of the step after the last; z: room for the
    normals of a step; state: flat [arm, rows >= d, LANES]; samples: what is to be kept of the iterates on the way if
    `sampled`. A recursion that keeps nothing is compiled apart: it is up to a tenth faster.
    """

    @leaf
    def run_any(
        begin, steps, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, words, z, rows, state,
        samples,
    ):  # fmt: skip
        align_stack()
        arms, dimension = minus_lam.shape
        d = np.uint64(dimension)
        blocks = (d + _3) >> _2 if single == 1 else (d + _1) >> _1
        lanes = low_words(replicate)
        w = load_words(words)
        until, number = samples.until, 0
        step = first_step
        now = address(purpose, replicate, lanes, step, words)
        for k in range(begin, begin + steps):
            step += _1
            following = address(purpose, replicate, lanes, step, words)
            if single == 1:
                w = fill_single(_0, blocks, w, now, following, _0, words, _0, z)
            else:
                w = fill_normals(_0, blocks, w, now, following, _0, words, _0, z)
            now = following
            for a in range(arms):
                offset = np.uint64(a * rows) * _W
                _step(d, coefficients[a], starts, minus_lam[a], eta[a, k], z, state, offset)
            if sampled == 1:
                until -= 1
                if until == 0:
                    lay_out(state, arms, rows, samples, number)
                    until, number = samples.thin, number + 1
        store_words(w, words)
        return np.int64(0)

    return run_any


@functools.cache
def _code(two, sampled, single, *kinds):
    numbers, flat = types.Array(types.uint64, 1, "C"), types.Array(types.float64, 1, "C")
    run = (_two if two else _any)(int(sampled), int(single))
    samples = typeof(no_samples(np.zeros(0)))
    return address_of_types(
        run, (types.int64, types.int64, *kinds, *[types.uint64] * 4, numbers, flat, types.int64, flat, samples)
    )


def code_for(minus_lam, coefficients, starts, eta, purpose, sampled=False):
    """Address of the recursion for arms as in `advance_quadratic`, compiled when first wanted: `run_steps` calls it."""
    two = minus_lam.shape == (1, 2) and starts[0] == 0
    return _code(two, sampled, purpose == PURPOSE_SINGLE, *(typeof(x) for x in (minus_lam, coefficients, starts, eta)))


@inline
def run_steps(
    code,
    begin,
    steps,
    minus_lam,
    coefficients,
    starts,
    eta,
    seed,
    purpose,
    replicate,
    first_step,
    words,
    z,
    rows,
    state,
    samples,
):
    """As `_any`, with its `code_for` these arms."""
    call(code, begin, (
        steps, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, words, z, rows, state,
        samples,
    ))  # fmt: skip


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
def _advance_blocks(block, code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, delta):
    """Run the replicates of one block (rows block * LANES ... of delta) through the steps of a segment."""
    arms, _, dimension = delta.shape
    begin = block * LANES
    z, state = workspaces((dimension + 3) * LANES, arms * dimension * LANES)
    words = np.empty(KEPT, np.uint64)
    load_block(delta, begin, dimension, state)
    first = replicate + np.uint64(begin)
    start_words(seed, purpose, first, first_step, words)
    run_steps(
        code, np.int64(0), eta.shape[1], minus_lam, coefficients, starts, eta, seed, purpose, first, first_step, words, z,
        dimension, state, Samples(np.int64(0), np.int64(0), z, _0, _0, _0),
    )  # fmt: skip
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
    replicates = delta.shape[1]
    turn = turn_of(first_replicate, replicates)
    if turn:
        for part, first in ((slice(0, turn), first_replicate), (slice(turn, None), first_replicate + np.uint64(turn))):
            rows = np.ascontiguousarray(delta[:, part])
            advance_quadratic(minus_lam, coefficients, starts, eta, seed, purpose, first, first_step, rows)
            delta[:, part] = rows
        return 0
    blocks = -(-replicates // LANES)
    recursion = (minus_lam, coefficients, starts, eta)
    return _advance_blocks(
        blocks, code_for(*recursion, purpose), *recursion, seed, purpose, first_replicate, first_step, delta
    )  # fmt: skip


@parallel
def _add_blocks(block, factors, seed, purpose, replicate, delta):
    """`add_normals` to the replicates of one block."""
    arms, replicates, dimension = delta.shape
    begin, d = block * LANES, np.uint64(dimension)
    z, total = workspaces((dimension + 1) * LANES, LANES)
    normals(seed, purpose, replicate + np.uint64(begin), _0, d, z)
    for a in range(arms):
        for i in range(d):
            x = doubles(0.0, LANES)
            for j in range(i + _1):
                x = fma(factors[a, i, j], load(z, np.uint64(j) * _W, LANES), x)
            store(total, _0, x)
            for lane in range(min(LANES, replicates - begin)):
                delta[a, begin + lane, i] += total[lane]
    return np.int64(0)


def add_normals(factors, seed, purpose, first_replicate, delta):
    """Add C z to every row of delta float64[A, R, d], with lower triangular C = factors[a] and z ~ N(0, I) of step 0."""
    replicates, first = delta.shape[1], int(first_replicate)
    turn = turn_of(first, replicates)
    if turn:
        for part, begin in ((slice(0, turn), first), (slice(turn, None), first + turn)):
            rows = np.ascontiguousarray(delta[:, part])
            add_normals(factors, seed, purpose, begin, rows)
            delta[:, part] = rows
        return 0
    return _add_blocks(-(-replicates // LANES), factors, np.uint64(seed), purpose, np.uint64(first), delta)

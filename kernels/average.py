"""Time averages of a run: moments of the iterates after a burn-in, every `thin` steps, while the recursion goes on.

Replicates are taken in groups of `GROUP`. A group's sums over samples and replicates (of Delta and of Delta Delta', in
working coordinates) stay in cache; each replicate's risk is summed over batches of successive samples, from whose scatter
errors and autocorrelation are estimated.

Sample m (m = 0, 1, ...) is taken after step burn_in + (m + 1) thin. Second moments are kept as tiles of 4 rows by 8 columns
of the lower triangle (`tiles`, `untile`), each updated in registers by all replicates of a sample.
"""

import numpy as np

from ._jit import LANES, inline, leaf
from .normal import start_words
from .parallel import parallel
from .quadratic import code_for, load_block, run_steps, store_block
from .vector import (
    doubles,
    fma,
    load,
    panel_fma,
    panel_fma_rows,
    panel_load,
    panel_row,
    panel_scale,
    panel_store,
    panel_zero,
    reduce_add,
    store,
    store_transposed,
)
from .views import workspaces

GROUP = 16

_1 = np.uint64(1)
_4 = np.uint64(4)
_8 = np.uint64(8)
_TILE = np.uint64(32)
_PARTS = GROUP // LANES


def padded(dimension):
    """Coordinates with room for whole vectors of eight."""
    return -(-dimension // 8) * 8


def tiles(dimension):
    """Length of the tiled lower triangle."""
    return 32 * sum(top // 8 + 1 for top in range(0, dimension, 4))


def untile(second, dimension):
    """Symmetric [..., d, d] from tiled lower triangles [..., tiles(d)]."""
    side = padded(dimension)
    square = np.zeros((*second.shape[:-1], side, side))
    at = 0
    for top in range(0, dimension, 4):
        for left in range(0, top + 4, 8):
            square[..., top : top + 4, left : left + 8] = second[..., at : at + 32].reshape(*second.shape[:-1], 4, 8)
            at += 32
    lower = np.tril(square[..., :dimension, :dimension])
    return lower + np.swapaxes(np.tril(lower, -1), -1, -2)


@leaf
def _sums(x, rows, dimension, first, second):
    """Add `rows` iterates (rows of the flat x, padded) to the sums of Delta and Delta Delta'."""
    side = np.uint64((dimension + 7) // 8 * 8)
    for left in range(np.uint64(0), side, _8):
        total = load(first, np.uint64(left), 8)
        for r in range(rows):
            total = total + load(x, np.uint64(r) * side + np.uint64(left), 8)
        store(first, np.uint64(left), total)
    at = np.uint64(0)
    for top in range(np.uint64(0), np.uint64(dimension), _4):
        end = np.uint64(top) + _4
        left = np.uint64(0)
        while left + _8 < end:  # two tiles together hide more of the latency of a fused multiply-add
            tile = panel_load(4, second, at, 8)
            beside = panel_load(4, second, at + _TILE, 8)
            for r in range(rows):
                row = np.uint64(r) * side
                tile = panel_fma(tile, 0, x, row + np.uint64(top), load(x, row + left, 8))
                beside = panel_fma(beside, 0, x, row + np.uint64(top), load(x, row + left + _8, 8))
            panel_store(second, at, tile)
            panel_store(second, at + _TILE, beside)
            at += _TILE + _TILE
            left += _8 + _8
        if left < end:
            tile = panel_load(4, second, at, 8)
            for r in range(rows):
                row = np.uint64(r) * side
                tile = panel_fma(tile, 0, x, row + np.uint64(top), load(x, row + left, 8))
            panel_store(second, at, tile)
            at += _TILE


@leaf
def _risks(x, rows, dimension, metric, diagonal, risk):
    """Add x' metric x of each of `rows` iterates to risk; metric float64[side, side], padded with zeros."""
    side = np.uint64((dimension + 7) // 8 * 8)
    for r in range(rows):
        row = np.uint64(r) * side
        total = doubles(0.0, 8)
        if diagonal:
            for left in range(np.uint64(0), side, _8):
                part = load(x, row + np.uint64(left), 8)
                total = fma(load(metric, np.uint64(left), 8) * part, part, total)
        else:
            for left in range(np.uint64(0), side, _8):
                drift = doubles(0.0, 8)
                for j in range(np.uint64(dimension)):
                    drift = fma(x[row + np.uint64(j)], load(metric, np.uint64(j) * side + np.uint64(left), 8), drift)
                total = fma(drift, load(x, row + np.uint64(left), 8), total)
        risk[r] += reduce_add(total)


@leaf
def _lane_risks(state, offset, side, metric, out):
    """x' diag(metric) x of each lane of a block: the additions of `_risks` in the same order, lanes side by side."""
    total = panel_zero(8, LANES)
    for top in range(np.uint64(0), side, _8):
        rows = panel_load(8, state, offset + np.uint64(top) * np.uint64(LANES), LANES)
        total = panel_fma_rows(panel_scale(metric, np.uint64(top), rows), rows, total)
    even = (panel_row(total, 0) + panel_row(total, 4)) + (panel_row(total, 2) + panel_row(total, 6))
    odd = (panel_row(total, 1) + panel_row(total, 5)) + (panel_row(total, 3) + panel_row(total, 7))
    store(out, np.uint64(0), even + odd)


@inline
def _sample_number(step, burn_in, thin):
    """How many samples have been taken once `step` steps are done."""
    return (step - burn_in) // thin if step > burn_in else np.int64(0)


@leaf
def _average(
    code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, burn_in, thin, samples, metric, diagonal,
    begin, here, z, state, words, lane_risk, first, second, risk_sums,
):  # fmt: skip
    """`_average_groups` in the memory that it made."""
    arms, dimension = minus_lam.shape
    batches = risk_sums.shape[2]
    side = (dimension + 7) // 8 * 8
    length = arms * side * LANES
    # A sample is laid out where the normals were: they are used up by then, and the first-level cache is small.
    x = z
    done = 0
    while done < eta.shape[1]:
        now = np.int64(first_step) + done
        taken = _sample_number(now, burn_in, thin)
        ahead = burn_in + (taken + 1) * thin - now
        steps = min(eta.shape[1] - done, ahead)
        for part in range(_PARTS):
            lane = replicate + np.uint64(begin + part * LANES)
            ahead_words = words[part * 4 * LANES : (part + 1) * 4 * LANES]
            block = state[part * length : (part + 1) * length]
            run_steps(
                code, done, steps, minus_lam, coefficients, starts, eta, seed, purpose, lane, np.uint64(now), ahead_words, z,
                side, block,
            )  # fmt: skip
        done += steps
        if steps == ahead and taken < samples:
            batch = taken * batches // samples
            for a in range(arms):
                for part in range(_PARTS):
                    for top in range(0, side, 8):
                        rows = panel_load(8, state, np.uint64(part * length + (a * side + top) * LANES), LANES)
                        store_transposed(x, np.uint64(part * LANES * side + top), np.uint64(side), rows)
                _sums(x, here, dimension, first[a], second[a])
                risk = risk_sums[a, begin : begin + here, batch]
                if not diagonal:
                    _risks(x, here, dimension, metric[a], diagonal, risk)
                    continue
                for part in range(_PARTS):
                    at = np.uint64(part * length + a * side * LANES)
                    _lane_risks(state, at, np.uint64(side), metric[a], lane_risk)
                    for lane in range(min(LANES, here - part * LANES)):
                        risk[part * LANES + lane] += lane_risk[lane]


@parallel
def _average_groups(
    group, code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, burn_in, thin, samples, metric,
    diagonal, delta, first_sums, second_sums, risk_sums,
):  # fmt: skip
    """Run one group through a segment and add its samples to its sums."""
    arms, replicates, dimension = delta.shape
    begin = group * GROUP
    side = (dimension + 7) // 8 * 8
    length = arms * side * LANES
    z, state = workspaces(max((dimension + 1) * LANES, GROUP * side), _PARTS * length)
    words, lane_risk = np.empty(_PARTS * 4 * LANES, np.uint64), np.empty(LANES)
    for part in range(_PARTS):
        if begin + part * LANES < replicates:
            load_block(delta, begin + part * LANES, side, state[part * length : (part + 1) * length])
        lane = replicate + np.uint64(begin + part * LANES)
        start_words(seed, purpose, lane, first_step, words[part * 4 * LANES : (part + 1) * 4 * LANES])
    _average(
        code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, burn_in, thin, samples, metric,
        diagonal, begin, min(GROUP, replicates - begin), z, state, words, lane_risk, first_sums[group], second_sums[group],
        risk_sums,
    )  # fmt: skip
    for part in range(_PARTS):
        if begin + part * LANES < replicates:
            store_block(state[part * length : (part + 1) * length], begin + part * LANES, side, delta)
    return np.int64(0)


def average_quadratic(
    minus_lam, coefficients, starts, eta, seed, purpose, first_replicate, first_step, burn_in, thin, samples, metric, diagonal,
    delta, first, second, risk,
):  # fmt: skip
    """`advance_quadratic` that also takes samples. The iterates have the same bits as without.

    burn_in, thin, samples  int64: steps before the first sample's interval, steps a sample, samples in all
    metric    float64[A, side * side] F in working coordinates, padded, or float64[A, side] its diagonal (`diagonal`)
    delta     float64[A, R, d]             iterates, overwritten; first_replicate is a multiple of 16
    first     float64[groups, A, side]     sums of Delta, added to
    second    float64[groups, A, tiles]    sums of Delta Delta', added to
    risk      float64[A, R, B]             sums of the risk over each batch of samples, added to
    """
    return _average_groups(
        len(first), code_for(minus_lam, coefficients, starts, eta), minus_lam, coefficients, starts, eta, seed, purpose,
        first_replicate, first_step, np.int64(burn_in), np.int64(thin), np.int64(samples), metric, diagonal, delta, first,
        second, risk,
    )  # fmt: skip


@parallel
def _sample_groups(group, delta, metric, diagonal, batch, first, second, risk):
    arms, replicates, dimension = delta.shape
    side = (dimension + 7) // 8 * 8
    begin = group * GROUP
    here = min(GROUP, replicates - begin)
    x = np.zeros(GROUP * side)
    for a in range(arms):
        for r in range(here):
            for i in range(dimension):
                x[r * side + i] = delta[a, begin + r, i]
        _sums(x, here, dimension, first[group, a], second[group, a])
        _risks(x, here, dimension, metric[a], diagonal, risk[a, begin : begin + here, batch])
    return np.int64(0)


def add_sample(delta, metric, diagonal, batch, first, second, risk):
    """One sample of iterates that any kernel left in delta [A, R, d]; sums as in `average_quadratic`."""
    return _sample_groups(len(first), delta, metric, diagonal, np.int64(batch), first, second, risk)

"""Time averages of a run: moments of the iterates after a burn-in, every `thin` steps, while the recursion goes on.

Replicates are taken in groups of `GROUP`. A group's sums over samples and replicates (of Delta and of Delta Delta', in
working coordinates) stay in cache; each replicate's risk is summed over batches of successive samples, from whose scatter
errors and autocorrelation are estimated.

Sample m (m = 0, 1, ...) is taken after step burn_in + (m + 1) thin. Second moments are kept as tiles of 4 rows by 8 columns
of the lower triangle (`tiles`, `untile`), each updated in registers by all replicates of a few samples: state, normals,
factor and tiles together are more than the first-level cache holds, so they take turns in it as seldom as may be.
"""

import numpy as np

from ._jit import LANES, inline, leaf
from .lanes import lane_sums, panel_squares
from .normal import KEPT, start_words
from .parallel import parallel
from .quadratic import code_for, load_block, run_steps, store_block
from .sampling import Samples
from .vector import (
    doubles,
    first_lane,
    fma,
    load,
    panel_fma,
    panel_load,
    panel_store,
    panel_zero,
    reduce_add,
    store,
)
from .views import workspaces

GROUP = 16

_0, _1, _2, _3, _4, _8, _16 = (np.uint64(i) for i in (0, 1, 2, 3, 4, 8, 16))
_TILE = np.uint64(32)
_PARTS = GROUP // LANES
HELD = 2**12  # doubles of samples that are held until they are added up, about


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


def _tiles(count, height):
    """Adds rows of x to `count` <= 3 tiles side by side, of which `height` rows are coordinates; melts into `_sums`.

    Several together hide the latency of a fused multiply-add.
    """

    @inline
    def add(x, rows, side, top, left, second, at):
        first = panel_load(height, second, at, 8)
        next_one = panel_load(height, second, at + _TILE, 8) if count > 1 else first
        last = panel_load(height, second, at + _2 * _TILE, 8) if count > 2 else first
        for r in range(rows):
            row = np.uint64(r) * side
            first = panel_fma(first, 0, x, row + top, load(x, row + left, 8))
            if count > 1:
                next_one = panel_fma(next_one, 0, x, row + top, load(x, row + left + _8, 8))
            if count > 2:
                last = panel_fma(last, 0, x, row + top, load(x, row + left + _16, 8))
        panel_store(second, at, first)
        if count > 1:
            panel_store(second, at + _TILE, next_one)
        if count > 2:
            panel_store(second, at + _2 * _TILE, last)

    return add


_one_4, _two_4, _three_4 = (_tiles(count, 4) for count in (1, 2, 3))
_one_2, _two_2 = (_tiles(count, 2) for count in (1, 2))


@leaf
def _sums(x, rows, dimension, first, second):
    """Add `rows` iterates (rows of the flat x, padded) to the sums of Delta and Delta Delta'."""
    d, side = np.uint64(dimension), np.uint64((dimension + 7) // 8 * 8)
    for left in range(_0, side, _8):
        total = load(first, left, 8)
        for r in range(rows):
            total = total + load(x, np.uint64(r) * side + left, 8)
        store(first, left, total)
    at = _0
    for top in range(_0, d, _4):
        count = (top >> _3) + _1
        tall, left, end = d - top > _2, _0, at + count * _TILE
        if count & _1 and tall and count > _1:
            _three_4(x, rows, side, top, left, second, at)
            left, at = left + _8 * _3, at + _TILE * _3
        elif count & _1 and tall:
            _one_4(x, rows, side, top, left, second, at)
            left, at = left + _8, at + _TILE
        elif count & _1:
            _one_2(x, rows, side, top, left, second, at)
            left, at = left + _8, at + _TILE
        while at < end:
            if tall:
                _two_4(x, rows, side, top, left, second, at)
            else:
                _two_2(x, rows, side, top, left, second, at)
            left, at = left + _16, at + _TILE * _2


@leaf
def _diagonal_risks(x, rows, dimension, metric, risk):
    """`_risks` of a diagonal metric float64[side]; x has room for rows in eights."""
    side = np.uint64((dimension + 7) // 8 * 8)
    for r in range(0, rows, 8):
        total = panel_zero(8, 8)
        for left in range(_0, side, _8):
            total = panel_squares(total, x, np.uint64(r) * side + left, side, load(metric, left, 8))
        sums = lane_sums(total)
        for i in range(min(8, rows - r)):
            risk[r + i] += first_lane(sums, np.uint64(i))


@leaf
def _risks(x, rows, dimension, metric, risk):
    """Add x' metric x of each of `rows` iterates to risk; metric float64[side, side], padded with zeros."""
    side = np.uint64((dimension + 7) // 8 * 8)
    for r in range(rows):
        row = np.uint64(r) * side
        total = doubles(0.0, 8)
        for left in range(_0, side, _8):
            drift = doubles(0.0, 8)
            for j in range(np.uint64(dimension)):
                drift = fma(x[row + np.uint64(j)], load(metric, np.uint64(j) * side + left, 8), drift)
            total = fma(drift, load(x, row + left, 8), total)
        risk[r] += reduce_add(total)


@inline
def _add_risks(x, rows, dimension, metric, diagonal, risk):
    if diagonal:
        _diagonal_risks(x, rows, dimension, metric, risk)
    else:
        _risks(x, rows, dimension, metric, risk)


@inline
def _sample_number(step, burn_in, thin):
    """How many samples have been taken once `step` steps are done."""
    return (step - burn_in) // thin if step > burn_in else np.int64(0)


@inline
def next_samples(now, left, most, burn_in, thin, samples):
    """Of the next `left` steps after `now`: samples taken before, steps to the first, how many, steps to the last of them.

    At most `most` samples; without one, all of the steps.
    """
    taken = _sample_number(now, burn_in, thin)
    until = burn_in + (taken + 1) * thin - now
    count = min(most, samples - taken, (left - until) // thin + 1 if until <= left else 0)
    return taken, until, count, until + (count - 1) * thin if count > 0 else left


@inline
def add_up(x, taken, count, samples, here, dimension, metric, diagonal, first, second, risks):
    """Add samples taken .. taken + count - 1 of one arm of a group to its sums.

    x: flat [sample, replicate, coordinate], with room for coordinates in eights; risks: float64[here, batches].
    """
    apart = here * ((dimension + 7) // 8 * 8)
    for m in range(count):
        batch = (taken + m) * risks.shape[1] // samples
        _add_risks(x[m * apart :], here, dimension, metric, diagonal, risks[:, batch])
    if count > 0:
        _sums(x, count * here, dimension, first, second)


@leaf
def _average(
    code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, burn_in, thin, samples, metric, diagonal,
    begin, here, z, x, most, state, words, first, second, risk_sums,
):  # fmt: skip
    """`_average_groups` in the memory that it made; x: room for `most` samples of each arm and a group's rows."""
    arms, dimension = minus_lam.shape
    side = (dimension + 7) // 8 * 8
    length = arms * side * LANES
    room, apart = len(x) // arms, here * side
    done = 0
    while done < eta.shape[1]:
        now = np.int64(first_step) + done
        taken, until, count, steps = next_samples(now, eta.shape[1] - done, most, burn_in, thin, samples)
        for part in range(_PARTS):
            lane = replicate + np.uint64(begin + part * LANES)
            ahead_words = words[part * KEPT : (part + 1) * KEPT]
            block = state[part * length : (part + 1) * length]
            kept = Samples(
                until if count > 0 else 0, thin, x, np.uint64(part * LANES * side), np.uint64(room), np.uint64(apart)
            )
            run_steps(
                code, done, steps, minus_lam, coefficients, starts, eta, seed, purpose, lane, np.uint64(now), ahead_words, z,
                side, block, kept,
            )  # fmt: skip
        done += steps
        for a in range(arms):
            risks = risk_sums[a, begin : begin + here]
            add_up(
                x[a * room :], taken, count, samples, here, dimension, metric[a], diagonal, first[a], second[a], risks
            )


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
    here = min(GROUP, replicates - begin)
    # A block without some of its lanes is laid out with all: what it writes too much goes where the next sample comes.
    most = max(1, HELD // (GROUP * side)) if here == GROUP else 1
    room = most * GROUP * side
    before = side * LANES + LANES
    z, state = workspaces(before + arms * room, _PARTS * length)
    z, x = z[:before], z[before:]
    words = np.empty(_PARTS * KEPT, np.uint64)
    for part in range(_PARTS):
        if begin + part * LANES < replicates:
            load_block(delta, begin + part * LANES, side, state[part * length : (part + 1) * length])
        lane = replicate + np.uint64(begin + part * LANES)
        start_words(seed, purpose, lane, first_step, words[part * KEPT : (part + 1) * KEPT])
    _average(
        code, minus_lam, coefficients, starts, eta, seed, purpose, replicate, first_step, burn_in, thin, samples, metric,
        diagonal, begin, here, z, x, most, state, words, first_sums[group], second_sums[group],
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
        len(first), code_for(minus_lam, coefficients, starts, eta, purpose, True), minus_lam, coefficients, starts, eta, seed,
        purpose, first_replicate, first_step, np.int64(burn_in), np.int64(thin), np.int64(samples), metric, diagonal, delta,
        first, second, risk,
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
        _add_risks(x, here, dimension, metric[a], diagonal, risk[a, begin : begin + here, batch])
    return np.int64(0)


def add_sample(delta, metric, diagonal, batch, first, second, risk):
    """One sample of iterates that any kernel left in delta [A, R, d]; sums as in `average_quadratic`."""
    return _sample_groups(len(first), delta, metric, diagonal, np.int64(batch), first, second, risk)

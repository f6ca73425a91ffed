"""Mini-batch SGD of a generalised linear model on a fixed pool.

    theta = optimum + Delta
    g     = (sum over the batch of residual(x_i'theta, y_i) x_i) / b + ridge theta
    Delta = Delta - eta g

Order of operations (part of `stream_version`; all products below are fused into the sum):
    margin      lane j mod 8 adds features 0..7, 8..15, ... from zero; their sum is ((0+4)+(2+6)) + ((1+5)+(3+7))
    gradient    each coordinate adds residual_i x_i over the batch in the order of the draw, from zero
    step        g = fma(ridge, theta, sum * (1/b));  Delta = fma(-eta, g, Delta)
Nothing of it depends on lanes, threads or how many replicates are in flight.

A row of the pool is a multiple of 8 doubles, aligned to a cache line: features, zeros, and the target last. Several
replicates are advanced side by side, because the operations of a single one wait for each other, and because eight
samples fill a vector: two of them, or eight slots together where a batch is one or two. The rows of a later
step are asked for while this one is computed: batches do not depend on the iterate.

What a step does stands in `samples`: derivatives of the loss, their sum over the batch, the step. A design of equal
weights is a method of `draws`; batches with weights are `glm_weighted`'s.
"""

import functools
from typing import NamedTuple

import numpy as np

from ._jit import inline, inner, leaf
from .caches import level_of
from .draws import draw, make_plan, make_scratch
from .integers import Plan
from .parallel import address_of, call, parallel
from .samples import step, straight, together, wide
from .views import workspaces

_0, _1, _2, _7, _8 = (np.uint64(i) for i in (0, 1, 2, 7, 8))
_TOGETHER = 2  # largest batch that shares a vector with other replicates'
_STRAIGHT = 8  # cache lines of a row up to which code without loops pays
_LATENCY = np.uint64(64)  # cache lines of a batch below which its rows are asked for two steps ahead


def row_width(d: int) -> int:
    """Doubles in a row of a packed pool: d features, the target, and zeros up to whole cache lines."""
    return (d + 8) // 8 * 8


def pack_pool(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Pool for the kernels: float64[n * row_width(d)] aligned to 64 bytes, from float64[n, d] and float64[n]."""
    n, d = features.shape
    width = row_width(d)
    # Not np.zeros: NumPy asks for large pages for arrays that it does not take from calloc.
    memory = np.empty(n * width + 8)
    offset = (-memory.ctypes.data // 8) % 8
    rows = memory[offset : offset + n * width].reshape(n, width)
    rows[:] = 0.0
    rows[:, :d] = features
    rows[:, -1] = targets
    return rows.reshape(-1)


@inline
def place_in_ring(plan, step):
    """Where the batch of a step, counted from the first drawn, stands in a ring of two bulks."""
    return ((step // plan.steps) & _1) * plan.size + step % plan.steps * plan.pitch


class Memory(NamedTuple):
    """What a thread works in.

    centre: the optimum, padded; state, theta: Delta and centre + Delta of the replicates of each arm; weights: derivatives
    of their batches, `stride` apart; total: gradient sums; ring: two bulks of batches a replicate, of which one is drawn
    when the last batch of the other is asked for; rows, places: uint64[8].
    """

    centre: np.ndarray
    state: np.ndarray
    theta: np.ndarray
    weights: np.ndarray
    total: np.ndarray
    ring: np.ndarray
    rows: np.ndarray
    places: np.ndarray


class Job(NamedTuple):
    """What stays the same while a group of replicates is advanced; level, b, d, flight, stride, ahead: uint64.

    level: of `caches`, into which rows are asked; flight: replicates side by side; stride: from one's derivatives to the
    next's; ahead: steps from a batch to the one whose rows are asked for.
    """

    pool: np.ndarray
    level: np.uint64
    etas: np.ndarray
    ridge: np.float64
    b: np.uint64
    d: np.uint64
    flight: np.uint64
    stride: np.uint64
    ahead: np.uint64


def _stepper(small, lines, family):
    """Steps of a group of replicates whose batches are drawn, that of step `since` first.

    small: a batch shares a vector; lines: 0 for any length.
    """

    @leaf
    def advance(alive, since, begin, end, job, plan, memory):
        pool, level, etas, ridge, b, d, flight, stride, ahead = job
        centre, state, theta, weights, total, ring, rows, places = memory
        many, width, size = np.uint64(alive), np.uint64(centre.size), _2 * plan.size
        inverse = 1.0 / np.float64(b)
        for k in range(begin, end):
            here, later = place_in_ring(plan, k - since), place_in_ring(plan, k + ahead - since)
            for a in range(np.uint64(etas.shape[0])):
                # The arms share the batch: the first asks for the rows of a later one.
                ask, origin = level if a == _0 else _0, a * flight * width
                if small == 1:
                    together(
                        family, many, pool, width, ring, here, later, size, ask, b, theta, origin, rows, places, stride,
                        weights, total,
                    )  # fmt: skip
                elif lines > 0:
                    straight(
                        lines, family, many, pool, ring, here, later, size, ask, b, theta, origin, stride, weights, total,
                    )  # fmt: skip
                else:
                    wide(
                        family, many, pool, width, ring, here, later, size, ask, b, theta, origin, rows, stride, weights,
                        total,
                    )  # fmt: skip
                for v in range(many):
                    step(
                        state, theta, origin + v * width, centre, total, v * width, width, d, ridge, inverse, etas[a, k]
                    )
        return np.int64(0)

    return advance


@functools.cache
def _way(lines, family, small):
    """Address of `_stepper` for rows of so many cache lines, compiled when first wanted."""
    doubles, words, numbers = np.zeros(0), np.zeros(0, np.uint32), np.zeros(0, np.uint64)
    way = _stepper(int(small), 0 if small or lines > _STRAIGHT else lines, family)
    job = Job(doubles, _0, np.zeros((1, 0)), 0.0, _0, _0, _0, _0, _0)
    plan = Plan(*[_0] * 10, numbers, numbers, numbers)
    return address_of(way, (_0, _0, _0, job, plan, Memory(*[doubles] * 5, words, numbers, numbers)))


def way_of(pool, n, family, b):
    """Address of the steps of flights of replicates: batches of b of the n rows of a pool from `pack_pool`."""
    return _way(pool.size // int(n) // 8, int(family), b <= _TOGETHER)


@leaf
def fly(
    begin, alive, start, stop, job, plan, scratch, memory, delta, way, seed, first_replicate, first_step, until, thin, x, at,
    room, apart,
):  # fmt: skip
    """Take replicates begin .. begin + alive - 1 of delta, one flight, through steps start .. stop - 1 of this call.

    After `until` of these steps and every `thin` from then on the iterates go to the flat x: sample m of replicate r of arm
    a from a room + m apart + (r - begin) `side` + at on. until = 0: no samples. All uint64.
    """
    state, ring = memory.state, memory.ring
    flight, size, width = job.flight, _2 * plan.size, np.uint64(memory.centre.size)
    arms, d = np.uint64(delta.shape[0]), np.uint64(delta.shape[2])
    side = (d + _7) & ~_7
    for a in range(arms):
        for v in range(alive):
            for j in range(d):
                row = (a * flight + v) * width + j
                state[row] = delta[a, begin + v, j]
                memory.theta[row] = memory.centre[j] + state[row]
    drawn, k, sample, to = start, start, start + until, at
    while k < stop:
        while drawn < stop and drawn <= k + job.ahead:
            for v in range(alive):
                draw(
                    plan, scratch, seed, first_replicate + begin + v, first_step + drawn, min(plan.steps, stop - drawn), ring,
                    v * size + place_in_ring(plan, drawn - start),
                )  # fmt: skip
            drawn += plan.steps
        end = stop if drawn >= stop else drawn - job.ahead
        if sample > k:
            end = min(end, sample)
        call(way, np.int64(alive), (start, k, end, job, plan, memory))
        k = end
        if k == sample:
            for a in range(arms):
                for v in range(alive):
                    for j in range(d):
                        x[a * room + to + v * side + j] = state[(a * flight + v) * width + j]
            sample, to = sample + thin, to + apart
    for a in range(arms):
        for v in range(alive):
            for j in range(d):
                delta[a, begin + v, j] = state[(a * flight + v) * width + j]


@inner
def make_job(delta, optimum, pool, level, n, ridge, plan, etas):
    """What stays the same and the memory of one thread, for replicates in flight."""
    arms, d, width = np.int64(delta.shape[0]), delta.shape[2], np.int64(pool.size // n)
    stride = plan.b if plan.b <= _TOGETHER else (plan.b + _7) & ~_7
    flight = _8 // stride if plan.b <= _TOGETHER else _2
    each = np.int64(flight) * width
    _, doubles = workspaces(0, width + (2 * arms + 1) * each + np.int64(flight * stride))
    centre, doubles = doubles[:width], doubles[width:]
    state, theta, doubles = doubles[: arms * each], doubles[arms * each : 2 * arms * each], doubles[2 * arms * each :]
    ring, numbers = np.zeros(flight * _2 * plan.size, np.uint32), np.zeros(16, np.uint64)
    for j in range(d):
        centre[j] = optimum[j]
    ahead = _2 if plan.b * np.uint64(width) < _8 * _LATENCY else _1
    memory = Memory(centre, state, theta, doubles[each:], doubles[:each], ring, numbers[:8], numbers[8:])
    return Job(pool, level, etas, ridge, plan.b, np.uint64(d), flight, stride, ahead), memory


@leaf
def _advance(task, tasks, job, plan, scratch, memory, delta, way, seed, first_replicate, first_step):
    """`_task` in the memory that it made."""
    replicates, steps, flight = np.uint64(delta.shape[1]), np.uint64(job.etas.shape[1]), job.flight
    groups = (replicates + flight - _1) // flight
    for group in range(groups * task // tasks, groups * (task + _1) // tasks):
        begin = group * flight
        fly(
            begin, min(flight, replicates - begin), _0, steps, job, plan, scratch, memory, delta, way, seed, first_replicate,
            first_step, _0, _0, job.pool, _0, _0, _0,
        )  # fmt: skip


@parallel
def _task(task, tasks, delta, optimum, pool, level, n, ridge, way, plan, etas, seed, first_replicate, first_step):
    """The part of `advance_glm` that is number `task` of `tasks`: some successive groups of replicates in flight.

    way: address of `_stepper` for these rows and batches.
    """
    job, memory = make_job(delta, optimum, pool, level, n, ridge, plan, etas)
    _advance(
        np.uint64(task), np.uint64(tasks), job, plan, make_scratch(plan), memory, delta, way, seed, first_replicate, first_step
    )  # fmt: skip
    return np.int64(0)


def advance_glm(delta, optimum, pool, n, ridge, family, b, design, etas, seed, first_replicate, first_step, tasks):
    """Advance every replicate of every arm by etas.shape[1] steps; arms share the mini-batches.

    delta: float64[A, R, d], theta minus the optimum, updated in place; optimum: float64[d];
    pool, n: from `pack_pool`, and its rows;
    family: a code of `links`; b: batch; design: a code of `draws`; etas: float64[A, steps], step sizes;
    seed, first_replicate, first_step: uint64; tasks: parts into which replicates are divided among threads.
    A replicate that diverges overflows to infinities and NaN, which stay. Returns 0.
    """
    address = (seed, first_replicate, first_step)
    way, plan = way_of(pool, n, family, b), make_plan(int(n), int(b), int(design))
    return _task(tasks, tasks, delta, optimum, pool, level_of(pool), n, ridge, way, plan, etas, *address)

"""SGD on a problem whose samples are simulated, replicates side by side in lanes.

A simulated problem is a file with two small functions and a kernel made of them (`newsvendor`, for one):

    simulate(params, shape, normals, uniforms, exponentials, sample)    a sample from its draws; it knows no theta
    gradient(params, shape, sample, theta, total)                       add the sample's gradient at theta to total

Arrays in them are flat, [item, lane]; `get` and `put` are their items, vectors of `LANES` replicates. One step is

    ghat  = (1/b) sum_i gradient(theta, sample i)         the samples in order, from zero
    Delta = fma(-eta, ghat, Delta),  theta = optimum + Delta

The draws of a sample are those of `stream`: normal j of sample i of a step stands at i * normals + j of the step's row, so a
larger batch extends a smaller one. All arms use the same samples.

Two designs reduce the variance of ghat, each told by a number behind the three of `counts`:

    antithetic   samples 2 i and 2 i + 1 are made of the draws of one sample i: normals z and -z, uniforms u and 1 - u,
                 exponentials e and -log(1 - exp(-e))
    control      ghat - B cbar, cbar the mean over the batch of the draws less their means 0, 1/2, 1 (normals, uniforms,
                 exponentials in this order), B float64[d, draws] by rows at the end of params
"""

import numpy as np

from ._jit import LANES, body, inline
from .elementary import log
from .links import exponential
from .normal import box_muller
from .philox import (
    PILOT,
    PURPOSE_EXPONENTIAL,
    PURPOSE_NOISE,
    PURPOSE_UNIFORM,
    counter_high,
    philox4x32,
)
from .quadratic import load_block, store_block
from .stream import EXPONENTIAL, NORMAL, UNIFORM, open_unit
from .vector import doubles, fma, lane_numbers, load, store
from .views import borrow

_W = np.uint64(LANES)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_0, _1 = np.uint64(0), np.uint64(1)
_TOGETHER = 64  # draws a replicate of one kind that are made before they are used


@inline
def get(array, item):
    """Item of a flat array [item, lane]: a vector."""
    return load(array, np.uint64(item) * _W, LANES)


@inline
def put(array, item, x):
    """Write an item of a flat array [item, lane]."""
    store(array, np.uint64(item) * _W, x)


@inline
def _fill(kind, pilot, count, replicate, step, first, pairs, seed, out, begin):
    """Draws 2 first .. 2 (first + pairs) - 1 of a row of one kind, to item `begin` of out and on; none if count is 0."""
    if count == 0:
        return
    purpose = PURPOSE_NOISE if kind == NORMAL else PURPOSE_UNIFORM if kind == UNIFORM else PURPOSE_EXPONENTIAL
    low, high = replicate & _LOW, counter_high(pilot + purpose, replicate, step)
    for pair in range(np.uint64(pairs)):
        w0, w1, w2, w3 = philox4x32((first + pair) & _LOW, step & _LOW, low, high, seed & _LOW, seed >> _32)
        if kind == NORMAL:
            a, b = box_muller(w0, w1, w2, w3)
        else:
            a, b = open_unit(w0, w1), open_unit(w2, w3)
            if kind == EXPONENTIAL:
                a, b = -log(a), -log(b)
        at = np.uint64(begin) + pair + pair
        put(out, at, a)
        put(out, at + _1, b)


@inline
def _pairs(count, samples):
    """Pairs of draws of `samples` samples."""
    return (count * samples + 1) // 2


@body
def _rows(count, samples, steps):
    """Memory for `count` draws of each of `samples` samples of `steps` steps; a step begins at an even item."""
    return np.empty(2 * _pairs(count, samples) * steps * LANES)


@inline
def _turn(normals, uniforms, exponentials, nz, nu, ne):
    """The antithetic draws of a sample, in place."""
    for i in range(nz):
        put(normals, i, -get(normals, i))
    for i in range(nu):
        put(uniforms, i, 1.0 - get(uniforms, i))
    for i in range(ne):
        put(exponentials, i, -log(1.0 - exponential(-get(exponentials, i))))


@inline
def _deviations(normals, uniforms, exponentials, nz, nu, ne, sums):
    """Add the draws of a sample less their means to sums."""
    for i in range(nz):
        put(sums, i, get(sums, i) + get(normals, i))
    for i in range(nu):
        put(sums, nz + i, get(sums, nz + i) + (get(uniforms, i) - 0.5))
    for i in range(ne):
        put(sums, nz + nu + i, get(sums, nz + nu + i) + (get(exponentials, i) - 1.0))


@inline
def _samples_together(counts, b):
    """How many of b samples have their draws made at once: all, or an even number with about `_TOGETHER` draws."""
    return min(b, max(2, _TOGETHER // max(counts[0], counts[1], counts[2], 1) // 2 * 2))


@inline
def _steps_together(counts, b):
    """How many steps have their draws made at once."""
    return max(1, _TOGETHER // (max(counts[0], counts[1], counts[2], 1) * b))


def stepper(simulate, gradient):
    """The body of a problem's kernel: advance one block of `LANES` replicates through etas.shape[1] steps, in place.

    It takes block, delta float64[A, R, d]; optimum float64[d]; params float64[m] and shape int64[k], what the two functions
    need; counts int64[5], normals, uniforms and exponentials of a sample, then 1 or 0: antithetic (b even), control; width,
    items of a sample; b samples a step; etas float64[A, steps]; seed, first_replicate, first_step: uint64.
    """

    @body
    def advance(
        block, delta, optimum, params, shape, counts, width, b, etas, seed, first_replicate, first_step
    ):  # fmt: skip
        arms, _, d = delta.shape
        begin, steps, size = block * LANES, etas.shape[1], d * LANES
        paired, control = counts[3] == 1, counts[4] == 1
        drawn = b // 2 if paired else b
        samples, bulk = _samples_together(counts, drawn), _steps_together(counts, drawn)
        zs, us, es = (
            _rows(counts[0], samples, bulk),
            _rows(counts[1], samples, bulk),
            _rows(counts[2], samples, bulk),
        )
        nz, nu, ne = counts[0], counts[1], counts[2]
        state, theta, total = np.zeros(arms * size), np.empty(arms * size), np.empty(arms * size)
        sample = np.empty(width * LANES)
        draws = nz + nu + ne if control else 0
        sums, coefficient = np.zeros(draws * LANES), params.size - d * draws
        numbers = lane_numbers(LANES) + (first_replicate + np.uint64(begin))
        inverse = 1.0 / b
        load_block(delta, begin, d, state)
        for k in range(steps):
            within = k % bulk
            for a in range(arms):
                for j in range(d):
                    put(theta, a * d + j, get(state, a * d + j) + optimum[j])
                    put(total, a * d + j, doubles(0.0, LANES))
            for i in range(draws):
                put(sums, i, doubles(0.0, LANES))
            for first in range(0, drawn, samples):
                here = min(samples, drawn - first)
                if within == 0:
                    ahead = min(bulk, steps - k)
                    for s in range(ahead):
                        step = first_step + np.uint64(k + s)
                        pz, pu, pe = _pairs(nz, here), _pairs(nu, here), _pairs(ne, here)
                        at = np.uint64(first)
                        _fill(NORMAL, _0, nz, numbers, step, at * np.uint64(nz) >> _1, pz, seed, zs, 2 * pz * s)
                        _fill(UNIFORM, _0, nu, numbers, step, at * np.uint64(nu) >> _1, pu, seed, us, 2 * pu * s)
                        _fill(EXPONENTIAL, _0, ne, numbers, step, at * np.uint64(ne) >> _1, pe, seed, es, 2 * pe * s)
                for i in range(here):
                    z0 = 2 * _pairs(nz, here) * within + i * nz
                    u0 = 2 * _pairs(nu, here) * within + i * nu
                    e0 = 2 * _pairs(ne, here) * within + i * ne
                    normals, uniforms = borrow(zs, z0 * LANES, nz * LANES), borrow(us, u0 * LANES, nu * LANES)
                    exponentials = borrow(es, e0 * LANES, ne * LANES)
                    if control:
                        _deviations(normals, uniforms, exponentials, nz, nu, ne, sums)
                    for side in range(2 if paired else 1):
                        if side == 1:
                            _turn(normals, uniforms, exponentials, nz, nu, ne)
                        simulate(params, shape, normals, uniforms, exponentials, sample)
                        for a in range(arms):
                            position, added = borrow(theta, a * size, size), borrow(total, a * size, size)
                            gradient(params, shape, sample, position, added)
            for a in range(arms):
                for j in range(d):
                    for i in range(draws):
                        put(
                            total,
                            a * d + j,
                            fma(-params[coefficient + j * draws + i], get(sums, i), get(total, a * d + j)),
                        )
                    ghat = get(total, a * d + j) * inverse
                    put(state, a * d + j, fma(-etas[a, k], ghat, get(state, a * d + j)))
        store_block(state, begin, d, delta)
        return np.int64(0)

    return advance


def pilot(simulate, gradient):
    """The body of a kernel of sums over pilot samples: `samples` for each of `LANES` streams of a block.

    It takes block, theta float64[d]; params, shape, counts, width as `stepper`; samples; seed: uint64; sums float64[R, d]
    and products float64[R, d (d + 1) / 2], of each stream, overwritten: of g and of the lower triangle of g g' by rows.
    Antithetic (counts[3]): g is the mean of a pair. Control (counts[4]): products float64[R, d draws] are of g c', c the
    draws less their means. R must be a multiple of 16.
    """

    @body
    def collect(block, theta, params, shape, counts, width, samples, seed, sums, products):
        d = theta.size
        begin = block * LANES
        nz, nu, ne = counts[0], counts[1], counts[2]
        zs, us, es = _rows(nz, 1, 1), _rows(nu, 1, 1), _rows(ne, 1, 1)
        position, g, sample = np.empty(d * LANES), np.empty(d * LANES), np.empty(width * LANES)
        first, second = np.zeros(d * LANES), np.zeros(products.shape[1] * LANES)
        numbers = lane_numbers(LANES) + np.uint64(begin)
        draws = nz + nu + ne if counts[4] == 1 else 0
        sums_of = np.zeros(draws * LANES)
        for j in range(d):
            put(position, j, doubles(theta[j], LANES))
        for i in range(samples):
            step = np.uint64(i)
            _fill(NORMAL, PILOT, nz, numbers, step, _0, _pairs(nz, 1), seed, zs, 0)
            _fill(UNIFORM, PILOT, nu, numbers, step, _0, _pairs(nu, 1), seed, us, 0)
            _fill(EXPONENTIAL, PILOT, ne, numbers, step, _0, _pairs(ne, 1), seed, es, 0)
            for j in range(d):
                put(g, j, doubles(0.0, LANES))
            for k in range(draws):
                put(sums_of, k, doubles(0.0, LANES))
            if draws > 0:
                _deviations(zs, us, es, nz, nu, ne, sums_of)
            simulate(params, shape, zs, us, es, sample)
            gradient(params, shape, sample, position, g)
            if counts[3] == 1:
                _turn(zs, us, es, nz, nu, ne)
                simulate(params, shape, zs, us, es, sample)
                gradient(params, shape, sample, position, g)
                for j in range(d):
                    put(g, j, get(g, j) * 0.5)
            for j in range(d):
                put(first, j, get(first, j) + get(g, j))
                for k in range(draws):
                    at = j * draws + k
                    put(second, at, fma(get(g, j), get(sums_of, k), get(second, at)))
                for k in range(j + 1 if draws == 0 else 0):
                    at = j * (j + 1) // 2 + k
                    put(second, at, fma(get(g, j), get(g, k), get(second, at)))
        for lane in range(LANES):
            for j in range(d):
                sums[begin + lane, j] = first[j * LANES + lane]
            for j in range(products.shape[1]):
                products[begin + lane, j] = second[j * LANES + lane]
        return np.int64(0)

    return collect

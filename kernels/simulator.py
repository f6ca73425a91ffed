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

from ._jit import LANES, inline, named_after
from .elementary import log
from .lane_stream import begin_draws, fill_draws, items_of, make_draws
from .links import exponential
from .philox import PILOT
from .quadratic import load_block, store_block
from .vector import doubles, fma, load, store
from .views import borrow

_W = np.uint64(LANES)
_0 = np.uint64(0)


@inline
def get(array, item):
    """Item of a flat array [item, lane]: a vector."""
    return load(array, np.uint64(item) * _W, LANES)


@inline
def put(array, item, x):
    """Write an item of a flat array [item, lane]."""
    store(array, np.uint64(item) * _W, x)


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


def stepper(simulate, gradient):
    """A problem's kernel, for `parallel`: advance one block of `LANES` replicates through etas.shape[1] steps, in place.

    It takes block, delta float64[A, R, d]; optimum float64[d]; params float64[m] and shape int64[k], what the two functions
    need; counts int64[5], normals, uniforms and exponentials of a sample, then 1 or 0: antithetic (b even), control; width,
    items of a sample; b samples a step; etas float64[A, steps]; seed, first_replicate, first_step: uint64.
    """

    def advance(
        block, delta, optimum, params, shape, counts, width, b, etas, seed, first_replicate, first_step
    ):  # fmt: skip
        arms, _, d = delta.shape
        begin, steps, size = block * LANES, etas.shape[1], d * LANES
        paired, control = counts[3] == 1, counts[4] == 1
        drawn = b // 2 if paired else b
        draws = make_draws(counts, drawn, _0)
        nz, nu, ne = counts[0], counts[1], counts[2]
        state, theta, total = np.zeros(arms * size), np.empty(arms * size), np.empty(arms * size)
        sample = np.empty(width * LANES)
        controls = nz + nu + ne if control else 0
        sums, coefficient = np.zeros(controls * LANES), params.size - d * controls
        replicate, inverse = first_replicate + np.uint64(begin), 1.0 / b
        load_block(delta, begin, d, state)
        begin_draws(draws, seed, replicate, first_step)
        for k in range(steps):
            within = k % draws.steps
            for a in range(arms):
                for j in range(d):
                    put(theta, a * d + j, get(state, a * d + j) + optimum[j])
                    put(total, a * d + j, doubles(0.0, LANES))
            for i in range(controls):
                put(sums, i, doubles(0.0, LANES))
            for first in range(0, drawn, draws.samples):
                here = min(draws.samples, drawn - first)
                if within == 0:
                    ahead = min(draws.steps, steps - k)
                    fill_draws(draws, replicate, seed, first_step + np.uint64(k), ahead, first, here, drawn)
                for i in range(here):
                    normals, uniforms, exponentials = items_of(draws, within, i)
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
                    for i in range(controls):
                        factor = -params[coefficient + j * controls + i]
                        put(total, a * d + j, fma(factor, get(sums, i), get(total, a * d + j)))
                    ghat = get(total, a * d + j) * inverse
                    put(state, a * d + j, fma(-etas[a, k], ghat, get(state, a * d + j)))
        store_block(state, begin, d, delta)
        return np.int64(0)

    return named_after(gradient, advance)


def pilot(simulate, gradient):
    """A kernel of sums over pilot samples, for `parallel`: `samples` for each of `LANES` streams of a block.

    It takes block, theta float64[d]; params, shape, counts, width as `stepper`; samples; seed: uint64; sums float64[R, d]
    and products float64[R, d (d + 1) / 2], of each stream, overwritten: of g and of the lower triangle of g g' by rows.
    Antithetic (counts[3]): g is the mean of a pair. Control (counts[4]): products float64[R, d draws] are of g c', c the
    draws less their means. R must be a multiple of 16.
    """

    def collect(block, theta, params, shape, counts, width, samples, seed, sums, products):
        d = theta.size
        begin = block * LANES
        nz, nu, ne = counts[0], counts[1], counts[2]
        sides, share = (2, 0.5) if counts[3] == 1 else (1, 1.0)
        none, one = np.int64(0), np.int64(1)  # not literals, for which the functions would be compiled again
        draws = make_draws(counts, one, PILOT)
        position, g, sample = np.empty(d * LANES), np.empty(d * LANES), np.empty(width * LANES)
        first, second = np.zeros(d * LANES), np.zeros(products.shape[1] * LANES)
        controls = nz + nu + ne if counts[4] == 1 else 0
        sums_of = np.zeros(controls * LANES)
        for j in range(d):
            put(position, j, doubles(theta[j], LANES))
        begin_draws(draws, seed, np.uint64(begin), _0)
        for i in range(samples):
            within = i % draws.steps
            if within == 0:
                fill_draws(draws, np.uint64(begin), seed, np.uint64(i), min(draws.steps, samples - i), none, one, one)
            zs, us, es = items_of(draws, within, none)
            for j in range(d):
                put(g, j, doubles(0.0, LANES))
            for k in range(controls):
                put(sums_of, k, doubles(0.0, LANES))
            if controls > 0:
                _deviations(zs, us, es, nz, nu, ne, sums_of)
            for side in range(sides):
                if side == 1:
                    _turn(zs, us, es, nz, nu, ne)
                simulate(params, shape, zs, us, es, sample)
                gradient(params, shape, sample, position, g)
            for j in range(d):
                put(g, j, get(g, j) * share)
            for j in range(d):
                put(first, j, get(first, j) + get(g, j))
                for k in range(controls):
                    at = j * controls + k
                    put(second, at, fma(get(g, j), get(sums_of, k), get(second, at)))
                for k in range(j + 1 if controls == 0 else 0):
                    at = j * (j + 1) // 2 + k
                    put(second, at, fma(get(g, j), get(g, k), get(second, at)))
        for lane in range(LANES):
            for j in range(d):
                sums[begin + lane, j] = first[j * LANES + lane]
            for j in range(products.shape[1]):
                products[begin + lane, j] = second[j * LANES + lane]
        return np.int64(0)

    return named_after(gradient, collect)

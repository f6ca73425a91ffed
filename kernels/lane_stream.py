"""The draws of a simulator, replicates side by side: the numbers of `stream`, at the same addresses.

`sample_of(draws, ...)` and `items_of` say which random numbers sample i of a batch has.
"""

from typing import NamedTuple

import numpy as np

from ._jit import LANES, body, inline, leaf
from .elementary import log
from .lane_arrays import borrow_lanes, workspace
from .normal import KEPT, address, fill_normals, load_words, low_words, start_words, store_words
from .philox import PURPOSE_EXPONENTIAL, PURPOSE_NOISE, PURPOSE_UNIFORM, counter_high, philox4x32
from .stream import Stream, open_unit
from .vector import align_stack, store
from .views import borrow

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_0, _1 = np.uint64(0), np.uint64(1)
_W = np.uint64(LANES)
_STEPS = 64  # draws a replicate that are made before they are used, if a step has fewer
_MOST = 96  # at most: they stay in the first-level cache


class Draws(NamedTuple):
    """Draws of `steps` successive steps, or of `samples` successive samples of one step.

    counts: three, normals, uniforms and exponentials of a sample; samples: even, or all of a step; pitch: three, doubles
    a step of each kind; normals, uniforms, exponentials: float64, flat [step, draw, lane]; words: of the next
    block of normals, uint64[4 LANES]; pilot: what is added to their purposes.
    """

    counts: tuple
    samples: np.int64
    steps: np.int64
    pitch: tuple
    normals: np.ndarray
    uniforms: np.ndarray
    exponentials: np.ndarray
    words: np.ndarray
    pilot: np.uint64


@inline
def _pitch(count, samples):
    return (count * samples + 1) // 2 * 2 * LANES


@body
def make_draws(counts, b, pilot):
    """Memory for the draws of batches of b samples with `counts` draws of each kind; pilot: 0, or PILOT."""
    counts = (np.int64(counts[0]), np.int64(counts[1]), np.int64(counts[2]))
    each = max(1, counts[0] + counts[1] + counts[2])
    samples, steps = b, 1
    if each * b > _MOST:
        samples = min(b, max(2, _MOST // each // 2 * 2))
    else:
        steps = max(1, _STEPS // (each * b))
    pitch = (_pitch(counts[0], samples), _pitch(counts[1], samples), _pitch(counts[2], samples))
    z, u, e = workspace(pitch[0] * steps), workspace(pitch[1] * steps), workspace(pitch[2] * steps)
    return Draws(counts, np.int64(samples), np.int64(steps), pitch, z, u, e, np.zeros(KEPT, np.uint64), pilot)


@leaf
def begin_draws(draws, seed, first_replicate, step):
    """Make ready for `fill_draws` of successive samples and steps of LANES replicates, from a step on."""
    if draws.counts[0] > 0:
        start_words(seed, draws.pilot + PURPOSE_NOISE, first_replicate, step, draws.words)


@inline
def _normals(draws, replicate, seed, step, steps, block, last, whole):
    """Blocks block .. last - 1 of each of `steps` steps; `whole`: no more are wanted of a step."""
    keys, low = draws.words, low_words(replicate)
    w = load_words(draws.words)
    purpose = draws.pilot + PURPOSE_NOISE
    now = address(purpose, replicate, low, step, keys)
    for k in range(steps):
        following = address(purpose, replicate, low, step + np.uint64(k) + _1, keys) if whole else now
        then = _0 if whole else last
        w = fill_normals(block, last, w, now, following, then, keys, np.uint64(k * draws.pitch[0]), draws.normals)
        now = following
    store_words(w, draws.words)


@inline
def _uniforms(out, pitch, purpose, exponential, replicate, seed, step, steps, block, last):
    """Blocks block .. last - 1 of uniforms, or of their exponentials, of each of `steps` steps."""
    k0, k1, low = seed & _LOW, seed >> _32, low_words(replicate)
    for k in range(steps):
        at, now = np.uint64(k * pitch), step + np.uint64(k)
        high = counter_high(purpose, replicate, now)
        for i in range(np.uint64(block), np.uint64(last)):
            w0, w1, w2, w3 = philox4x32(np.uint64(i), now & _LOW, low, high, k0, k1)
            a, b = open_unit(w0, w1), open_unit(w2, w3)
            store(out, at, -log(a) if exponential else a)
            store(out, at + _W, -log(b) if exponential else b)
            at += _W + _W


@leaf
def fill_draws(draws, replicate, seed, step, steps, first, samples, b):
    """Draws of samples first .. first + samples - 1 (first even) of b, of `steps` steps from `step` on.

    replicate: the first of LANES, which share the bits above the 32nd.
    """
    align_stack()
    if draws.counts[0] > 0:
        block, last = _blocks(draws.counts[0], first, samples)
        _normals(draws, replicate, seed, step, steps, block, last, first + samples == b)
    if draws.counts[1] > 0:
        block, last = _blocks(draws.counts[1], first, samples)
        out, purpose = draws.uniforms, draws.pilot + PURPOSE_UNIFORM
        _uniforms(out, draws.pitch[1], purpose, False, replicate, seed, step, steps, block, last)
    if draws.counts[2] > 0:
        block, last = _blocks(draws.counts[2], first, samples)
        out, purpose = draws.exponentials, draws.pilot + PURPOSE_EXPONENTIAL
        _uniforms(out, draws.pitch[2], purpose, True, replicate, seed, step, steps, block, last)


@inline
def _blocks(count, first, samples):
    return np.uint64(first * count // 2), np.uint64(((first + samples) * count + 1) // 2)


@inline
def sample_of(draws, place, i):
    """The draws of sample i, counted from the first that `fill_draws` made for step `place`."""
    z = place * draws.pitch[0] + i * draws.counts[0] * LANES
    u = place * draws.pitch[1] + i * draws.counts[1] * LANES
    e = place * draws.pitch[2] + i * draws.counts[2] * LANES
    return Stream(
        borrow_lanes(draws.normals, z, draws.counts[0], LANES),
        borrow_lanes(draws.uniforms, u, draws.counts[1], LANES),
        borrow_lanes(draws.exponentials, e, draws.counts[2], LANES),
    )


@inline
def items_of(draws, place, i):
    """`sample_of` as three flat arrays [draw, lane]."""
    z = place * draws.pitch[0] + i * draws.counts[0] * LANES
    u = place * draws.pitch[1] + i * draws.counts[1] * LANES
    e = place * draws.pitch[2] + i * draws.counts[2] * LANES
    return (
        borrow(draws.normals, z, draws.counts[0] * LANES),
        borrow(draws.uniforms, u, draws.counts[1] * LANES),
        borrow(draws.exponentials, e, draws.counts[2] * LANES),
    )

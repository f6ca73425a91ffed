"""Mini-batches of a user's draw function: a template. A made module takes `draw` from a user's file.

    size = draw(n, b, stream, params, indices, weights)

The batch of (seed, replicate, step) is a function of that address alone: its stream has the words of `PURPOSE_BATCH`. What is
drawn is looked at before it is used, since a kernel that follows it reads the pool.
"""

import numpy as np
from fastsgd.kernels._jit import LANES, inline, inner
from fastsgd.kernels.own_functions import draw
from fastsgd.kernels.parallel import parallel
from fastsgd.kernels.philox import PURPOSE_BATCH
from fastsgd.kernels.views import borrow
from fastsgd.kernels.words import Words, begin, begin_ahead, fill_ahead, make_ahead, make_words

EQUAL, TABLE, DRAWN = 0, 1, 2  # weights: 1/b, of each sample of the pool, or what `draw` writes
SIZE, INDEX, BEHIND = -1, -2, -3  # what is wrong: size of a batch, an index, something written behind the last place

_0 = np.uint64(0)
_GUARD = 64
_UNTOUCHED = -(2**62) - 12345


@inner
def _memory(most):
    """Indices int64 and weights float64 of one batch, with a mark behind the last one."""
    indices, weights = np.zeros(most + _GUARD, np.int64), np.zeros(most + _GUARD)
    indices[most], weights[most] = _UNTOUCHED, _UNTOUCHED
    return indices, weights


@inline
def _lent(words):
    buffer, lanes, state = words.buffer, words.lanes, words.state
    return Words(borrow(buffer, 0, buffer.size), borrow(lanes, 0, lanes.size), borrow(state, 0, state.size))


@inner
def _batch(words, n, b, most, how, params, table, indices, weights):
    """One batch into indices and weights; its size, or what is wrong with it."""
    for i in range(most):
        indices[i], weights[i] = -1, 0.0
    size = draw(n, b, words, params, borrow(indices, 0, most), borrow(weights, 0, most))
    if indices[most] != _UNTOUCHED or weights[most] != _UNTOUCHED:
        return np.int64(BEHIND)
    if size < 0 or size > most:
        return np.int64(SIZE)
    for i in range(size):
        if indices[i] < 0 or indices[i] >= n:
            return np.int64(INDEX)
    if how == EQUAL:
        for i in range(size):
            weights[i] = 1.0 / b
    elif how == TABLE:
        for i in range(size):
            weights[i] = table[indices[i]]
    return np.int64(size)


@parallel
def fill(
    task, tasks, pilot, n, b, most, how, params, table, seed, first_replicate, first_step, pitch, index, weight, size
):  # fmt: skip
    """Batches of some successive replicates, the part `task` of `tasks`; a size below 0 says what is wrong.

    pilot: 0, or PILOT for batches that are no part of a run; params float64[m], as `draw` takes them; table float64[n], weights
    (any if how is not TABLE); index uint32 and weight float64, flat [R, steps, pitch]; size int64[R, steps]; all
    others uint64.
    """
    words, ahead, purpose = make_words(), make_ahead(np.int64(b)), pilot + PURPOSE_BATCH
    blocks = ahead.size // (4 * LANES)
    indices, weights = _memory(most)
    replicates, steps = size.shape
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        filled = 0  # steps whose first words have been made ahead
        for k in range(steps):
            step = first_step + np.uint64(k)
            # As many blocks of many steps at once cost what as many steps of many blocks do.
            if k >= filled and blocks < min(steps - k, LANES):
                fill_ahead(ahead, purpose, seed, replicate, step)
                filled = k + LANES
            if k < filled:
                begin_ahead(words, ahead, np.uint64(k + LANES - filled), purpose, seed, replicate, step)
            else:
                begin(words, purpose, seed, replicate, step, _0)
            # Borrowed where they are used: a reference that is counted costs more than a draw.
            found = _batch(
                _lent(words), n, b, most, how, params, table, borrow(indices, 0, indices.size), borrow(weights, 0, weights.size)
            )  # fmt: skip
            size[r, k] = found
            at = np.uint64(r * steps + k) * pitch
            for i in range(np.uint64(max(found, 0))):
                index[at + i], weight[at + i] = indices[i], weights[i]
    return np.int64(0)

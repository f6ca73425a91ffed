"""Mini-batches whose samples have weights, of any size: a pure function of (seed, replicate, step) and a design.

    reshuffle    a permutation of the pool each epoch of floor(n / b) steps, cut into batches; w = 1/b. It stands at the
                 address (seed, replicate, epoch) of `PURPOSE_EPOCH`: for i = 0, 1, ... swap entries i and
                 i + (an integer below n - i) of the identity. The n mod b samples at its end are left out in that epoch
    bernoulli    the size is binomial (64 random bits against its distribution), the samples a simple random sample of
                 that size, as each in by itself with chance b/n; w = 1/b
    stratified   n_h of each stratum without replacement, stratum after stratum; w = W_h / n_h
    importance   b independent draws with chances p_i: a column below n, then a uniform against Walker's table;
                 w = 1/(b n p_i)

Words of an address are used in order (`words`). The estimate sum_i w_i g_i is unbiased for the mean over the pool. n < 2^32.
"""

from typing import NamedTuple

import numpy as np

from ._jit import jit, leaf
from .parallel import parallel
from .philox import PURPOSE_BATCH, PURPOSE_EPOCH
from .words import begin, below, make_words, taken, unit, word64

RESHUFFLE, BERNOULLI, STRATIFIED, IMPORTANCE = 0, 1, 2, 3
METHODS = {"reshuffle": RESHUFFLE, "bernoulli": BERNOULLI, "stratified": STRATIFIED, "importance": IMPORTANCE}

_0, _1 = np.uint64(0), np.uint64(1)


class Table(NamedTuple):
    """A design on a pool of n; arrays that it has no use for are of any size.

    members    uint32[n]    samples, stratum after stratum (stratified)
    starts     uint64[H+1]  first place of each stratum in it
    allocation uint64[H]    n_h
    weights    float64[H]   of a sample of each stratum; [n] of each sample (importance)
    chances    uint64[m]    2^64 P(size <= lowest + j) (bernoulli)
    lowest     uint64       smallest size
    cut        float64[n]   Walker's table: column i is i below cut[i],
    alias      uint32[n]    and alias[i] above
    """

    method: np.int64
    n: np.uint64
    b: np.uint64
    members: np.ndarray
    starts: np.ndarray
    allocation: np.ndarray
    weights: np.ndarray
    chances: np.ndarray
    lowest: np.uint64
    cut: np.ndarray
    alias: np.ndarray


@jit
def walker(probabilities, cut, alias):
    """Walker's table of float64[n], by Vose's method."""
    n = probabilities.size
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    few, many = 0, 0
    for i in range(n):
        cut[i], alias[i] = probabilities[i] * n, i
        if cut[i] < 1.0:
            small[few] = i
            few += 1
        else:
            large[many] = i
            many += 1
    while few > 0 and many > 0:
        few -= 1
        s, t = small[few], large[many - 1]
        alias[s] = t
        cut[t] -= 1.0 - cut[s]
        if cut[t] < 1.0:
            many -= 1
            small[few] = t
            few += 1
    # What is left is 1 up to rounding.
    for i in range(few):
        cut[small[i]] = 1.0
    for i in range(many):
        cut[large[i]] = 1.0
    return 0


@leaf
def _subset(words, entries, count, size, index, at):
    """`size` of 0 .. count - 1 to index[at:]; entries: identity uint32[>= count], restored."""
    for i in range(size):
        k = i + below(words, count - i)
        index[at + i] = entries[k]
        entries[k] = entries[i]
    for i in range(size):
        k = index[at + i]
        entries[k] = k


@leaf
def _bernoulli(words, table, entries, index, weight, at):
    bits = word64(words)
    # The first size whose distribution is above the bits, by bisection; the last one takes the rest.
    low, high = _0, np.uint64(table.chances.size - 1)
    while low < high:
        middle = (low + high) >> _1
        if bits < table.chances[middle]:
            high = middle
        else:
            low = middle + _1
    size = table.lowest + low
    _subset(words, entries, table.n, size, index, at)
    inverse = 1.0 / np.float64(table.b)
    for i in range(size):
        weight[at + i] = inverse
    return size


@leaf
def _stratified(words, table, entries, index, weight, at):
    size = _0
    for h in range(table.allocation.size):
        first, count, of = table.starts[h], table.starts[h + 1] - table.starts[h], table.allocation[h]
        _subset(words, entries, count, of, index, at + size)
        for i in range(at + size, at + size + of):
            index[i] = table.members[first + np.uint64(index[i])]
            weight[i] = table.weights[h]
        size += of
    return size


@leaf
def _importance(words, table, index, weight, at):
    for i in range(at, at + table.b):
        column = below(words, table.n)
        k = np.uint64(table.alias[column]) if unit(words) >= table.cut[column] else column
        index[i] = k
        weight[i] = table.weights[k]
    return table.b


@leaf
def draw(words, table, entries, index, weight, at):
    """One batch at index[at:], weight[at:]; returns its size. Not for reshuffling, which goes on from step to step."""
    if table.method == BERNOULLI:
        return _bernoulli(words, table, entries, index, weight, at)
    if table.method == STRATIFIED:
        return _stratified(words, table, entries, index, weight, at)
    return _importance(words, table, index, weight, at)


@leaf
def _reshuffled(words, table, entries, mark, seed, replicate, step, index, weight, at):
    """The batch of a step out of the permutation of its epoch, taken up where `mark` (uint64[3]) says.

    mark: epoch + 1 of the permutation under way (0: none), swaps made, words used for them.
    """
    length = table.n // table.b
    epoch, place = step // length, step % length
    first = place * table.b
    if mark[0] != epoch + _1 or mark[1] > first:
        mark[0], mark[1], mark[2] = epoch + _1, _0, _0
        for i in range(table.n):
            entries[i] = i
    begin(words, PURPOSE_EPOCH, seed, replicate, epoch, mark[2])
    inverse = 1.0 / np.float64(table.b)
    for i in range(mark[1], first + table.b):
        k = i + below(words, table.n - i)
        if i >= first:
            index[at + i - first] = entries[k]
            weight[at + i - first] = inverse
        entries[k] = entries[i]
    mark[1], mark[2] = first + table.b, taken(words)
    return table.b


@parallel
def _fill_task(
    task, tasks, method, n, b, members, starts, allocation, weights, chances, lowest, cut, alias,
    entries, marks, seed, first_replicate, first_step, pitch, index, weight, size,
):  # fmt: skip
    """The part of `fill_batches` that is number `task` of `tasks`: some successive replicates."""
    table = Table(method, n, b, members, starts, allocation, weights, chances, lowest, cut, alias)
    words = make_words()
    replicates, steps = size.shape
    for r in range(replicates * task // tasks, replicates * (task + 1) // tasks):
        replicate = first_replicate + np.uint64(r)
        for k in range(steps):
            step, at = first_step + np.uint64(k), np.uint64(r * steps + k) * pitch
            if method == RESHUFFLE:
                size[r, k] = _reshuffled(
                    words, table, entries[r], marks[r], seed, replicate, step, index, weight, at
                )  # fmt: skip
            else:
                begin(words, PURPOSE_BATCH, seed, replicate, step, _0)
                size[r, k] = draw(words, table, entries[task], index, weight, at)
    return np.int64(0)


def fill_batches(tasks, table, entries, marks, seed, first_replicate, first_step, pitch, index, weight, size):
    """Batches of replicates first_replicate... at steps first_step...

    entries: uint32[tasks, n], the identity in each row; of reshuffling uint32[R, n], and marks uint64[R, 3], zeros at
    first: both are kept from one call to the next for the same replicates (any rows give the same batches).
    index: uint32, weight: float64, flat [R, steps, pitch]; size: int64[R, steps]; pitch, seed, first_*: uint64; tasks:
    parts into which the replicates are divided among threads. Returns 0.
    """
    address = (seed, first_replicate, first_step)
    return _fill_task(tasks, tasks, *table, entries, marks, *address, pitch, index, weight, size)

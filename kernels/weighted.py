"""Mini-batches whose samples have weights or are drawn unevenly: a pure function of (seed, replicate, step) and a design.

    reshuffle    permutations of the pool, one an epoch of floor(n / b) steps, cut into batches; w = 1/b
    bernoulli    each sample with chance b/n, by itself; w = 1/b for the Horvitz-Thompson estimator of the mean
    stratified   n_h of the samples of each stratum without replacement; w = W_h / n_h
    importance   b independent draws with chances p_i; w = 1/(b n p_i)

Words of an address are used in order; integers by Lemire's method with rejection, as in `draws`. A permutation is the one of
its epoch: it stands at the address (seed, replicate, epoch) of `PURPOSE_EPOCH`.
"""

from typing import NamedTuple

import numpy as np

from ._jit import jit
from .philox import PURPOSE_BATCH, PURPOSE_EPOCH, counter_high, philox4x32

SIMPLE = (0, 1)  # codes of `draws`
RESHUFFLE, BERNOULLI, STRATIFIED, IMPORTANCE = 2, 3, 4, 5

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_1, _2, _3 = (np.uint64(i) for i in range(1, 4))
_TWO_32 = np.uint64(2**32)
_2_53 = 1.0 / 9007199254740992.0


class Table(NamedTuple):
    """A design, and the batch drawn last: index[i] with weight[i].

    order      int64[n]    samples, stratum after stratum; a permutation under way
    allocation int64[H]    n_h
    starts     int64[H+1]  first place of each stratum in `order`
    cut, alias float64[n], int64[n]   Walker's tables
    state      int64[2]    epoch of the permutation in `order` (-1: none), its replicate is the caller's
    words      uint64[5]   four words of a block, and how many are used in all
    """

    design: np.int64
    n: np.int64
    b: np.int64
    index: np.ndarray
    weight: np.ndarray
    order: np.ndarray
    allocation: np.ndarray
    starts: np.ndarray
    cut: np.ndarray
    alias: np.ndarray
    chances: np.ndarray
    state: np.ndarray
    words: np.ndarray


@jit
def make_table(n, b, design, parts, allocation, chances):
    """Table of a design.

    parts int64[n] stratum of each sample, allocation int64[H] samples a stratum (stratified); chances float64[n], sum 1
    (importance); arrays that a design has no use for are of any size.
    """
    places = n if design == BERNOULLI else b
    order = np.arange(n if design in (RESHUFFLE, STRATIFIED) else 1)
    starts = np.zeros(allocation.size + 1, np.int64)
    if design == STRATIFIED:
        for i in range(n):
            starts[parts[i] + 1] += 1
        for h in range(allocation.size):
            starts[h + 1] += starts[h]
        free = starts.copy()
        for i in range(n):
            order[free[parts[i]]] = i
            free[parts[i]] += 1
    many = n if design == IMPORTANCE else 1
    cut, alias = np.ones(many), np.arange(many)
    if design == IMPORTANCE:
        _walker(chances, cut, alias)
    return Table(
        np.int64(design), np.int64(n), np.int64(b), np.zeros(places, np.int64), np.full(places, 1.0 / b), order,
        allocation, starts, cut, alias, chances, np.full(2, -1, np.int64), np.zeros(5, np.uint64),
    )  # fmt: skip


@jit
def _walker(chances, cut, alias):
    """Walker's alias tables: column i is i below cut[i] and alias[i] above."""
    n = chances.size
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    few, many = 0, 0
    for i in range(n):
        cut[i] = chances[i] * n
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
    for i in range(few):
        cut[small[i]] = 1.0
    for i in range(many):
        cut[large[i]] = 1.0


@jit
def _word(words, purpose, seed, replicate, step):
    """The next word of an address."""
    used = words[4]
    if used & _3 == np.uint64(0):
        c3 = counter_high(purpose, replicate, step)
        w0, w1, w2, w3 = philox4x32(used >> _2, step & _LOW, replicate & _LOW, c3, seed & _LOW, seed >> _32)
        words[0], words[1], words[2], words[3] = w0 & _LOW, w1 & _LOW, w2 & _LOW, w3 & _LOW
    words[4] = used + _1
    return words[used & _3]


@jit
def _below(r, words, purpose, seed, replicate, step):
    """An integer below r, unbiased."""
    reject = (_TWO_32 - r) % r
    while True:
        m = _word(words, purpose, seed, replicate, step) * r
        if m & _LOW >= reject:
            return np.int64(m >> _32)


@jit
def _unit(words, purpose, seed, replicate, step):
    """A uniform on [0, 1) from two words."""
    low = _word(words, purpose, seed, replicate, step)
    high = _word(words, purpose, seed, replicate, step)
    return np.float64((low | (high << _32)) >> np.uint64(11)) * _2_53


@jit
def draw_weighted(table, seed, replicate, step):
    """Draw the batch of (seed, replicate, step), uint64, to table.index and table.weight; returns its size.

    `table.state[0]` must be set to -1 when the replicate changes.
    """
    words, order = table.words, table.order
    if table.design == RESHUFFLE:
        return _reshuffled(table, seed, replicate, step)
    words[4] = np.uint64(0)
    size = 0
    if table.design == BERNOULLI:
        chance = table.b / table.n
        for i in range(table.n):
            if _unit(words, PURPOSE_BATCH, seed, replicate, step) < chance:
                table.index[size] = i
                size += 1
    elif table.design == STRATIFIED:
        for h in range(table.allocation.size):
            first, count = table.starts[h], table.starts[h + 1] - table.starts[h]
            weight = np.float64(count) / (np.float64(table.n) * np.float64(table.allocation[h]))
            begin = size
            for i in range(table.allocation[h]):
                k = first + i + _below(np.uint64(count - i), words, PURPOSE_BATCH, seed, replicate, step)
                table.index[size], table.weight[size] = k, weight
                order[first + i], order[k] = order[k], order[first + i]
                size += 1
            # Swaps are taken back, last first: the permutation does not depend on history.
            for i in range(table.allocation[h] - 1, -1, -1):
                k = table.index[begin + i]
                table.index[begin + i] = order[first + i]
                order[first + i], order[k] = order[k], order[first + i]
    else:
        for i in range(table.b):
            column = _below(np.uint64(table.n), words, PURPOSE_BATCH, seed, replicate, step)
            above = _unit(words, PURPOSE_BATCH, seed, replicate, step) >= table.cut[column]
            k = table.alias[column] if above else column
            table.index[i] = k
            table.weight[i] = 1.0 / (np.float64(table.b) * np.float64(table.n) * table.chances[k])
        size = table.b
    return size


@jit
def _reshuffled(table, seed, replicate, step):
    """The batch of a step out of the permutation of its epoch, which is made when the epoch changes."""
    order, words = table.order, table.words
    length = np.uint64(table.n // table.b)
    epoch, place = step // length, np.int64(step % length)
    if table.state[0] != np.int64(epoch):
        table.state[0] = np.int64(epoch)
        words[4] = np.uint64(0)
        for i in range(table.n):
            order[i] = i
        for i in range(table.n - 1):
            k = i + _below(np.uint64(table.n - i), words, PURPOSE_EPOCH, seed, replicate, epoch)
            order[i], order[k] = order[k], order[i]
    for i in range(table.b):
        table.index[i] = order[place * table.b + i]
    return table.b


@jit
def draw_many(n, b, design, parts, allocation, chances, seed, replicate, first_step, values, out):
    """out[s] = sum_i w_i values[i] over the batch of step first_step + s: values float64[n, m], out float64[steps, m]."""
    table = make_table(n, b, design, parts, allocation, chances)
    for s in range(out.shape[0]):
        size = draw_weighted(table, seed, replicate, first_step + np.uint64(s))
        for j in range(values.shape[1]):
            total = 0.0
            for i in range(size):
                total += table.weight[i] * values[table.index[i], j]
            out[s, j] = total
    return 0

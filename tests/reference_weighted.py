"""Weighted draws in plain Python integers: one word, one comparison at a time."""

from collections.abc import Iterator

import numpy as np
from reference_draws import below
from reference_philox import block

Batch = tuple[list[int], list[float]]


def words(seed: int, purpose: str, replicate: int, step: int) -> Iterator[int]:
    """The 32-bit words of an address, in order."""
    number = 0
    while True:
        yield from block(seed, purpose, replicate, step, number)
        number += 1


def word64(source: Iterator[int]) -> int:
    low = next(source)
    return low | next(source) << 32


def subset(count: int, size: int, source: Iterator[int]) -> list[int]:
    entries = list(range(count))
    for i in range(size):
        k = i + below(count - i, source)
        entries[i], entries[k] = entries[k], entries[i]
    return entries[:size]


def reshuffle(n: int, b: int, seed: int, replicate: int, step: int) -> Batch:
    epoch, place = divmod(step, n // b)
    order = subset(n, n, words(seed, "epoch", replicate, epoch))
    return order[place * b : (place + 1) * b], [1.0 / b] * b


def bernoulli(n: int, b: int, chances: list[int], lowest: int, seed: int, replicate: int, step: int) -> Batch:
    source = words(seed, "batch", replicate, step)
    bits = word64(source)
    size = lowest + next((j for j, chance in enumerate(chances) if bits < chance), len(chances) - 1)
    return subset(n, size, source), [1.0 / b] * size


def stratified(strata: list[list[int]], allocation: list[int], seed: int, replicate: int, step: int) -> Batch:
    source = words(seed, "batch", replicate, step)
    n, index, weight = sum(map(len, strata)), [], []
    for members, size in zip(strata, allocation, strict=True):
        index += [members[i] for i in subset(len(members), size, source)]
        weight += [len(members) / n / size] * size
    return index, weight


def walker(p: np.ndarray) -> tuple[list[float], list[int]]:
    n = len(p)
    cut, alias = [float(x * n) for x in p], list(range(n))
    small, large = [i for i in range(n) if cut[i] < 1.0], [i for i in range(n) if cut[i] >= 1.0]
    while small and large:
        s, t = small.pop(), large[-1]
        alias[s] = t
        cut[t] -= 1.0 - cut[s]
        if cut[t] < 1.0:
            small.append(large.pop())
    for i in small + large:
        cut[i] = 1.0
    return cut, alias


def importance(p: np.ndarray, b: int, seed: int, replicate: int, step: int) -> Batch:
    source, (cut, alias) = words(seed, "batch", replicate, step), walker(p)
    index = []
    for _ in range(b):
        column = below(len(p), source)
        u = (word64(source) >> 11) / 2**53
        index.append(alias[column] if u >= cut[column] else column)
    return index, [1.0 / (b * len(p) * float(p[i])) for i in index]

"""How batches of a design on a pool are drawn, as arrays: what the kernel `weighted_draws` needs beside the address."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 2**64


@dataclass(frozen=True, eq=False)
class OwnDraws:
    """A user's draw function.

    Attributes:
        kernels: module of `kernels.own_draws`.
        how: code of its weights. params: float64[m]. table: of weights.
        guard: what all calls of the kernels go through, as `problems.patience.Guard`; a unit of work is a batch.
        name: the function's, with its file if it has one.
    """

    kernels: Any
    how: int
    params: NDArray[np.float64]
    table: NDArray[np.float64]
    guard: Any
    name: str


@dataclass(frozen=True, eq=False)
class Draws:
    """A design bound to a pool of n.

    Attributes:
        method: a name of `kernels.weighted_draws.METHODS`.
        n, b: pool size, (mean) batch. most: largest size of a batch.
        members, starts, allocation: strata, see the kernel.
        weights: float64, of each stratum or sample.
        probabilities: float64[n] (importance).
        chances, lowest: distribution of the size (bernoulli).
        own: a user's draw function with what it needs (own).
    """

    method: str  # or "own"
    n: int
    b: int
    most: int
    members: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(1, np.uint32))
    starts: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1, np.uint64))
    allocation: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1, np.uint64))
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    probabilities: NDArray[np.float64] | None = None
    chances: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1, np.uint64))
    lowest: int = 0
    own: OwnDraws | None = None

    @property
    def epochs(self) -> bool:
        """Whether a batch depends on the ones before it in its epoch."""
        return self.method == "reshuffle"


def binomial(n: int, b: int) -> tuple[NDArray[np.uint64], int]:
    """2^64 P(size <= lowest + j) rounded down, and `lowest`; size is binomial (n, b/n).

    Sizes of a probability below 2^-70 of the largest are left out. Only * / and integers, so that every machine has the same
    table.
    """
    if b == n:
        return np.array([_BITS - 1], np.uint64), n
    odds = b / (n - b)
    mode = min((n + 1) * b // n, n)
    up, down = [1.0], []
    k, value = mode, 1.0
    while k < n and value > 2.0**-70:
        value *= (n - k) / (k + 1) * odds
        k += 1
        up.append(value)
    k, value = mode, 1.0
    while k > 0 and value > 2.0**-70:
        value *= k / (n - k + 1) / odds
        k -= 1
        down.append(value)
    mass = [int(value * 2.0**200) for value in down[::-1] + up]
    total, below, chances = sum(mass), 0, []
    for part in mass:
        below += part
        chances.append(min(below * _BITS // total, _BITS - 1))
    chances[-1] = _BITS - 1
    return np.array(chances, np.uint64), k

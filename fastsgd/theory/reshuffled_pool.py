"""Epoch reshuffling of a small pool, exactly: mean and second moment of an affine recursion, noise of each state included.

Extends (36).

The gradient of sample i is A_i Delta + g_i. With z = (Delta, 1) a step with the batch B is z' = M_B z, and W = E z z' follows
W -> M_B W M_B'. Of a uniform permutation the batch used last is, given the set S of the samples used so far in the epoch, a
uniform b-subset of S, and what came before is a uniform order of the rest:

    W_S = mean over B in S of M_B W_{S - B} M_B',   W_{} = W at the end of the epoch before,

which is a recursion over the subsets of the pool in the place of its n! orders. The moments after j steps of an epoch are the
mean of W_S over all S of size j b. Exact for least squares; for other losses, with the Hessians of the samples at the
optimum, the leading order in the step size, whose relative error is of the order of the step size.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array

LARGEST = 4e6  # pairs of a set and a batch of it, times entries of W


def work(pool_size: int, batch: int, dimension: int) -> float:
    """Pairs of a set and its last batch over an epoch, times (d + 1)^2; `epoch` refuses more than `LARGEST`."""
    sizes = range(batch, pool_size + 1, batch)
    return float(sum(math.comb(pool_size, s) * math.comb(s, batch) for s in sizes)) * (dimension + 1) ** 2


def epoch(hessians: ArrayLike, gradients: ArrayLike, eta: float, batch: int) -> Array:
    """What the steps 0 .. K of an epoch add to vec W at the end of the one before, K = floor(n/b), float64[K + 1, q, q].

    q = (d + 1)^2; W after j steps is W + (result[j] vec W): maps less the identity, so that small steps keep their digits.

    Args:
        hessians: A_i, float64[n, d, d]; gradients: g_i at the optimum, float64[n, d].

    Raises:
        ValueError: a bad argument, or more work than `LARGEST`.
    """
    A = _check.array("hessians", hessians, (None, None, None))
    n, d, _ = A.shape
    g, b = _check.array("gradients", gradients, (n, d)), _check.count("batch", batch)
    if b > n:
        raise ValueError(f"batch must be <= the {n} samples of the pool, got {b}")
    if work(n, b, d) > LARGEST:
        raise ValueError(f"a pool of {n} samples has too many subsets for batches of {b}; take fewer samples")
    q = (d + 1) ** 2
    each = np.zeros((n, d + 1, d + 1))
    each[:, :d, :d], each[:, :d, d] = A, g
    batches = {last: place for place, last in enumerate(combinations(range(n), b))}
    M = -eta * np.stack([each[list(last)].mean(axis=0) for last in batches])
    eye = np.eye(d + 1)
    turns = M[:, :, None, :, None] * eye[None, None, :, None, :] + eye[None, :, None, :, None] * M[:, None, :, None, :]
    turns = (turns + M[:, :, None, :, None] * M[:, None, :, None, :]).reshape(-1, q, q)
    found, level = [np.zeros((q, q))], {0: np.zeros((q, q))}
    for size in range(b, b * (n // b) + 1, b):
        after: dict[int, Array] = {}
        for members in combinations(range(n), size):
            whole, lasts = sum(1 << i for i in members), list(combinations(members, b))
            turn = turns[[batches[last] for last in lasts]]
            before = np.stack([level[whole - sum(1 << i for i in last)] for last in lasts])
            both = np.tensordot(turn, before, axes=([0, 2], [0, 1]))
            after[whole] = (turn.sum(axis=0) + before.sum(axis=0) + both) / len(lasts)
        level = after
        found.append(np.mean(list(after.values()), axis=0))
    return np.stack(found)


def moments(maps: Array, steps: ArrayLike, mean0: ArrayLike, second0: ArrayLike) -> tuple[Array, Array]:
    """Mean float64[S, d] and second moment E Delta Delta' float64[S, d, d] at recorded steps; step 0 begins an epoch.

    maps: from `epoch`; mean0 float64[d]; second0 float64[d, d], Cov Delta_0 + m_0 m_0'. To rounding, whatever the number of
    epochs, of the larger of the start and eta^2 |g|^2.
    """
    d, K = math.isqrt(maps.shape[1]) - 1, len(maps) - 1
    W = np.ones((d + 1, d + 1))
    W[:d, :d] = _check.array("second0", second0, (d, d))
    W[:d, d] = W[d, :d] = _check.array("mean0", mean0, (d,))
    recorded, state, begun = _check.recorded_steps(steps), W.ravel(), 0
    means, seconds = np.empty((recorded.size, d)), np.empty((recorded.size, d, d))
    for s, k in enumerate(int(k) for k in recorded):
        state = _repeated(maps[K], state, k // K - begun)
        begun = k // K
        here = (state + maps[k % K] @ state).reshape(d + 1, d + 1)
        means[s], seconds[s] = here[:d, d], here[:d, :d]
    return means, seconds


def _repeated(added: Array, state: Array, times: int) -> Array:
    """(I + added)^times state, by squaring."""
    while times:
        if times & 1:
            state = state + added @ state
        added = 2.0 * added + added @ added
        times >>= 1
    return state

"""Exact covariance of a mini-batch gradient under designs beyond simple random sampling. Extensions of Section 4.

Pools are given by their per-sample gradients g, float64[n, d], at one point; each result is float64[d, d], conditional
on the pool, for an estimator that is unbiased for the mean of the pool (unless stated).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, _dd, _product
from fastsgd.theory._check import Array
from fastsgd.theory.conditioning import given_pool, pool_covariance
from fastsgd.theory.eigen import symmetrise
from fastsgd.theory.projection import spectrum


def poisson(gradients: ArrayLike, inclusion: ArrayLike) -> Array:
    """Poisson sampling, Horvitz-Thompson: (1/n^2) sum (1 - p_i)/p_i g_i g_i'.

    Sample i enters independently with probability p_i, inclusion float64[n] in (0, 1] (a number: Bernoulli sampling),
    and the estimator is (1/n) sum_drawn g_i/p_i. The gradients' mean counts too: the size of the batch is random.
    """
    g = _pool(gradients)
    p = np.broadcast_to(_check.array("inclusion", inclusion), (g.shape[0],))
    if np.min(p) <= 0.0 or np.max(p) > 1.0:
        raise ValueError(f"inclusion must be in (0, 1], got {float(np.min(p)):.6g} to {float(np.max(p)):.6g}")
    result: Array = (g.T * ((1.0 - p) / p)) @ g / g.shape[0] ** 2
    return result


def bernoulli_mean_factor(inclusion: float, pool_size: int) -> float:
    """f with Cov = f S_n (1/n) for the mean over the drawn samples of Bernoulli sampling, empty draws drawn again.

    Given its size m the batch is a simple random sample, so f = E[(n - m)/((n - 1) m) | m >= 1], m binomial.
    """
    n, p = _check.count("pool_size", pool_size, 2), _check.positive("inclusion", inclusion)
    if p >= 1.0:
        return 0.0
    mode = min(max(1, math.floor((n + 1) * p)), n)
    reach = 40 * math.ceil(math.sqrt(n * p * (1.0 - p)) + 10.0)  # what is farther weighs less than 1e-100
    up, down = np.arange(mode, min(n, mode + reach)), np.arange(mode, max(1, mode - reach), -1)
    odds = p / (1.0 - p)
    with np.errstate(under="ignore"):
        above = np.cumprod((n - up) / (up + 1.0) * odds)
        below = np.cumprod(down / (n - down + 1.0) / odds)
    m = np.concatenate([down[::-1] - 1, [mode], up + 1]).astype(np.float64)
    weights = np.concatenate([below[::-1], [1.0], above])  # binomial, relative to the mode
    return float(np.sum(weights * (n - m) / ((n - 1.0) * m)) / np.sum(weights))


def stratified(gradients: Sequence[ArrayLike], allocation: Sequence[int]) -> Array:
    """Stratified sampling: sum_h W_h^2 (1 - f_h) S_h/n_h, simple random sampling of n_h from N_h inside each stratum.

    gradients: one float64[N_h, d] a stratum; allocation: n_h, 1 <= n_h <= N_h. W_h = N_h/n, f_h = n_h/N_h, S_h with
    1/(N_h - 1); the estimator is sum_h W_h mean_h.
    """
    strata = [_pool(g) for g in gradients]
    if len(strata) != len(allocation) or not strata:
        raise ValueError(f"allocation must have one size a stratum, got {len(allocation)} for {len(strata)} strata")
    n = sum(g.shape[0] for g in strata)
    total = np.zeros((strata[0].shape[1], strata[0].shape[1]))
    for g, size in zip(strata, allocation, strict=True):
        total += (g.shape[0] / n) ** 2 * given_pool(pool_covariance(g), size, g.shape[0])
    return total


def proportional_allocation(sizes: ArrayLike, batch: int) -> NDArray[np.int64]:
    """n_h close to b N_h/n, at least 1, at most N_h, summing to b; int64[H]. sizes: N_h."""
    return _allocate(np.asarray(sizes, np.int64), np.asarray(sizes, np.float64), batch)


def neyman_allocation(sizes: ArrayLike, spreads: ArrayLike, batch: int) -> NDArray[np.int64]:
    """n_h close to b N_h s_h/sum N s, at least 1, at most N_h, summing to b; int64[H].

    spreads: s_h, float64[H], for example sqrt(tr(F S_h)): then tr(F Cov) is the smallest of all allocations, up to
    rounding.
    """
    counts = np.asarray(sizes, np.int64)
    s = _check.array("spreads", spreads, (counts.size,))
    if np.min(s) < 0.0:
        raise ValueError("spreads must be >= 0")
    return _allocate(counts, counts.astype(np.float64) * np.maximum(s, 1e-12 * max(float(np.max(s)), 1e-300)), batch)


def importance(gradients: ArrayLike, probabilities: ArrayLike, batch: int) -> Array:
    """Importance sampling (Hansen-Hurwitz): (1/b) [ (1/n^2) sum g_i g_i'/p_i - gmean gmean' ].

    b independent draws with replacement, sample i with probability p_i > 0 (float64[n], sum 1); the estimator is
    (1/b) sum g_i/(n p_i). Smallest trace for p_i proportional to |g_i|.
    """
    g = _pool(gradients)
    n = g.shape[0]
    p = _check.array("probabilities", probabilities, (n,))
    if np.min(p) <= 0.0 or abs(float(np.sum(p)) - 1.0) > 1e-9:
        raise ValueError(f"probabilities must be > 0 and sum to 1, got sum {float(np.sum(p)):.9g}")
    scaled = g / (n * p)[:, None] - g.mean(axis=0)
    result: Array = (scaled.T * p) @ scaled / _check.count("batch", batch)
    return result


def antithetic(G: ArrayLike, cross: ArrayLike, batch: int) -> Array:
    """Antithetic pairs: (G + (C + C')/2)/b, C = Cov(g(u), g(1 - u)) float64[d, d], b even, b/2 independent pairs.

    Below G/b in Loewner order iff the symmetric part of C is negative semidefinite. Fresh data from a simulator.
    """
    noise = _check.covariance("G", G)
    b = _check.count("batch", batch, 2)
    if b % 2:
        raise ValueError(f"batch must be even for antithetic pairs, got {b}")
    C = _check.array("cross", cross, noise.shape)
    total = _dd.add(_product.pair(noise), _dd.scale(_dd.two_sum(C, C.T), 0.5))  # little may be left of much
    return symmetrise(total[0] + total[1]) / b


def control_variate(G: ArrayLike, cross: ArrayLike, variate: ArrayLike, batch: int) -> Array:
    """Optimal linear control variates: (G - C K^+ C')/b, with C = Cov(g, c) float64[d, m] and K = Cov(c) float64[m, m].

    The coefficient B = C K^+ is taken as known and the mean of c as known; never above G/b.
    """
    noise = _check.covariance("G", G)
    K = _check.covariance("variate", variate)
    C = _check.array("cross", cross, (noise.shape[0], K.shape[0]))
    basis, values, inside = spectrum("variate", K)
    turned = (C, np.zeros_like(C)) if basis.vectors is None else _product.product(_product.pair(C), basis.pair())
    root = _dd.sqrt((values[inside], basis.correction[inside]))
    part = _dd.divide((turned[0][:, inside], turned[1][:, inside]), root)
    taken = _product.product(part, _product.transpose(part))
    left = _dd.add(_product.pair(noise), (-taken[0], -taken[1]))  # little may be left of much
    return symmetrise(left[0] + left[1]) / _check.count("batch", batch)


def control_variate_fixed(G: ArrayLike, cross: ArrayLike, variate: ArrayLike, B: ArrayLike, batch: int) -> Array:
    """Control variates with any coefficient B float64[d, m]: (G - B C' - C B' + B K B')/b; can be above G/b."""
    noise = _check.covariance("G", G)
    K = _check.covariance("variate", variate)
    C = _check.array("cross", cross, (noise.shape[0], K.shape[0]))
    beta = _check.array("B", B, C.shape)
    pair = _product.pair
    BC = _product.product(pair(beta), pair(C.T.copy()))
    BKB = _product.product(_product.product(pair(beta), pair(K)), pair(beta.T.copy()))
    left = _dd.add(_dd.add(pair(noise), BKB), _dd.add((-BC[0], -BC[1]), (-BC[0].T, -BC[1].T)))
    return symmetrise(left[0] + left[1]) / _check.count("batch", batch)


def common_variates(first: ArrayLike, second: ArrayLike, cross: ArrayLike) -> Array:
    """Covariance of a difference under common random numbers: A + B - C - C', C = Cov(a, b); float64[d, d]."""
    A = _check.covariance("first", first)
    B, C = _check.covariance("second", second, A.shape[0]), _check.array("cross", cross, A.shape)
    total = _dd.add(_dd.two_sum(A, B), _dd.two_sum(-C, -C.T))
    return symmetrise(total[0] + total[1])


def _pool(gradients: ArrayLike) -> Array:
    g = _check.array("gradients", gradients, (None, None))
    if g.shape[0] < 1:
        raise ValueError("gradients must have at least one row")
    return g


def _allocate(sizes: NDArray[np.int64], weights: Array, batch: int) -> NDArray[np.int64]:
    b = _check.count("batch", batch)
    if sizes.ndim != 1 or np.min(sizes, initial=1) < 1 or not sizes.size <= b <= int(np.sum(sizes)):
        raise ValueError(f"batch must be between {sizes.size} (one a stratum) and the pool size, got {b}")
    given = np.ones(sizes.size, np.int64)
    for _ in range(b - sizes.size):
        # the next sample goes where it lowers sum weights^2/n_h most; full strata are out
        gain = np.where(given < sizes, weights**2 / (given * (given + 1.0)), -1.0)
        given[int(np.argmax(gain))] += 1
    return given

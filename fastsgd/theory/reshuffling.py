"""Epoch reshuffling with additive noise: the covariance of the linear recursion at every step, exactly.

Extends Lemma 4.1 and (36).

An epoch is K = floor(n/b) steps that use disjoint batches of one random permutation of the pool. The mini-batch noise of a
step has covariance (n-b)/((n-1) b) S_n; two steps of one epoch have -S_n/(n-1); epochs are independent. (Two different
samples drawn without replacement have covariance -S_n/(n-1); S_n with 1/n.) So with u_j = eta_j prod_{j < i < t} (I - eta_i H)
what t steps of one epoch add is

    W_t = (1/(n-1)) [ (n/b) sum_j u_j S_n u_j' - (sum_j u_j) S_n (sum_j u_j)' ],   j = 0 .. t-1,

and from one epoch to the next Cov' = (prod) Cov (prod)' + W_K. For b that divides n and eta K -> 0 this is
W_K ~ eta^4 K^3 H S_n H / (12 b): noise cancels over an epoch, and the covariance is of order eta^3, not eta.

Valid where the gradients of all samples have the same Hessian (a location model). Elsewhere the fluctuation of the Hessian
between samples adds a part of relative order 1/n that does not vanish with the step size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.paths import Etas


def epoch_length(pool_size: int, batch: int) -> int:
    """K = floor(n/b) steps; the n - K b samples at the end of a permutation are left out."""
    return pool_size // batch


def moments(
    H: ArrayLike | Eigenbasis,
    noise: ArrayLike,
    etas: Etas,
    steps: ArrayLike,
    mean0: ArrayLike,
    covariance0: ArrayLike,
    batch: int,
    pool_size: int,
) -> tuple[Array, Array]:
    """Mean float64[S, d] and covariance float64[S, d, d] of Delta at recorded steps; step 0 begins an epoch.

    noise: S_n with 1/n, float64[d, d]; pool_size: n > 1. Infinite after an overflow. A constant step takes O(K d^2), any
    other O(T d^2) for T steps.
    """
    basis = eigenbasis(H, "the Hessian")
    lam, n = basis.values, _check.count("pool_size", pool_size, 2)
    S = basis.into(_check.covariance("noise", noise, lam.size))
    K, eta = epoch_length(n, _check.count("batch", batch)), paths.constant_step(etas)
    recorded, begun = _check.recorded_steps(steps), 0
    m = basis.into_vector(_check.array("mean0", mean0, (lam.size,)))
    C = basis.into(_check.covariance("covariance0", covariance0, lam.size))
    means, covs = np.empty((recorded.size, lam.size)), np.empty((recorded.size, lam.size, lam.size))
    with np.errstate(over="ignore", invalid="ignore"):
        whole = None if eta is None else _epoch(basis, np.full(K, eta), S, batch, n)
        for s, k in enumerate(int(k) for k in recorded):
            if whole is not None:
                m, C = _repeat(*whole, m, C, k // K - begun)
            else:
                for e in range(begun, k // K):
                    m, C = _apply(*_epoch(basis, _sizes(etas, e * K, (e + 1) * K), S, batch, n), m, C)
            begun = k // K
            here, cov = _apply(*_epoch(basis, _sizes(etas, begun * K, k), S, batch, n), m, C)
            means[s], covs[s] = basis.back_vector(here), basis.back(cov)
    lost = ~(np.isfinite(means).all(axis=1) & np.isfinite(covs).all(axis=(1, 2)))
    means[lost], covs[lost] = np.inf, np.inf
    return means, covs


def stationary(H: ArrayLike | Eigenbasis, noise: ArrayLike, eta: float, batch: int, pool_size: int) -> Array:
    """Covariance at the ends of epochs in the long run, float64[d, d]. Raises ValueError at eta >= 2/lambda_max(H)."""
    basis, eta = eigenbasis(H, "the Hessian"), _check.positive("eta", eta)
    if float(np.min(basis.values)) <= 0.0:
        raise ValueError(f"the Hessian must be positive definite, got eigenvalue {float(np.min(basis.values)):.6g}")
    if not 0.0 < eta * float(np.max(basis.values)) < 2.0:
        raise ValueError(f"eta must be between 0 and 2/lambda_max(H) = {2.0 / np.max(basis.values):.6g}, got {eta:.6g}")
    S = basis.into(_check.covariance("noise", noise, basis.dimension))
    K = epoch_length(pool_size, batch)
    _, W = _epoch(basis, np.full(K, eta), S, batch, pool_size)
    x, a, g = factors.contraction(basis, eta)
    logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    gap = factors.pair_gap(x, g)
    lost = gap * factors.geometric_sum(gap, np.add.outer(logs, logs), np.multiply.outer(sign, sign), K)
    return basis.back(W / lost)


def _sizes(etas: Etas, first: int, last: int) -> Array:
    parts = [paths.step_sizes(etas, k, min(k + paths.CHUNK, last)) for k in range(first, last, paths.CHUNK)]
    return np.concatenate(parts) if parts else np.empty(0)


def _epoch(basis: Eigenbasis, sizes: Array, S: Array, batch: int, pool_size: int) -> tuple[Array, Array]:
    """(product of 1 - eta lam, W_t) over the first t = len(sizes) steps of an epoch, in the eigenbasis of H."""
    if sizes.size == 0:
        return np.ones_like(basis.values), np.zeros_like(S)
    x, a, g = factors.contraction(basis, sizes[:, None])
    logs, signs = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    sums = np.zeros_like(logs)
    with np.errstate(under="ignore"):
        sums[:-1] = np.cumsum(logs[:0:-1], axis=0)[::-1]
        turns = np.ones_like(signs)
        turns[:-1] = np.cumprod(signs[:0:-1], axis=0)[::-1]
        gone = np.where(turns > 0.0, np.expm1(sums), -1.0 - np.exp(sums))  # product of later factors, less 1
        whole = turns[0] * signs[0] * np.exp(sums[0] + logs[0])
    moved = sizes[:, None] * gone
    # u = eta_j + eta_j (product - 1): steps that are all but equal and small lose nothing when the mean is taken off
    even = (sizes - math.fsum(sizes) / len(sizes))[:, None] if np.any(sizes != sizes[0]) else 0.0
    centred = even + (moved - moved.mean(axis=0))
    mean = sizes.mean() + moved.mean(axis=0)
    t, n = len(sizes), pool_size
    # (n/b) sum u u' - (sum u)(sum u)' with the sum of squares centred, so that nothing is lost over a whole epoch
    form = (n / batch) * (centred.T @ centred) + (t * (n - batch * t) / batch) * np.multiply.outer(mean, mean)
    return whole, form * S / (n - 1)


def _apply(decay: Array, W: Array, m: Array, C: Array) -> tuple[Array, Array]:
    return decay * m, np.multiply.outer(decay, decay) * C + W


def _repeat(decay: Array, W: Array, m: Array, C: Array, times: int) -> tuple[Array, Array]:
    """`_apply` so many times, by squaring."""
    while times:
        if times & 1:
            m, C = _apply(decay, W, m, C)
        W = W + np.multiply.outer(decay, decay) * W
        decay = decay * decay
        times >>= 1
    return m, C

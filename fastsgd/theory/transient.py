"""Exact mean and covariance of linear SGD at any step, from any start, for any schedule of steps. Equation (36)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.paths import Etas
from fastsgd.theory.risk import (
    path_covariance,
    risk,
    risk_covariance,
    risk_variance,
    time_average_covariance,
    time_average_variance,
)

__all__ = [
    "moments",
    "path_covariance",
    "risk",
    "risk_covariance",
    "risk_variance",
    "risks",
    "time_average_covariance",
    "time_average_variance",
]


def moments(
    H: ArrayLike | Eigenbasis, Sigma: ArrayLike, etas: Etas, steps: ArrayLike, mean0: ArrayLike, cov0: ArrayLike
) -> tuple[Array, Array]:
    """Mean and covariance of Delta_k, Delta_{k+1} = (I - eta_k H) Delta_k + eta_k xi_k, Cov xi_k = Sigma (36).

    Exact for the linear recursion with independent noise, Gaussian or not. Constant step, with a = 1 - eta l and
    r = a_i a_j: m_k = a^k m_0 and C_k = r^k C_0 + eta^2 Sigma_ij (1 - r^k)/(1 - r), which is
    S + (I - eta H)^k (C_0 - S) (I - eta H)^k where a stationary S exists. A varying step is iterated in chunks.

    Args:
        H: symmetric, float64[d, d] (or its Eigenbasis); zero eigenvalues and unstable steps are allowed.
        Sigma: covariance of one mini-batch gradient, float64[d, d], any rank.
        etas: one step size, an array of them from step 0, or a function of int64[n] returning float64[n]
            (`fastsgd.schedules.Schedule` is one).
        steps: recorded steps, int64[S], strictly increasing, >= 0; step 0 is the start.
        mean0: mean of Delta_0, float64[d].
        cov0: covariance of Delta_0, float64[d, d].

    Returns:
        means float64[S, d] and covs float64[S, d, d]. Where an unstable recursion has overflowed, all entries of that
        step are infinite.
    """
    basis, means, covs = _in_eigenbasis(H, Sigma, etas, steps, mean0, cov0)
    with np.errstate(over="ignore", invalid="ignore"):
        means, covs = basis.back_vector(means), basis.back(covs)
    lost = ~(np.isfinite(means).all(axis=1) & np.isfinite(covs).all(axis=(1, 2)))
    means[lost], covs[lost] = np.inf, np.inf
    return means, covs


def risks(
    F: ArrayLike,
    H: ArrayLike | Eigenbasis,
    Sigma: ArrayLike,
    etas: Etas,
    steps: ArrayLike,
    mean0: ArrayLike,
    cov0: ArrayLike,
) -> Array:
    """E r at recorded steps, float64[S]: `risk` of `moments`, summed in the eigenbasis of H.

    A covariance written in the original coordinates holds its small directions only to a rounding of its large ones;
    this sum does not pass through it, so that it keeps 12 digits at condition numbers to 1e10. F float64[d, d]
    symmetric.
    """
    basis, means, covs = _in_eigenbasis(H, Sigma, etas, steps, mean0, cov0)
    metric = basis.into(_check.symmetric("F", F, basis.dimension))
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.einsum("ij,sij->s", metric, covs) + np.einsum("si,ij,sj->s", means, metric, means)
    result: Array = np.where(np.isfinite(value), value, np.inf)
    return result


def _in_eigenbasis(
    H: ArrayLike | Eigenbasis, Sigma: ArrayLike, etas: Etas, steps: ArrayLike, mean0: ArrayLike, cov0: ArrayLike
) -> tuple[Eigenbasis, Array, Array]:
    basis = eigenbasis(H)
    d = basis.dimension
    noise = basis.into(_check.covariance("Sigma", Sigma, d))
    start = basis.into_vector(_check.array("mean0", mean0, (d,)))
    spread = basis.into(_check.covariance("cov0", cov0, d))
    at = _check.recorded_steps(steps)
    eta = paths.constant_step(etas)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if eta is not None:
            means, covs = _constant(basis, noise, eta, at, start, spread)
        else:
            means, covs = _varying(basis, noise, etas, at, start, spread)
    return basis, means, covs


def _constant(
    basis: Eigenbasis, noise: Array, eta: float, steps: NDArray[np.int64], start: Array, spread: Array
) -> tuple[Array, Array]:
    x, a, g = factors.contraction(basis, eta)
    logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    gap = factors.pair_gap(x, g)
    pair_logs, pair_sign = np.add.outer(logs, logs), np.multiply.outer(sign, sign)
    means = np.empty((steps.size, basis.dimension))
    covs = np.empty((steps.size, basis.dimension, basis.dimension))
    for s, k in enumerate(int(k) for k in steps):
        means[s] = factors.power(logs, sign, k) * start
        covs[s] = factors.power(pair_logs, pair_sign, k) * spread
        covs[s] += eta * (eta * noise * factors.geometric_sum(gap, pair_logs, pair_sign, k))
    return means, covs


def _varying(
    basis: Eigenbasis, noise: Array, etas: Etas, steps: NDArray[np.int64], start: Array, spread: Array
) -> tuple[Array, Array]:
    means = np.empty((steps.size, basis.dimension))
    covs = np.empty((steps.size, basis.dimension, basis.dimension))
    mean, cov, reached = start.copy(), spread.copy(), 0
    for s, k in enumerate(int(k) for k in steps):
        for p, W in paths.stretches(basis, etas, reached, k):
            mean *= p
            cov = np.multiply.outer(p, p) * cov + noise * (W.T @ W)
        reached = k
        means[s], covs[s] = mean, cov
    return means, covs

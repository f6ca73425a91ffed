"""The risk r = Delta' F Delta of a Gaussian Delta: mean, variance, covariance along a path, time averages."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.lyapunov import stationary_in_eigenbasis
from fastsgd.theory.paths import Etas


def risk(F: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """E r = tr(F C) + m' F m for r = Delta' F Delta (no factor 1/2).

    F float64[d, d]; mean float64[..., d]; cov float64[..., d, d]. Returns float64[...] (a 0-d array for one step);
    holds for any distribution with these moments; infinite where the moments are.
    """
    metric, m, C = _moments(F, mean, cov)
    with np.errstate(invalid="ignore"):
        value = np.einsum("ij,...ij->...", metric, C) + np.einsum("...i,ij,...j->...", m, metric, m)
    return _or_infinite(value, C)


def risk_variance(F: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """Var r = 2 tr((F C)^2) + 4 m' F C F m for Gaussian Delta ~ N(m, C). Section 5.

    Shapes as in `risk`. The standard error of a mean over R independent replicates is sqrt(Var r / R).
    """
    metric, m, C = _moments(F, mean, cov)
    with np.errstate(invalid="ignore", over="ignore"):
        FC = metric @ C
        Fm = m @ metric
        value = 2.0 * np.einsum("...ij,...ji->...", FC, FC) + 4.0 * np.einsum("...i,...ij,...j->...", Fm, C, Fm)
    return _or_infinite(value, C)


def path_covariance(H: ArrayLike | Eigenbasis, etas: Etas, steps: ArrayLike, covs: ArrayLike) -> Array:
    """Cov(Delta_s, Delta_t) = C_s P' for s <= t, P = prod_{s <= k < t} (I - eta_k H), at all pairs of recorded steps.

    Exact for the linear recursion with independent noise. covs float64[S, d, d] as from `moments`. Returns
    float64[S, S, d, d], entry [s, t] = Cov(Delta_{steps[s]}, Delta_{steps[t]}); memory S^2 d^2.
    """
    basis = eigenbasis(H)
    d = basis.dimension
    at = _check.recorded_steps(steps)
    C = basis.into_stack(_check.array("covs", covs, (at.size, d, d)))
    products = paths.contraction_products(basis, etas, at)
    result = np.empty((at.size, at.size, d, d))
    for s in range(at.size):
        p = np.ones(d)
        for t in range(s, at.size):
            if t > s:
                p = p * products[t - 1]
            block = C[s] * p
            if basis.vectors is not None:
                block = basis.vectors @ block @ basis.vectors.T
            result[s, t], result[t, s] = block, block.T
    return result


def risk_covariance(
    F: ArrayLike, H: ArrayLike | Eigenbasis, etas: Etas, steps: ArrayLike, means: ArrayLike, covs: ArrayLike
) -> Array:
    """Covariance of one replicate's risk between recorded steps, Gaussian Delta. Section 5.

    For s <= t: Cov(r_s, r_t) = 2 tr(F C_s P' F P C_s) + 4 m_s' F C_s P' F m_t, P = prod_{s <= k < t}(I - eta_k H).
    Exact when Delta_0 and the noise are Gaussian. In a stationary run it is 2 tr(F A^k S F S A'^k) at lag k.

    Args:
        F: metric, float64[d, d].
        H: symmetric, float64[d, d] (or its Eigenbasis).
        etas, steps: as in `moments`.
        means, covs: float64[S, d], float64[S, d, d], the result of `moments`.

    Returns:
        float64[S, S], symmetric; the diagonal is `risk_variance`. Divide by R for means over R replicates.
    """
    basis = eigenbasis(H)
    d = basis.dimension
    at = _check.recorded_steps(steps)
    metric = basis.into(_check.symmetric("F", F, d))
    m = basis.into_vector(_check.array("means", means, (at.size, d)))
    C = basis.into_stack(_check.array("covs", covs, (at.size, d, d)))
    products = paths.contraction_products(basis, etas, at)
    Fm = m @ metric
    result = np.empty((at.size, at.size))
    for s in range(at.size):
        weights = metric * (C[s] @ metric @ C[s])
        CFm = C[s] @ Fm[s]
        p = np.ones(d)
        for t in range(s, at.size):
            if t > s:
                p = p * products[t - 1]
            result[s, t] = result[t, s] = 2.0 * (p @ weights @ p) + 4.0 * np.dot(CFm * p, Fm[t])
    return result


def time_average_variance(
    F: ArrayLike, H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float, count: int, stride: int = 1
) -> float:
    """Variance of the time average (1/K) sum_{j<K} r_{k + j stride} of one stationary Gaussian run, constant step.

    Autocovariance at lag n: c_n = 2 tr(F A^n S F S A^n), A = I - eta H, S the stationary covariance (37). The sum
    (1/K^2)[K c_0 + 2 sum_{j<K} (K - j) c_{j stride}] is geometric in the eigenbasis and summed in closed form.
    F may be any symmetric matrix: (e_i e_j' + e_j e_i')/2 gives the variance of a time-averaged covariance entry.

    Args:
        count: K >= 1 samples; stride: steps between samples, >= 1.
    """
    basis = eigenbasis(H)
    metric = basis.into(_check.symmetric("F", F, basis.dimension))
    S = stationary_in_eigenbasis(basis, Sigma, eta)[1]
    K, stride = _check.count("count", count), _check.count("stride", stride)
    x, a, g = factors.contraction(basis, float(eta))
    logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    pair_logs, pair_sign = np.add.outer(logs, logs), np.multiply.outer(sign, sign)
    # u = 1 - r^stride = (1 - r) (1 + r + ... ), free of cancellation
    u = factors.pair_gap(x, g) * factors.geometric_sum(factors.pair_gap(x, g), pair_logs, pair_sign, stride)
    weights = 2.0 * metric * (S @ metric @ S)
    lags = lagged_sum(u, K)
    return float(np.sum(weights * (K + 2.0 * lags)) / K**2)


def time_average_covariance(
    H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float, count: int, stride: int = 1
) -> Array:
    """Covariance of the time average (1/K) sum_{j<K} Delta_{k + j stride} of one stationary run, float64[d, d].

    S_ij [K + sum_{n<K} (K - n)(a_i^(n stride) + a_j^(n stride))]/K^2 in the eigenbasis; any noise distribution.
    Times K it tends to H^-1 Sigma H^-1 for stride 1 (Polyak-Ruppert, Section 8.4). Arguments as in
    `time_average_variance`.
    """
    basis = eigenbasis(H)
    S = stationary_in_eigenbasis(basis, Sigma, eta)[1]
    K, stride = _check.count("count", count), _check.count("stride", stride)
    x, a, g = factors.contraction(basis, float(eta))
    logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    sums = lagged_sum(x * factors.geometric_sum(x, logs, sign, stride), K)
    return basis.back(S * (K + np.add.outer(sums, sums)) / K**2)


def lagged_sum(u: Array, K: int) -> Array:
    """sum_{j=1}^{K-1} (K - j) r^j, r = 1 - u, 0 <= u <= 2, elementwise, by a series where K u is small."""
    # With phi = (K u - (1 - r^K))/u^2 = sum_{m>=0} (-u)^m binom(K, m + 2), the sum is r phi.
    small = K * u < 1.0
    v = np.where(small, u, 0.0)
    term = np.full_like(u, 0.5 * K * (K - 1.0))
    series = term.copy()
    for m in range(1, 24):
        term = term * (-v) * (K - m - 1.0) / (m + 2.0)
        series += term
    w = np.where(small, 1.0, u)
    r = 1.0 - w
    with np.errstate(divide="ignore", under="ignore"):
        powers = np.sign(r) ** (K % 2) * np.exp(K * np.log(np.abs(r)))
    direct = (K * w - (1.0 - powers)) / (w * w)
    result: Array = (1.0 - u) * np.where(small, series, direct)
    return result


def _moments(F: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> tuple[Array, Array, Array]:
    metric = _check.symmetric("F", F)
    d = metric.shape[0]
    m, C = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
    if m.shape[-1:] != (d,) or C.shape != (*m.shape, d):
        raise ValueError(f"mean and cov must have shapes (..., {d}) and (..., {d}, {d}), got {m.shape} and {C.shape}")
    return metric, m, C


def _or_infinite(value: Array, cov: Array) -> Array:
    lost = ~np.isfinite(cov).all(axis=(-1, -2))
    return np.where(lost, np.inf, value)

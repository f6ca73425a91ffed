"""The risk r = Delta' F Delta of a Gaussian Delta: mean, variance, covariance along a path, time averages. Section 5."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _product, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.lyapunov import stationary_in_eigenbasis
from fastsgd.theory.paths import Etas

CANCELS = 1e-3
"""Part of |F| |C| below which a sum is taken with 30 digits: there double precision may lose three."""


def risk(F: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """E r = tr(F C) + m' F m for r = Delta' F Delta (no factor 1/2).

    F float64[d, d]; mean float64[..., d]; cov float64[..., d, d]. Returns float64[...] (a 0-d array for one step);
    holds for any distribution with these moments; infinite where the moments are. 12 digits for the arrays as given;
    a covariance in these coordinates is itself rounded by eps |C|, which is eps |F| |C| of the risk: from H and Sigma use
    `transient.risks` or `lyapunov.stationary_risk`, which do not pass through it.
    """
    metric, m, C = _moments(F, mean, cov)
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.einsum("ij,...ij->...", metric, C) + np.einsum("...i,ij,...j->...", m, metric, m)
        size = np.linalg.norm(metric) * (np.linalg.norm(C, axis=(-1, -2)) + np.sum(m * m, axis=-1))
        if np.any(np.isfinite(value) & (np.abs(value) < CANCELS * size)):
            turned = _product.accurate(m.reshape(-1, m.shape[-1]), metric).reshape(m.shape)
            accurate = _product.inner(metric, C, (-2, -1)) + _product.inner(turned, m)
            value = np.where(np.isfinite(accurate), accurate, value)  # splitting overflows some digits earlier
    return _or_infinite(value, C)


def risk_variance(F: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """Var r = 2 tr((F C)^2) + 4 m' F C F m for Gaussian Delta ~ N(m, C). Section 5.

    Shapes as in `risk`. The standard error of a mean over R independent replicates is sqrt(Var r / R).
    """
    metric, m, C = _moments(F, mean, cov)
    with np.errstate(invalid="ignore", over="ignore"):
        FC = metric @ C
        Fm = m @ metric
        value = np.array(
            2.0 * np.einsum("...ij,...ji->...", FC, FC) + 4.0 * np.einsum("...i,...ij,...j->...", Fm, C, Fm)
        )
        size = np.linalg.norm(metric) ** 2 * np.linalg.norm(C, axis=(-1, -2))
        size = size * (np.linalg.norm(C, axis=(-1, -2)) + np.sum(m * m, axis=-1))
        cancels = np.asarray(np.isfinite(value) & (np.abs(value) < CANCELS * size))
        for at in np.ndindex(cancels.shape):
            if not cancels[at]:
                continue
            product = _product.accurate(metric, C[at])
            push = _product.accurate(m[at][None, :], metric)
            first, second = _product.inner(product, product.T, (0, 1)), _product.accurate(push, C[at])
            value[at] = 2.0 * first + 4.0 * _product.inner(second[0], push[0])
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
    given = _check.array("covs", covs, (at.size, d, d))
    C = basis.into_stack(given)
    if np.any(np.einsum("ij,sij->s", metric, C) < CANCELS * np.linalg.norm(metric) * np.linalg.norm(C, axis=(1, 2))):
        C = np.array([basis.into(_check.symmetric("covs", one)) for one in given])
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
    turn = np.where((pair_sign < 0.0) & (stride % 2 == 1), -1.0, 1.0)
    with np.errstate(invalid="ignore"):
        return float(np.sum(weights * factors.lag_weights(u, stride * pair_logs, turn, K)) / K**2)


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
    turn = np.where((sign < 0.0) & (stride % 2 == 1), -1.0, 1.0)
    weights = factors.lag_weights(x * factors.geometric_sum(x, logs, sign, stride), stride * logs, turn, K)
    return basis.back(S * (0.5 * np.add.outer(weights, weights)) / K**2)


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

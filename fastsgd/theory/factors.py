"""Contraction factors a = 1 - eta l without cancellation: near a = 0, 1 and -1. Equation (36)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _dd
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis


def contraction(basis: Eigenbasis, eta: float | Array) -> tuple[Array, Array, Array]:
    """x = eta l, a = 1 - x and g = 2 - x, each to a few units of rounding of itself.

    eta: a number, giving float64[d], or float64[T, 1], giving float64[T, d]. The product is kept exact (two_product),
    so that 2 - eta l has full relative accuracy up to the edge of stability.
    """
    hi, lo = _dd.two_product(eta, basis.values)
    lo = lo + eta * basis.correction
    return hi + lo, (1.0 - hi) - lo, (2.0 - hi) - lo


def log_magnitude(x: Array, a: Array, g: Array) -> Array:
    """log|1 - x| from the triple of `contraction`; -inf where a = 0."""
    with np.errstate(divide="ignore"):
        near_zero = np.log(np.abs(a))
    small = np.abs(x) < 0.5
    edge = np.abs(g) < 0.5
    result: Array = np.where(
        small, np.log1p(-np.where(small, x, 0.0)), np.where(edge, np.log1p(-np.where(edge, g, 0.0)), near_zero)
    )
    return result


def pair_gap(x: Array, g: Array) -> Array:
    """1 - a_i a_j = (x_i g_j + x_j g_i)/2, float64[d, d]; all terms positive inside the stable region."""
    product = np.multiply.outer(x, g)
    result: Array = 0.5 * (product + product.T)
    return result


def power(log_abs: Array, sign: Array, k: float) -> Array:
    """a^k = sign^k exp(k log|a|) for an integer k >= 0, elementwise; a^0 = 1 also at a = 0; inf on overflow."""
    if k == 0:
        return np.ones_like(log_abs)
    with np.errstate(over="ignore", under="ignore"):
        magnitude: Array = np.exp(k * log_abs)
    return magnitude if k % 2 == 0 else sign * magnitude


def geometric_sum(u: Array, log_abs: Array, sign: Array, k: float) -> Array:
    """(1 - r^k)/(1 - r) = sum_{t<k} r^t for r = 1 - u = sign exp(log_abs), elementwise; k where u = 0."""
    if k == 0:
        return np.zeros_like(u)
    near = np.abs(u) < 0.5
    safe = np.where(u == 0.0, 1.0, u)
    with np.errstate(over="ignore", under="ignore"):
        close = -np.expm1(k * np.log1p(-np.where(near, u, 0.0)))
        if k % 2 == 0:
            far = -np.expm1(k * log_abs)
        else:
            far = np.where(sign > 0, -np.expm1(k * log_abs), 1.0 + np.exp(k * log_abs))
        result: Array = np.where(u == 0.0, k, np.where(near, close, far) / safe)
    return result


def divided_power(x: tuple[Array, Array, Array], y: tuple[Array, Array, Array], k: int) -> Array:
    """(r^k - q^k)/(r - q) = sum_{t<k} r^(k-1-t) q^t elementwise, k r^(k-1) where r = q; of (1 - r, log|r|, sign of r) each."""
    shape = np.broadcast_shapes(x[0].shape, y[0].shape)
    if k == 0:
        return np.zeros(shape)
    swap = np.broadcast_to(y[1] > x[1], shape)  # the larger is the base, so that no power overflows against another
    base, other = (tuple(np.where(swap, b, a) for a, b in zip(*pair, strict=True)) for pair in ((x, y), (y, x)))
    value = 1.0 - base[0]
    empty = value == 0.0
    gap = np.where(empty, 1.0, (other[0] - base[0]) / np.where(empty, 1.0, value))  # 1 - other/base
    with np.errstate(invalid="ignore"):
        ratio_logs = np.where(empty, -np.inf, other[1] - base[1])
    total = geometric_sum(gap, ratio_logs, base[2] * other[2], k)
    if k == 1:
        return np.ones(shape)
    result: Array = np.where(empty, 0.0, power(base[1], base[2], k - 1) * total)
    return result


def lag_weights(u: Array, log_abs: Array, sign: Array, K: int) -> Array:
    """K + 2 sum_{n=1}^{K-1} (K - n) r^n for r = 1 - u = sign exp(log_abs), elementwise, -1 <= r <= 1; >= 0.

    K^2 Var of the mean of K terms of a stationary sequence with autocorrelation r^n. Every sum below is of terms of one
    sign, also near r = -1, where the result is smaller than K by the factor (1 + r)/(1 - r).
    """
    with np.errstate(under="ignore", divide="ignore"):
        gone = -np.expm1(log_abs)  # 1 - |r|
        exponent = K * log_abs
        lost = np.where((sign < 0.0) & (K % 2 == 1), 1.0 + np.exp(exponent), -np.expm1(exponent))  # 1 - r^K
    negative = (K * gone * u + 2.0 * np.exp(log_abs) * lost) / (u * u + (u == 0.0))
    result: Array = np.where(sign < 0.0, negative, K + 2.0 * _lagged(u, log_abs, K))
    return result


def _lagged(u: Array, log_abs: Array, K: int) -> Array:
    """sum_{n=1}^{K-1} (K - n) r^n for 0 <= r = 1 - u <= 1, by a series where K u is small."""
    # With phi = (K u - (1 - r^K))/u^2 = sum_{m>=0} (-u)^m binom(K, m + 2), the sum is r phi.
    small = K * u < 1.0
    v = np.where(small, u, 0.0)
    term = np.full_like(u, 0.5 * K * (K - 1.0))
    series = term.copy()
    for m in range(1, 24):
        term = term * (-v) * (K - m - 1.0) / (m + 2.0)
        series += term
    w = np.where(small, 1.0, u)
    with np.errstate(under="ignore", divide="ignore", invalid="ignore"):
        exact = np.where(w < 0.5, np.log1p(-np.minimum(w, 0.5)), log_abs)
        direct = (K * w + np.expm1(K * np.where(small, 0.0, exact))) / (w * w)
    result: Array = np.exp(log_abs) * np.where(small, series, direct)
    return result


def as_column(etas: ArrayLike) -> Array:
    """float64[T] -> float64[T, 1]."""
    return np.asarray(etas, np.float64)[:, None]

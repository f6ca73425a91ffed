"""Decaying steps eta_k = c/(k + k0)^a: limits of the covariance and of the scaled risk. Section 8.4."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _dd, lyapunov
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.geometry import sandwich_in_eigenbasis


def decaying_covariance(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, c: float) -> Array:
    """V = lim k Cov(Delta_k) for eta_k = c/(k + k0): (cH - I/2) V + V (cH - I/2) = c^2 Sigma. Section 8.4.

    In the eigenbasis of H, V_ij = c^2 Sigma_ij/(c l_i + c l_j - 1). Valid iff 2 c lambda_min(H) > 1 (otherwise the
    start, or the slow direction, decays more slowly than 1/k and there is no limit).

    Args: H float64[d, d] positive definite; Sigma float64[d, d], G/b for fresh data; c > 0.
    Raises: ValueError when 2 c lambda_min(H) <= 1.
    """
    basis, V = _decaying(H, Sigma, c)
    return basis.back(V)


def _decaying(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, c: float) -> tuple[Eigenbasis, Array]:
    """The eigenbasis of H and V in it."""
    basis, c = eigenbasis(H), _check.positive("c", c)
    noise = basis.into(_check.covariance("Sigma", Sigma, basis.dimension))
    margin = 2.0 * c * float(np.min(basis.values))
    if margin <= 1.0:
        raise ValueError(
            f"2 c lambda_min(H) must be > 1 for the rate 1/k, got {margin:.6g}; "
            f"take c > {_needed(basis)} or an exponent below 1"
        )
    hi, lo = _dd.two_product(2.0 * c, basis.values)  # exact, for 2 c l close to 1
    shifted = (hi - 1.0) + (lo + 2.0 * c * basis.correction)
    return basis, c * c * noise / (0.5 * np.add.outer(shifted, shifted))


def _needed(basis: Eigenbasis) -> str:
    smallest = float(np.min(basis.values))
    return f"{0.5 / smallest:.6g}" if smallest > 0.0 else "infinity (H is not positive definite)"


def slow_covariance(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, exponent: float) -> Array:
    """lim Cov(Delta_k)/eta_k for eta_k = c/(k + k0)^a, 1/2 < a < 1: H S + S H = Sigma, whatever c. Section 8.4."""
    if not 0.5 < exponent < 1.0:
        raise ValueError(f"exponent must be between 1/2 and 1 (both excluded), got {exponent!r}")
    return lyapunov.continuous_stationary(H, Sigma, 1.0)


def polyak_ruppert(H: ArrayLike | Eigenbasis, Sigma: ArrayLike) -> Array:
    """lim T Cov(mean of T iterates) = H^-1 Sigma H^-1 for 1/2 < a < 1, float64[d, d]. Section 8.4.

    It is also the limit for a constant step (any eta < 2/lambda_max on a quadratic). With Sigma = G/b it is the
    sandwich over b, the smallest of all such limits.
    """
    basis = eigenbasis(H)
    noise = basis.into(_check.covariance("Sigma", Sigma, basis.dimension))
    if float(np.min(basis.values)) <= 0.0:
        raise ValueError("H must be positive definite; add a ridge or restrict to the range")
    return basis.back(noise / np.multiply.outer(basis.values, basis.values))


def scaled_risk_limit(F: ArrayLike, H: ArrayLike | Eigenbasis, G: ArrayLike, c: float, batch: int) -> float:
    """lim N E r = b tr(F V), N = b T, for eta_k = c/(k + k0) and fresh data, Sigma = G/b. Does not depend on b."""
    b = _check.count("batch", batch)
    basis, V = _decaying(H, _check.covariance("G", G) / b, c)
    return b * float(np.sum(basis.into(_check.symmetric("F", F, basis.dimension)) * V))


def best_power_constant(H: ArrayLike, G: ArrayLike, F: ArrayLike) -> float:
    """tr(F H^-1 G H^-1), below which no schedule brings lim N E r: the constant of Polyak-Ruppert averaging."""
    basis, S = sandwich_in_eigenbasis(H, G)
    return float(np.sum(basis.into(_check.symmetric("F", F, basis.dimension)) * S))


def rate_regime(H: ArrayLike | Eigenbasis, c: float, exponent: float) -> str:
    """Which limit holds, in one line: 'k Cov -> V', 'Cov/eta -> S', or why none does."""
    margin = 2.0 * _check.positive("c", c) * float(np.min(eigenbasis(H).values))
    if exponent == 1.0:
        if margin > 1.0:
            return "k Cov -> V"
        return f"no 1/k rate: 2 c lambda_min(H) = {margin:.6g} must be > 1"
    if 0.5 < exponent < 1.0:
        return "Cov/eta -> S" if margin > 0.0 else "no limit: H must be positive definite"
    return f"no limit: exponent {exponent:g} must be above 1/2 and at most 1"

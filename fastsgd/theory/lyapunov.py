"""Stationary covariances of constant-step SGD on a quadratic: Lyapunov equations in the eigenbasis of H."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, factors
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis


def discrete_stationary(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> Array:
    """Stationary covariance of Delta' = (I - eta H) Delta + eta xi, Cov xi = Sigma. Equation (37).

    Solves S = (I - eta H) S (I - eta H) + eta^2 Sigma by S_ij = eta Sigma_ij / (l_i + l_j - eta l_i l_j) in the
    eigenbasis of H; the denominator is taken as (l_i (2 - eta l_j) + l_j (2 - eta l_i))/2, a sum of positive terms.

    Args:
        H: symmetric positive definite, float64[d, d] (or its Eigenbasis).
        Sigma: covariance of one mini-batch gradient (G/b for fresh data), float64[d, d], any rank.
        eta: step size, 0 < eta < 2/lambda_max(H).

    Returns:
        S, float64[d, d], symmetric.

    Raises:
        ValueError: eta is outside the stable range, H not positive definite, or an argument is malformed.
    """
    basis, S = stationary_in_eigenbasis(H, Sigma, eta)
    return basis.back(S)


def stationary_risk(F: ArrayLike, H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> float:
    """tr(F S), S of `discrete_stationary`, summed in the eigenbasis of H: 12 digits at condition numbers to 1e10.

    F float64[d, d] symmetric; other arguments and errors as there.
    """
    basis, S = stationary_in_eigenbasis(H, Sigma, eta)
    return float(np.sum(basis.into(_check.symmetric("F", F, basis.dimension)) * S))


def continuous_stationary_risk(F: ArrayLike, H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> float:
    """tr(F S), S of `continuous_stationary`, summed in the eigenbasis of H; for F = H it is eta tr(Sigma)/2 (35)."""
    basis, noise, eta = _arguments(H, Sigma, eta)
    S = eta * basis.into(noise) / np.add.outer(basis.values, basis.values)
    return float(np.sum(basis.into(_check.symmetric("F", F, basis.dimension)) * S))


def stationary_in_eigenbasis(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> tuple[Eigenbasis, Array]:
    """The eigenbasis of H and S of `discrete_stationary` in it, where its small entries keep their digits."""
    basis, noise, eta = _arguments(H, Sigma, eta)
    return basis, of_noise_in_eigenbasis(basis, basis.into(noise), eta)


def of_noise_in_eigenbasis(basis: Eigenbasis, noise: Array, eta: float) -> Array:
    """S of `discrete_stationary` from V' Sigma V, in the eigenbasis; any symmetric noise, of which S is linear."""
    x, _, g = factors.contraction(basis, eta)
    if float(np.min(g)) <= 0.0:
        raise ValueError(
            f"eta must be < 2/lambda_max(H) = {largest_stable_step(basis):.6g}, got {eta:.6g}; "
            "the recursion has no stationary covariance"
        )
    result: Array = eta * (eta * noise / factors.pair_gap(x, g))
    return result


def continuous_stationary(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> Array:
    """Stationary covariance of the Ornstein-Uhlenbeck limit on the iterate scale. Equations (33), (34).

    Solves H S + S H = eta Sigma by S_ij = eta Sigma_ij / (l_i + l_j); eta = 1 gives the fluctuation scale (33).
    With Sigma = G/b, tr(H S) = tau tr(G)/2, tau = eta/b (35). The leading order of `discrete_stationary` in eta;
    valid for any eta > 0 as an equation, as an approximation for eta lambda_max << 1.

    Args:
        H: symmetric positive definite, float64[d, d] (or its Eigenbasis).
        Sigma: covariance of one mini-batch gradient, float64[d, d].
        eta: step size > 0.

    Returns:
        S, float64[d, d], symmetric.
    """
    basis, noise, eta = _arguments(H, Sigma, eta)
    return basis.back(eta * basis.into(noise) / np.add.outer(basis.values, basis.values))


def spectral_radius(H: ArrayLike | Eigenbasis, eta: float) -> float:
    """max_i |1 - eta l_i|, the contraction factor of the mean; < 1 iff the constant step is stable (Section 5)."""
    basis = eigenbasis(H)
    _, a, _ = factors.contraction(basis, _check.positive("eta", eta))
    return float(np.max(np.abs(a)))


def largest_stable_step(H: ArrayLike | Eigenbasis) -> float:
    """2/lambda_max(H): constant steps below it are stable; infinity when H has no positive eigenvalue."""
    largest = float(np.max(eigenbasis(H).values))
    return 2.0 / largest if largest > 0.0 else math.inf


def _arguments(H: ArrayLike | Eigenbasis, Sigma: ArrayLike, eta: float) -> tuple[Eigenbasis, Array, float]:
    basis = eigenbasis(H)
    noise = _check.covariance("Sigma", Sigma, basis.dimension)
    eta = _check.positive("eta", eta)
    smallest = float(np.min(basis.values))
    if smallest <= 0.0:
        raise ValueError(f"H must be positive definite, got smallest eigenvalue {smallest:.6g}; add a ridge or project")
    return basis, noise, eta

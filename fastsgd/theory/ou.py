"""The normalised Ornstein-Uhlenbeck process (54): dX = -eta H X dt + sqrt(eta/b) G^{1/2} dW."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, lyapunov
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis


def stationary(H: ArrayLike | Eigenbasis, G: ArrayLike, batch: float) -> Array:
    """H S + S H = G/b, independent of eta; float64[d, d]. H positive definite."""
    return lyapunov.continuous_stationary(H, _check.covariance("G", G) / _check.positive("batch", batch), 1.0)


def euler_stationary(H: ArrayLike | Eigenbasis, G: ArrayLike, batch: float, eta: float, dt: float = 1.0) -> Array:
    """Stationary covariance of Euler-Maruyama with step dt: X' = (I - eta dt H) X + sqrt(eta dt/b) G^{1/2} z.

    The discrete equation with h = eta dt in the place of eta: S_ij = (G_ij/b)/(l_i + l_j - h l_i l_j). Needs
    h lambda_max(H) < 2.
    """
    h = _check.positive("eta", eta) * _check.positive("dt", dt)
    noise = _check.covariance("G", G) / _check.positive("batch", batch)
    return lyapunov.discrete_stationary(H, noise, h) / h


def transition(H: ArrayLike | Eigenbasis, G: ArrayLike, batch: float, eta: float, dt: float) -> tuple[Array, Array]:
    """Exact transition over dt: X(t + dt) | X(t) ~ N(P X(t), Q), P = expm(-eta H dt), float64[d, d] each.

    Q_ij = (G_ij/b)(1 - exp(-(l_i + l_j) eta dt))/(l_i + l_j) in the eigenbasis; zero eigenvalues are allowed.
    """
    basis = eigenbasis(H)
    h = _check.positive("eta", eta) * _check.positive("dt", dt)
    noise = basis.into(_check.covariance("G", G, basis.dimension) / _check.positive("batch", batch))
    rate = np.add.outer(basis.values, basis.values)
    zero = rate == 0.0
    growth = np.where(zero, h, -np.expm1(-h * rate) / np.where(zero, 1.0, rate))
    return basis.back(np.diag(np.exp(-h * basis.values))), basis.back(noise * growth)


def moments(
    H: ArrayLike | Eigenbasis,
    G: ArrayLike,
    batch: float,
    eta: float,
    times: ArrayLike,
    mean0: ArrayLike,
    cov0: ArrayLike,
) -> tuple[Array, Array]:
    """Mean float64[S, d] and covariance float64[S, d, d] of X at times t >= 0 from any start."""
    basis = eigenbasis(H)
    d = basis.dimension
    m, C = _check.array("mean0", mean0, (d,)), _check.covariance("cov0", cov0, d)
    means, covs = [], []
    for t in _check.array("times", times, (None,)):
        if t < 0.0:
            raise ValueError(f"times must be >= 0, got {t:g}")
        P, Q = transition(basis, G, batch, eta, t) if t > 0.0 else (np.eye(d), np.zeros((d, d)))
        means.append(P @ m)
        covs.append(P @ C @ P + Q)
    return np.array(means).reshape(-1, d), np.array(covs).reshape(-1, d, d)

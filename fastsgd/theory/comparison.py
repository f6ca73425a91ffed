"""Comparing noises: Loewner order, variance reduction, trace-matched surrogates, inflation. Remark 9.1, Appendix B."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _dd, _product, lyapunov
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise
from fastsgd.theory.extreme import smallest


@dataclass(frozen=True)
class Reduction:
    """Remark 9.1 for two noises under the same H and eta.

    Attributes:
        noise_smallest: lambda_min(G - G'); >= 0 (to rounding) is the premise G' <= G.
        covariance_smallest: lambda_min(S - S'); then >= 0 too.
        risk_ratio: tr(F S')/tr(F S), the factor by which the plateau falls.
        ordered: the premise holds to rounding.
    """

    noise_smallest: float
    covariance_smallest: float
    risk_ratio: float
    ordered: bool


def loewner_gap(A: ArrayLike, B: ArrayLike) -> float:
    """lambda_min(B - A); A <= B in Loewner order iff it is >= 0. Symmetric float64[d, d]."""
    lower = _check.symmetric("A", A)
    upper = _check.symmetric("B", B, lower.shape[0])
    gap = _dd.two_sum(upper, -lower)
    return smallest(gap) if np.any(gap[0]) else 0.0


def loewner_below(A: ArrayLike, B: ArrayLike) -> bool:
    """A <= B to rounding: `loewner_gap` at least -10 d eps |B|."""
    upper = _check.symmetric("B", B)
    allowed = 10 * upper.shape[0] * float(np.finfo(np.float64).eps) * float(np.linalg.norm(upper, 2))
    return bool(loewner_gap(A, upper) >= -allowed)


def reduction(F: ArrayLike, H: ArrayLike | Eigenbasis, Sigma: ArrayLike, reduced: ArrayLike, eta: float) -> Reduction:
    """What a reduced mini-batch covariance does to the plateau. Remark 9.1.

    G' <= G implies S' <= S and tr(F S') <= tr(F S).

    The converse fails: a smaller risk does not need ordered noises. F, H, Sigma, reduced float64[d, d]; eta stable.
    """
    basis, eta = eigenbasis(H), _check.positive("eta", eta)
    full, less = (
        _check.covariance("Sigma", Sigma, basis.dimension),
        _check.covariance("reduced", reduced, basis.dimension),
    )
    saved = basis.into_pair(_dd.two_sum(full, -less))
    # S is linear in the noise, and S - S' is taken from the difference: small directions keep their digits
    gap = loewner_gap(np.zeros_like(full), lyapunov.of_noise_in_eigenbasis(basis, symmetrise(saved[0] + saved[1]), eta))
    ratio = lyapunov.stationary_risk(F, basis, reduced, eta) / lyapunov.stationary_risk(F, basis, Sigma, eta)
    return Reduction(loewner_gap(reduced, Sigma), gap, ratio, loewner_below(reduced, Sigma))


def trace_matched(G: ArrayLike) -> Array:
    """G_iso = (tr G/d) I, float64[d, d]: same tr(H S) at leading order, other risk in each direction. Section 5."""
    noise = _check.covariance("G", G)
    d = noise.shape[0]
    result: Array = np.eye(d) * (float(np.trace(noise)) / d)
    return result


def inflate(S: ArrayLike, rho: float) -> Array:
    """(1 + rho) S, the covariance when G becomes (1 + rho) G, rho >= -1. Appendix B; exact, transient included
    (for a start without spread)."""
    if _check.real("rho", rho) < -1.0:
        raise ValueError(f"rho must be >= -1, got {rho!r}")
    return (1.0 + rho) * _check.covariance("S", S)


def directional_ratio(A: ArrayLike, B: ArrayLike, directions: ArrayLike) -> Array:
    """v' A v/(v' B v) for each column v of directions float64[d, m], float64[m]: variances of two arms by direction."""
    a, b = _check.covariance("A", A), _check.covariance("B", B)
    v = _check.array("directions", directions, (a.shape[0], None))
    above, below = (_product.inner(v.T, _product.accurate(v.T, matrix)) for matrix in (a, b))
    result: Array = above / below
    return result

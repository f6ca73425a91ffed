"""Geometry of a stochastic problem: sandwich, Godambe, mu_F, condition numbers, effective dimension."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import symmetrise


def _spectrum(name: str, matrix: ArrayLike, dimension: int | None = None) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Eigenvalues (those within rounding of zero set to 0), eigenvectors, mask of the range, of a PSD matrix."""
    M = _check.symmetric(name, matrix, dimension)
    diagonal = np.diagonal(M)
    if np.count_nonzero(M) == np.count_nonzero(diagonal):
        values, vectors = diagonal.copy(), np.eye(M.shape[0])
        cut = 0.0
    else:
        values, vectors = np.linalg.eigh(M)
        cut = M.shape[0] * np.finfo(np.float64).eps * float(np.max(np.abs(values)))
    if float(np.min(values)) < -max(cut, 0.0):
        raise ValueError(f"{name} must be positive semidefinite, got eigenvalue {float(np.min(values)):.6g}")
    inside = values > cut
    if not np.any(inside):
        raise ValueError(f"{name} must not be zero; give a matrix with at least one positive eigenvalue")
    return np.where(inside, values, 0.0), vectors, inside


def range_projector(G: ArrayLike) -> Array:
    """Pi, the orthogonal projector onto range(G), float64[d, d]. Definition 3.5.

    Eigenvalues of a dense G within d eps lambda_max(G) of zero count as zero; a diagonal G is taken exactly.
    """
    _, vectors, inside = _spectrum("G", G)
    V = vectors[:, inside]
    return symmetrise(V @ V.T)


def pseudo_inverse(G: ArrayLike) -> Array:
    """Moore-Penrose inverse of a PSD matrix, float64[d, d], with the rank rule of `range_projector`."""
    values, vectors, inside = _spectrum("G", G)
    V = vectors[:, inside]
    return symmetrise((V / values[inside]) @ V.T)


def rank(G: ArrayLike) -> int:
    """Dimension of range(G), with the rank rule of `range_projector`."""
    return int(np.count_nonzero(_spectrum("G", G)[2]))


def sandwich(H: ArrayLike, G: ArrayLike) -> Array:
    """H^-1 G H^-1 (12): n times the asymptotic covariance of the M-estimator. H PD, G PSD, float64[d, d]."""
    hessian = _check.symmetric("H", H)
    noise = _check.covariance("G", G, hessian.shape[0])
    try:
        half = np.linalg.solve(hessian, noise)
        return symmetrise(np.linalg.solve(hessian, half.T))
    except np.linalg.LinAlgError:
        raise ValueError("H must be invertible, got a singular matrix; add a ridge or project") from None


def godambe(H: ArrayLike, G: ArrayLike) -> Array:
    """H G^+ H (12), the Godambe information, with the pseudo-inverse of G; inverse of `sandwich` for full-rank G."""
    hessian = _check.symmetric("H", H)
    values, vectors, inside = _spectrum("G", G, hessian.shape[0])
    B = hessian @ vectors[:, inside]
    return symmetrise((B / values[inside]) @ B.T)


def mu_F(F: ArrayLike, H: ArrayLike) -> float:
    """lambda_min((A + A')/2), A = F^{1/2} H F^{-1/2} (17), the contraction rate in the metric F.

    Not above lambda_min(H) where F has full rank, with equality if F and H commute; it can be negative, and then
    Assumption 6.2 fails and the bounds that need it do not hold. Rank-deficient F: A is taken on range(F).

    Args: F positive semidefinite, H symmetric, float64[d, d].
    """
    values, vectors, inside = _spectrum("F", F)
    hessian = _check.symmetric("H", H, values.size)
    V, root = vectors[:, inside], np.sqrt(values[inside])
    inner = V.T @ hessian @ V
    ratio = root[:, None] / root[None, :]
    return float(np.linalg.eigvalsh(0.5 * inner * (ratio + ratio.T))[0])


def condition_number(G: ArrayLike) -> float:
    """kappa = lambda_max(G)/lambda_min(G) on range(G): a choice of this software where the paper leaves it open."""
    values, _, inside = _spectrum("G", G)
    return float(np.max(values) / np.min(values[inside]))


def effective_dimension(G: ArrayLike) -> float:
    """d_eff = tr(G)/lambda_max(G), the stable rank (18), (40); between 1 and rank(G)."""
    values, _, _ = _spectrum("G", G)
    return float(np.sum(values) / np.max(values))


def generalised_condition_number(H: ArrayLike, G: ArrayLike) -> float:
    """Condition number of the pair (H, G): ratio of extreme eigenvalues w of H v = w G v on range(G).

    One iff H is proportional to G on the range. H must be positive definite on range(G).
    """
    hessian = _check.symmetric("H", H)
    values, vectors, inside = _spectrum("G", G, hessian.shape[0])
    V = vectors[:, inside] / np.sqrt(values[inside])
    w = np.linalg.eigvalsh(symmetrise(V.T @ hessian @ V))
    if w[0] <= 0.0:
        raise ValueError(f"H must be positive definite on the range of G, got generalised eigenvalue {w[0]:.6g}")
    return float(w[-1] / w[0])

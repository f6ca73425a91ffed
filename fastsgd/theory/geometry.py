"""Geometry of a stochastic problem: sandwich, Godambe, mu_F, condition numbers, effective dimension."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _dd, _product
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise
from fastsgd.theory.extreme import smallest
from fastsgd.theory.projection import pseudo_inverse, range_basis, range_projector, rank, spectrum

__all__ = [
    "ContractionRate",
    "condition_number",
    "contraction_rate",
    "dual_norm_squared",
    "effective_dimension",
    "frozen_metric_change",
    "generalised_condition_number",
    "godambe",
    "gradient_bound",
    "mu_F",
    "pseudo_inverse",
    "range_basis",
    "range_projector",
    "rank",
    "sandwich",
    "step_products",
]


@dataclass(frozen=True)
class ContractionRate:
    """mu_F and whether the bounds that need it hold.

    Attributes:
        mu_F: lambda_min of the symmetric part of F^{1/2} H F^{-1/2} (17).
        smallest_curvature: lambda_min(H) on range(F); mu_F is not above it.
        holds: mu_F > 0, Assumption 6.2.
    """

    mu_F: float
    smallest_curvature: float
    holds: bool

    def __str__(self) -> str:
        if self.holds:
            return f"mu_F = {self.mu_F:.6g} (lambda_min(H) = {self.smallest_curvature:.6g})"
        return f"mu_F = {self.mu_F:.6g} <= 0: Assumption 6.2 fails, the upper bounds of Sections 6 and 7 do not apply"


def sandwich(H: ArrayLike, G: ArrayLike) -> Array:
    """H^-1 G H^-1 (12): n times the asymptotic covariance of the M-estimator, float64[d, d].

    H symmetric (indefinite allowed), G a covariance of any rank. A dense H singular to rounding is refused.
    """
    basis, S = sandwich_in_eigenbasis(H, G)
    return basis.back(S)


def sandwich_in_eigenbasis(H: ArrayLike, G: ArrayLike) -> tuple[Eigenbasis, Array]:
    """The eigenbasis of H and `sandwich` in it."""
    basis = eigenbasis(H)
    noise = basis.into(_check.covariance("G", G, basis.dimension))
    size = np.abs(basis.values)
    if float(np.min(size)) <= basis.dimension * 1e-17 * float(np.max(size)):
        raise ValueError("H must be invertible, got a singular matrix; add a ridge or restrict to the range")
    return basis, noise / np.multiply.outer(basis.values, basis.values)


def godambe(H: ArrayLike, G: ArrayLike) -> Array:
    """H G^+ H (12), the Godambe information, with the pseudo-inverse of G; inverse of `sandwich` for full-rank G."""
    hessian = _check.symmetric("H", H)
    basis, values, inside = spectrum("G", G, hessian.shape[0])
    B = hessian[:, inside] if basis.vectors is None else _product.accurate(hessian, basis.pair())[:, inside]
    return symmetrise((B / values[inside]) @ B.T)


def mu_F(F: ArrayLike, H: ArrayLike) -> float:
    """lambda_min((A + A')/2), A = F^{1/2} H F^{-1/2} (17), the contraction rate in the metric F.

    Not above lambda_min(H) where F has full rank, with equality if F and H commute; it can be negative, and then
    Assumption 6.2 fails and the bounds that need it do not hold (`contraction_rate` says so). A rank-deficient F is
    taken on its range.

    Args: F positive semidefinite, H symmetric, float64[d, d].
    """
    return contraction_rate(F, H).mu_F


def contraction_rate(F: ArrayLike, H: ArrayLike) -> ContractionRate:
    """`mu_F` (17) with lambda_min(H) on range(F) and whether Assumption 6.2 holds; arguments as there."""
    basis, values, inside = spectrum("F", F)
    whole = basis.into_pair(_check.symmetric("H", H, values.size))
    inner = whole[0][np.ix_(inside, inside)], whole[1][np.ix_(inside, inside)]
    level = values[inside], basis.correction[inside]
    root = _dd.sqrt(level)
    # A + A' = inner (l_i + l_j)/(sqrt(l_i) sqrt(l_j)): in double-double, as mu_F may be small beside |A|
    weight = _dd.divide(_dd.outer(_dd.add, level), _dd.outer(_dd.multiply, root))
    value = smallest(_dd.multiply(inner, (0.5 * weight[0], 0.5 * weight[1])))
    return ContractionRate(value, smallest(inner), value > 0.0)


def condition_number(G: ArrayLike) -> float:
    """kappa = lambda_max(G)/lambda_min(G) on range(G); the paper leaves the definition open, this is our choice.

    kappa d_eff = tr(G)/lambda_min(G), the constant of the oracle complexity (49).
    """
    _, values, inside = spectrum("G", G)
    return float(np.max(values) / np.min(values[inside]))


def effective_dimension(G: ArrayLike) -> float:
    """d_eff = tr(G)/lambda_max(G), the stable rank (18), (40); between 1 and rank(G)."""
    _, values, _ = spectrum("G", G)
    return float(np.sum(values) / np.max(values))


def generalised_condition_number(H: ArrayLike, G: ArrayLike) -> float:
    """Condition number of the pair (H, G): ratio of extreme eigenvalues w of H v = w G v on range(G).

    One iff H is proportional to G there. H must be positive definite on range(G), else ValueError. Reported beside kappa
    (Section 3); float64[d, d] both.
    """
    hessian = _check.symmetric("H", H)
    basis, values, inside = spectrum("G", G, hessian.shape[0])
    inner = basis.into(hessian)[np.ix_(inside, inside)]
    # The largest eigenvalue of a pair is found to rounding, the smallest as the largest of the pair exchanged.
    other = eigenbasis(hessian if np.all(inside) else inner, "H")
    low = float(np.min(other.values))
    if low <= 0.0:
        raise ValueError(f"H must be positive definite on the range of G, got eigenvalue {low:.6g} there")
    noise = other.into(_check.symmetric("G", G) if np.all(inside) else np.diag(values[inside]))
    return float(np.max(_relative(inner, values[inside]))) * float(np.max(_relative(noise, other.values)))


def _relative(matrix: Array, values: Array) -> Array:
    """Eigenvalues of D^-1/2 M D^-1/2, D = diag(values)."""
    root = np.sqrt(values)
    return np.asarray(np.linalg.eigvalsh(symmetrise(matrix / np.multiply.outer(root, root))), np.float64)


def dual_norm_squared(gradient: ArrayLike, F: ArrayLike) -> Array:
    """|g|_{F^-1}^2 = g' F^+ g, g float64[..., d] -> float64[...]. Definition 7.1; on range(F)."""
    basis, values, inside = spectrum("F", F)
    g = _check.array("gradient", gradient)
    if g.shape[-1:] != (values.size,):
        raise ValueError(f"gradient must have shape (..., {values.size}), got {g.shape}")
    turned = (
        g if basis.vectors is None else _product.accurate(g.reshape(-1, values.size), basis.pair()).reshape(g.shape)
    )
    result: Array = np.sum(turned[..., inside] ** 2 / values[inside], axis=-1)
    return result


def gradient_bound(F: ArrayLike, smoothness: float, risk: ArrayLike) -> Array:
    """(l/lambda_min(F)) |Delta|_F, upper bound of |grad L|_{F^-1}, float64 like risk. Lemma 7.2.

    Args: F positive definite, float64[d, d]; smoothness l > 0, |Hessian of L| <= l; risk = |Delta|_F^2 >= 0, float64[...].
    Holds at every theta; near theta* grad L = H Delta, with equality for F and H proportional to I. ValueError for an F
    without full rank: in its kernel the risk sees no Delta, and a gradient of any size is possible.
    """
    _, values, inside = spectrum("F", F)
    if not np.all(inside):
        raise ValueError("F must have full rank; restrict the problem to range(F) first")
    level = _check.array("risk", risk)
    if np.any(level < 0.0):
        raise ValueError(f"risk must be >= 0, got {float(np.min(level)):.6g}")
    result: Array = _check.positive("smoothness", smoothness) / float(np.min(values)) * np.sqrt(level)
    return result


def step_products(H: ArrayLike, G: ArrayLike, eta: float, batch: int) -> tuple[float, float]:
    """(eta lambda_max(H), tau lambda_max(G)), tau = eta/b (25): what is held when batch and step are chosen. Section 9.4.

    The first must be below 2 (Section 5), the second is the size of the noise of a step; float64[d, d] both.
    """
    step, b = _check.positive("eta", eta), _check.count("batch", batch)
    noise = float(np.max(spectrum("G", G)[1]))
    return step * float(np.max(eigenbasis(H).values)), step / b * noise


def frozen_metric_change(G_path: ArrayLike, G: ArrayLike) -> Array:
    """|G(theta_k) - G(theta*)| / |G(theta*)| in operator norm along a path, float64[S]. Lemma 6.1, Section 9.3.

    G_path float64[S, d, d], G float64[d, d].
    """
    centre = _check.symmetric("G", G)
    path = _check.array("G_path", G_path, (None, *centre.shape))
    result: Array = np.linalg.norm(path - centre, 2, axis=(1, 2)) / np.linalg.norm(centre, 2)
    return result

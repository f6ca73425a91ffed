"""Shift of the stationary mean of a nonlinear problem away from the optimum, at leading order in the step.

Dieuleveut, Durmus and Bach (2020), Theorem 4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _product
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import eigenbasis


def contraction(third: ArrayLike | Callable[[Array], Array], S: ArrayLike) -> Array:
    """T[S]_i = sum_jk d^3 L/(d theta_i d theta_j d theta_k) S_jk, float64[d].

    third: float64[d, d, d], third derivative of L at theta*, or a function of S float64[d, d] that returns T[S].
    """
    spread = _check.covariance("S", S)
    d = spread.shape[0]
    if callable(third):
        return _check.array("third(S)", third(spread), (d,))
    tensor = _check.array("third", third, (d, d, d))
    result: Array = np.array([_product.inner(part, spread, (0, 1)) for part in tensor])
    return result


def mean_shift(H: ArrayLike, third: ArrayLike | Callable[[Array], Array], S: ArrayLike) -> Array:
    """E theta - theta* ~ -(1/2) H^-1 T[S], float64[d]: the stationary mean of constant-step SGD.

    S is the stationary covariance, H positive definite; 12 digits for T[S] as given (a rounding of it grows in flat
    directions of H, as their curvature is small). Error O(eta^{3/2}) or smaller against a shift of O(eta); zero
    for a quadratic. Source: Dieuleveut, Durmus and Bach (2020), Theorem 4; it follows from E grad L(theta) = 0 at
    stationarity.
    """
    hessian = _check.symmetric("H", H)
    T = contraction(third, _check.covariance("S", S, hessian.shape[0]))
    basis = eigenbasis(hessian)
    if float(np.min(basis.values)) <= 0.0:
        raise ValueError(f"H must be positive definite, got smallest eigenvalue {float(np.min(basis.values)):.6g}")
    return basis.back_vector(-0.5 * basis.into_vector(T) / basis.values)


def glm_contraction(features: ArrayLike, third_weights: ArrayLike, S: ArrayLike) -> Array:
    """T[S] = (1/n) sum_i w_i x_i (x_i' S x_i), float64[d], for L = (1/n) sum_i phi_i(x_i' theta), w_i = phi_i'''.

    features float64[n, d]; third_weights float64[n] at the optimum, for example p(1-p)(1-2p) for a logistic fit,
    exp(x'theta) for a Poisson one. A quadratic ridge adds nothing. x_i' S x_i is taken with 30 digits where n d^2 is at
    most 1e9: S is large in the flat directions of H, where the features are small.
    """
    X = _check.array("features", features, (None, None))
    w = _check.array("third_weights", third_weights, (X.shape[0],))
    spread = _check.covariance("S", S, X.shape[1])
    n, d = X.shape
    if float(n) * d * d > 1e9:
        quadratic = np.einsum("ni,ij,nj->n", X, spread, X, optimize=True)
    else:
        parts = [X[start : start + 4096] for start in range(0, n, 4096)]
        quadratic = np.concatenate([_product.quadratic_forms(part, spread) for part in parts])
    result: Array = X.T @ (w * quadratic) / n
    return result

"""Extrapolation of a quantity measured at several step sizes to eta -> 0, with its standard error. Richardson (1911)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array


@dataclass(frozen=True)
class Extrapolation:
    """Value at eta = 0.

    Attributes:
        value: extrapolated value; standard_error: of it, from the covariance of the inputs alone.
        weights: float64[m], value = weights @ values.
        chi_square: misfit of the polynomial, and `degrees` of freedom of it (0 when the fit is an interpolation).
    """

    value: float
    standard_error: float
    weights: Array
    chi_square: float
    degrees: int

    def z(self, expected: float = 1.0) -> float:
        """(value - expected)/standard_error; a ratio of empirical to predicted risk extrapolates to 1."""
        if self.standard_error == 0.0:
            return 0.0 if self.value == expected else math.copysign(math.inf, self.value - expected)
        return (self.value - expected) / self.standard_error


def weights(etas: ArrayLike) -> Array:
    """w with sum w_i p(eta_i) = p(0) for every polynomial p of degree < m: w_i = prod_{j != i} eta_j/(eta_j - eta_i).

    etas float64[m], distinct, > 0. For eta, eta/2: (-1, 2); for eta, eta/2, eta/4: (1/3, -2, 8/3).
    """
    nodes = _nodes(etas)
    m = nodes.size
    result = np.ones(m)
    for i in range(m):
        for j in range(m):
            if j != i:
                result[i] *= nodes[j] / (nodes[j] - nodes[i])
    return result


def extrapolate(etas: ArrayLike, values: ArrayLike, covariance: ArrayLike, degree: int | None = None) -> Extrapolation:
    """Value at eta = 0 of a polynomial through, or fitted to, values at several steps.

    Args:
        etas: float64[m], distinct, > 0; values: float64[m].
        covariance: float64[m, m] of the values, or float64[m] of their variances when independent. Cells that share
            random numbers are correlated: give the full matrix.
        degree: of the polynomial, m - 1 (interpolation) when left out, else generalised least squares.

    Valid where the quantity is a smooth function of eta on the range; the error of truncating the polynomial is not in
    the standard error (compare two degrees).
    """
    nodes = _nodes(etas)
    m = nodes.size
    y = _check.array("values", values, (m,))
    C = np.asarray(covariance, dtype=np.float64)
    C = np.diag(_check.array("covariance", C, (m,))) if C.ndim == 1 else C
    C = _check.covariance("covariance", C, m)
    p = m - 1 if degree is None else _check.count("degree", degree, 0)
    if p > m - 1:
        raise ValueError(f"degree must be <= {m - 1} with {m} step sizes, got {p}")
    if p == m - 1:
        w = weights(nodes)
        return Extrapolation(float(w @ y), math.sqrt(max(0.0, float(w @ C @ w))), w, 0.0, 0)
    design = (nodes[:, None] / float(np.max(nodes))) ** np.arange(p + 1)
    try:
        root = np.linalg.cholesky(C)
    except np.linalg.LinAlgError:
        raise ValueError("covariance must be positive definite for a fit; use the interpolation, degree=None") from None
    whitened = np.linalg.solve(root, design)
    solution = np.linalg.pinv(whitened) @ np.linalg.inv(root)
    w = solution[0]
    misfit = np.linalg.solve(root, y - design @ (solution @ y))
    return Extrapolation(float(w @ y), math.sqrt(float(w @ C @ w)), w, float(misfit @ misfit), m - p - 1)


def _nodes(etas: ArrayLike) -> Array:
    nodes = _check.array("etas", etas, (None,))
    if nodes.size == 0 or np.any(nodes <= 0.0) or np.unique(nodes).size != nodes.size:
        raise ValueError("etas must be > 0 and distinct, one a cell")
    return nodes

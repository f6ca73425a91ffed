"""A check, from the arrays alone, that a matrix solves its Lyapunov equation and is a covariance."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _dd, _product, factors, lyapunov
from fastsgd.theory.eigen import eigenbasis


@dataclass(frozen=True)
class Certificate:
    """What was found about a claimed stationary covariance S.

    Attributes:
        residual: Frobenius norm of the equation's residual, computed with 30 digits, relative to the sum of the norms of
            its terms. With H of condition 1e10 the rounding of S alone, eps |H| |S|, can bring it to 1e-7.
        error: Frobenius norm of S less the solution, relative to S: the residual carried through the inverse of the
            equation; a solution correct to rounding has about eps. Infinite if the recursion is not stable.
        smallest_eigenvalue: of S, relative to the largest; at least about -d eps for a covariance.
        spectral_radius: max|1 - eta l| of the recursion (discrete); -eta min l of its generator (continuous), which
            must be < 0.
        stable: the recursion (or the process) is stable.
        definite: S is positive semidefinite to rounding.
        solves: the error is within rounding (the residual, for a recursion that is not stable).
    """

    residual: float
    error: float
    smallest_eigenvalue: float
    spectral_radius: float
    stable: bool
    definite: bool
    solves: bool

    @property
    def valid(self) -> bool:
        """All three: stable, definite and solves."""
        return self.stable and self.definite and self.solves

    def __str__(self) -> str:
        words = [
            word
            for word, good in (("unstable", self.stable), ("not PSD", self.definite), ("wrong", self.solves))
            if not good
        ]
        return (
            f"{'valid' if self.valid else ', '.join(words)}: residual {self.residual:.2g}, error {self.error:.2g}, "
            f"smallest eigenvalue {self.smallest_eigenvalue:.2g} of the largest, spectral radius {self.spectral_radius:.9g}"
        )


def certify(
    H: ArrayLike,
    Sigma: ArrayLike,
    eta: float,
    S: ArrayLike,
    kind: Literal["discrete", "continuous"] = "discrete",
) -> Certificate:
    """Certificate of S as the solution of (37), or of H S + S H = eta Sigma (34).

    The discrete equation is checked in the form H S + S H - eta H S H = eta Sigma, which is (37) divided by eta: there
    a tiny eta does not hide an error. All arrays float64[d, d]. Rounding is allowed as 100 d eps.
    """
    hessian = _check.symmetric("H", H)
    d = hessian.shape[0]
    noise, value = _check.symmetric("Sigma", Sigma, d), _check.symmetric("S", S, d)
    eta = _check.positive("eta", eta)
    if kind not in ("discrete", "continuous"):
        raise ValueError(f"kind must be 'discrete' or 'continuous', got {kind!r}")
    basis, (HS, HS_low) = eigenbasis(hessian), _product.product(_product.pair(hessian), _product.pair(value))
    low = float(np.min(basis.values))
    terms = [(HS, HS_low), (HS.T, HS_low.T), _dd.two_product(-eta, noise)]
    x, _, g = factors.contraction(basis, eta)
    if kind == "discrete":
        terms.append(_dd.scale(_product.product((HS, HS_low), _product.pair(hessian)), -eta))
        radius, stable = lyapunov.spectral_radius(basis, eta), low > 0.0 and float(np.min(g)) > 0.0
        inverse = factors.pair_gap(x, g) / eta
    else:
        radius, stable = -eta * low, low > 0.0
        inverse = np.add.outer(basis.values, basis.values)
    total = functools.reduce(_dd.add, terms)
    size = sum(float(np.linalg.norm(term[0])) for term in terms)
    residual = float(np.linalg.norm(total[0])) / size if size > 0.0 else 0.0
    norm, error = float(np.linalg.norm(value)), math.inf
    if stable:
        left = basis.into_pair(total)
        off = float(np.linalg.norm((left[0] + left[1]) / inverse))
        error = off / norm if norm > 0.0 else (math.inf if off > 0.0 else 0.0)
    spectrum = np.linalg.eigvalsh(value)
    top = float(np.max(np.abs(spectrum)))
    smallest = float(spectrum[0]) / top if top > 0.0 else 0.0
    allowed = 100 * d * float(np.finfo(np.float64).eps)
    solves = (error if stable else residual) <= allowed
    return Certificate(residual, error, smallest, radius, stable, smallest >= -allowed, solves)

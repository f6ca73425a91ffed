"""A check, from the arrays alone, that a matrix solves its Lyapunov equation and is a covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, lyapunov


@dataclass(frozen=True)
class Certificate:
    """What was found about a claimed stationary covariance S.

    Attributes:
        residual: Frobenius norm of the equation's residual relative to the sum of the norms of its terms; a solution
            correct to rounding has about d eps.
        smallest_eigenvalue: of S, relative to the largest; at least about -d eps for a covariance.
        spectral_radius: max|1 - eta l| of the recursion (discrete); -eta min l of its generator (continuous), which
            must be < 0.
        stable: the recursion (or the process) is stable.
        definite: S is positive semidefinite to rounding.
        solves: the residual is within rounding.
    """

    residual: float
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
            f"{'valid' if self.valid else ', '.join(words)}: residual {self.residual:.2g}, smallest eigenvalue "
            f"{self.smallest_eigenvalue:.2g} of the largest, spectral radius {self.spectral_radius:.9g}"
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
    HS = hessian @ value
    terms = [HS + HS.T, -eta * noise]
    if kind == "discrete":
        terms.append(-eta * HS @ hessian)
        radius = lyapunov.spectral_radius(hessian, eta)
        stable = radius < 1.0 and float(np.linalg.eigvalsh(hessian)[0]) > 0.0
    elif kind == "continuous":
        radius = -eta * float(np.linalg.eigvalsh(hessian)[0])
        stable = radius < 0.0
    else:
        raise ValueError(f"kind must be 'discrete' or 'continuous', got {kind!r}")
    size = sum(float(np.linalg.norm(term)) for term in terms)
    residual = float(np.linalg.norm(sum(terms))) / size if size > 0.0 else 0.0
    spectrum = np.linalg.eigvalsh(value)
    top = float(np.max(np.abs(spectrum)))
    smallest = float(spectrum[0]) / top if top > 0.0 else 0.0
    allowed = 100 * d * float(np.finfo(np.float64).eps)
    return Certificate(residual, smallest, radius, stable, smallest >= -allowed, residual <= allowed)

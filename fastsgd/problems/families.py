"""The families of generalised linear models: which targets they allow, and their link functions on arrays.

With margin z = x'theta, the negative log-likelihood l(z, y) of one sample is (y - z)^2/2 for `linear` (unit variance),
log(1 + exp z) - y z for `logistic`, exp z - y z for `poisson`, and -log Phi((2y - 1) z) for `probit`, up to constants.
For `huber` it is r^2/2 of r = z - y where |r| <= c = `threshold`, c |r| - c^2/2 beyond: the negative log-likelihood of Huber's
least favourable law, whose density is normal up to c and falls off exponentially from there.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.exact import normal_cdf, normal_density

Array = NDArray[np.float64]


class Family(NamedTuple):
    """code: number in `kernels.links`; rule, remedy: of its targets."""

    code: int
    rule: str
    remedy: str


FAMILIES = {
    "linear": Family(0, "finite", "give finite numbers"),
    "logistic": Family(1, "0 or 1", "code the two classes as 0 and 1"),
    "poisson": Family(2, "a count 0, 1, 2, ...", "give whole numbers that are not negative, or another family"),
    "probit": Family(3, "0 or 1", "code the two classes as 0 and 1"),
    "huber": Family(4, "finite", "give finite numbers"),
}


def outside(family: str, targets: Array) -> NDArray[np.bool_]:
    """bool[n]: targets that the family does not allow."""
    if family in ("linear", "huber"):
        return ~np.isfinite(targets)
    if family == "poisson":
        return ~((targets >= 0) & (targets == np.floor(targets)) & np.isfinite(targets))
    return ~((targets == 0) | (targets == 1))


def score(family: str, z: Array, y: Array, threshold: float = 1.0) -> Array:
    """dl/dz, float64[n], at margins and targets float64[n]; threshold: of `huber`."""
    from fastsgd.kernels.links import SCORE

    return np.clip(z - y, -threshold, threshold) if family == "huber" else _values(SCORE, family, z, y)


def curvature(family: str, z: Array, y: Array, threshold: float = 1.0) -> Array:
    """d2l/dz2, float64[n]."""
    from fastsgd.kernels.links import CURVATURE

    if family == "huber":
        return np.where(np.abs(z - y) <= threshold, 1.0, 0.0)
    return _values(CURVATURE, family, z, y)


def information(family: str, z: Array, threshold: float = 1.0) -> Array:
    """E[(dl/dz)^2] with the target drawn from the model, float64[n]; equals the curvature for a canonical link.

    For huber it is P(|r| <= c) = p / (p + 2 phi(c)/c), p = 2 Phi(c) - 1, at every margin.
    """
    from fastsgd.kernels.links import INFORMATION

    if family == "huber":
        return np.full(len(z), _huber_information(threshold))
    return _values(INFORMATION, family, z, z)


def _huber_information(threshold: float) -> float:
    c = Decimal(threshold)
    if c > 12:
        return 1.0  # to 1e-32
    with localcontext(prec=60):
        inside = 2 * normal_cdf(c) - 1
        return float(inside / (inside + 2 * normal_density(c) / c))


def _values(what: int, family: str, z: Array, y: Array) -> Array:
    from fastsgd.kernels.links import link_values

    rest = np.zeros(-len(z) % 8)
    out = np.empty(len(z) + len(rest))
    link_values(what, FAMILIES[family].code, np.concatenate((z, rest)), np.concatenate((y, rest)), out)
    return out[: len(z)]

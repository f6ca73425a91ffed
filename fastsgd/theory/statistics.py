"""Errors of Monte Carlo estimates and levels of simultaneous checks. Gaussian draws; (7); Sidak (1967)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check


@dataclass(frozen=True)
class JointTest:
    """Chi-square of several correlated differences: statistic, degrees of freedom, p-value."""

    chi_square: float
    degrees: int
    p_value: float


def covariance_shape(C: ArrayLike) -> float:
    """r = (tr C)^2/tr(C^2), the effective number of directions of a covariance, 1 <= r <= d."""
    spread = _check.covariance("C", C)
    square = float(np.sum(spread * spread))
    if square == 0.0:
        raise ValueError("C must not be zero; there is no relative error of an empty covariance")
    return float(np.trace(spread)) ** 2 / square


def relative_frobenius_error(C: ArrayLike, draws: int, mean_known: bool = True) -> float:
    """sqrt((1 + r)/R): root mean square of |Chat - C|_F/|C|_F for R Gaussian draws, r = (tr C)^2/tr(C^2).

    With the mean estimated too (normalisation 1/(R-1)) R is R - 1. A reported relative Frobenius difference is judged
    against this, not against 0.
    """
    R = _check.count("draws", draws, 1 if mean_known else 2)
    return math.sqrt((1.0 + covariance_shape(C)) / (R if mean_known else R - 1))


def covariance_standard_errors(C: ArrayLike, draws: int) -> np.ndarray:
    """Standard error of each entry of an estimated covariance from R Gaussian draws, float64[d, d].

    Var Chat_ij = (C_ii C_jj + C_ij^2)/(R - 1) for the 1/(R - 1) estimate.
    """
    spread = _check.covariance("C", C)
    v = np.diagonal(spread)
    result: np.ndarray = np.sqrt((np.multiply.outer(v, v) + spread * spread) / (_check.count("draws", draws, 2) - 1))
    return result


def sidak_level(family: float, checks: int) -> float:
    """Level of one check so that m independent ones have this family-wise false-alarm rate: 1 - (1 - alpha)^(1/m)."""
    alpha, m = _level(family), _check.count("checks", checks)
    return -math.expm1(math.log1p(-alpha) / m)


def sidak_z(family: float, checks: int) -> float:
    """|z| beyond which one of m two-sided normal checks fails, at this family-wise false-alarm rate.

    Conservative for Gaussian z of any correlation (Sidak 1967). sidak_z(1e-4, 1) = 3.89.
    """
    return -NormalDist().inv_cdf(0.5 * sidak_level(family, checks))


def joint_test(differences: ArrayLike, covariance: ArrayLike, tolerance: float = 1e-10) -> JointTest:
    """Chi-square of correlated differences (for instance risks at recorded steps, with `transient.risk_covariance`/R).

    differences float64[m], covariance float64[m, m] of them. Directions whose variance, after scaling to unit
    diagonal, is below `tolerance` of the largest carry no information and are left out of the degrees of freedom.
    """
    from scipy.special import chdtrc

    delta = _check.array("differences", differences, (None,))
    C = _check.covariance("covariance", covariance, delta.size)
    sd = np.sqrt(np.diagonal(C))
    if np.any(sd == 0.0):
        raise ValueError("covariance must have positive variances; leave out quantities without error")
    values, vectors = np.linalg.eigh(C / np.multiply.outer(sd, sd))
    inside = values > tolerance * values[-1]
    scores = (vectors[:, inside].T @ (delta / sd)) ** 2 / values[inside]
    degrees = int(np.count_nonzero(inside))
    statistic = float(np.sum(scores))
    return JointTest(statistic, degrees, float(chdtrc(degrees, statistic)))


def standard_normal_p(values: ArrayLike) -> float:
    """p of the Kolmogorov-Smirnov test that float64[n], n >= 8, are independent standard normal numbers.

    The limit law at sqrt(n) D + 1/(6 sqrt n) + (sqrt(n) D - 1)/(4 n) (Vrbik 2018): off by 0.003 at n = 8, 2e-4 at n = 100.
    """
    from scipy.special import kolmogorov, ndtr

    below = ndtr(np.sort(_check.array("values", values, (None,))))
    n = len(below)
    if n < 8:
        raise ValueError(f"values must be 8 numbers or more, got {n}")
    far = math.sqrt(n) * float(max(np.max(np.arange(1, n + 1) / n - below), np.max(below - np.arange(n) / n)))
    return float(kolmogorov(far + 1 / (6 * math.sqrt(n)) + (far - 1) / (4 * n)))


def scaled_risk(
    risk: ArrayLike, steps: ArrayLike, batch: int, standard_error: ArrayLike = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """N E r and its standard error, N = b k oracle calls (7): float64 like risk. Zero at step 0."""
    calls = _check.count("batch", batch) * np.asarray(steps, dtype=np.float64)
    return calls * np.asarray(risk, dtype=np.float64), calls * np.asarray(standard_error, dtype=np.float64)


def _level(alpha: float) -> float:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"the false-alarm rate must be between 0 and 1, got {alpha!r}")
    return float(alpha)

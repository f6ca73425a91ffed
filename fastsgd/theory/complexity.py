"""Stationarity under a budget of oracle calls: bound, balanced step, feasible batches, oracle complexity. Section 7.

l is the smoothness of L (|Hessian| <= l), gap0 = Delta0 = L(theta_0) - L*, N = b T the oracle calls (7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory.projection import spectrum


@dataclass(frozen=True)
class Oracle:
    """Smallest budget for a precision, and how to spend it.

    Attributes:
        calls: N, oracle calls (49).
        largest_batch: batches up to it are feasible at N (Corollary 7.8).
        squared_norm: the bound on (1/T) sum E|grad L|^2 at N, <= eps^2.
    """

    calls: int
    largest_batch: int
    squared_norm: float


@dataclass(frozen=True)
class Setting:
    """The constants of Section 7: l, gap0 and the noise, of which only tr(G) and lambda_min(G) on the range enter."""

    smoothness: float
    gap0: float
    trace: float
    smallest: float


def setting(G: ArrayLike, smoothness: float, gap0: float) -> Setting:
    """Setting from G float64[d, d] PSD, l > 0, gap0 > 0. The norm is |.|_{G^-1} on range(G)."""
    _, values, inside = spectrum("G", G)
    return Setting(
        _check.positive("smoothness", smoothness),
        _check.positive("gap0", gap0),
        float(np.sum(values)),
        float(np.min(values[inside])),
    )


def stationarity_bound(at: Setting, eta: float, steps: int, batch: int) -> float:
    """(48) in expectation: (1/T) sum E|grad L|_{G^-1}^2 <= [2 gap0/(eta T) + eta l tr(G)/b]/lambda_min(G), eta <= 1/l.

    The constants are explicit. Raises ValueError when eta > 1/l, where the theorem does not hold.
    """
    eta = _check.positive("eta", eta)
    if eta > (1.0 + 1e-12) / at.smoothness:
        raise ValueError(f"eta must be <= 1/l = {1.0 / at.smoothness:.6g} for the bound (48), got {eta:.6g}")
    T, b = _check.count("steps", steps), _check.count("batch", batch)
    return (2.0 * at.gap0 / (eta * T) + eta * at.smoothness * at.trace / b) / at.smallest


def high_probability_bound(at: Setting, eta: float, steps: int, batch: int, delta: float, constant: float) -> float:
    """(48) with probability 1 - delta: constant x [2 gap0/(eta T) + eta l tr(G) (1 + log(1/delta))/b]/lambda_min(G).

    Holds up to a universal constant that the theorem does not give: `constant` must be supplied, and a table that shows
    this number must say so.
    """
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must be between 0 and 1, got {delta!r}")
    noise = eta * at.smoothness * at.trace / _check.count("batch", batch) / at.smallest
    expected = stationarity_bound(at, eta, steps, batch)
    return _check.positive("constant", constant) * (expected + noise * math.log(1.0 / delta))


def balanced_step(at: Setting, calls: int, batch: int) -> float:
    """eta* = b sqrt(2 gap0/(N l tr G)), which balances the two terms of (48). Corollary 7.8."""
    N, b = _check.count("calls", calls), _check.count("batch", batch)
    return b * math.sqrt(2.0 * at.gap0 / (N * at.smoothness * at.trace))


def largest_feasible_batch(at: Setting, calls: int) -> float:
    """sqrt(N tr(G)/(2 gap0 l)): batches up to it keep eta* <= 1/l. Corollary 7.8. Not rounded, may be below 1."""
    return math.sqrt(_check.count("calls", calls) * at.trace / (2.0 * at.gap0 * at.smoothness))


def feasible(at: Setting, calls: int, batch: int) -> bool:
    """Corollary 7.8: the balanced step respects eta* <= 1/l."""
    return _check.count("batch", batch) <= largest_feasible_batch(at, calls)


def budget_bound(at: Setting, calls: int, batch: int) -> float:
    """Bound (48) at the best allowed step min(eta*, 1/l) with T = N/b steps (not rounded).

    Inside the feasible region 2 sqrt(2 gap0 l tr(G)/N)/lambda_min(G), whatever b; outside it grows with b.
    """
    eta = min(balanced_step(at, calls, batch), 1.0 / at.smoothness)
    return (2.0 * at.gap0 * batch / (eta * calls) + eta * at.smoothness * at.trace / batch) / at.smallest


def oracle_complexity(at: Setting, precision: float, batch: int = 1) -> Oracle:
    """(49): smallest N whose bound is <= eps^2, so that the norm is <= eps, at this batch.

    Inside the feasible region N = 8 gap0 l tr(G)/(lambda_min(G)^2 eps^4), order eps^-4 with the constant kappa d_eff;
    where b is infeasible at that N, the smallest N with the step 1/l, if there is one.
    """
    target = _check.positive("precision", precision) ** 2
    b = _check.count("batch", batch)
    calls = math.ceil(8.0 * at.gap0 * at.smoothness * at.trace / (at.smallest * target) ** 2)
    calls = max(calls, 1)
    if not feasible(at, calls, b):
        # step 1/l: [2 gap0 l b/N + tr(G)/b]/lambda_min <= eps^2
        room = at.smallest * target - at.trace / b
        calls = max(1, math.ceil(2.0 * at.gap0 * at.smoothness * b / room)) if room > 0.0 else calls
    while budget_bound(at, calls, b) > target:
        calls += max(1, int(calls * 1e-15))
    return Oracle(calls, math.floor(largest_feasible_batch(at, calls)), budget_bound(at, calls, b))

"""The fluid limit from a far start to the optimum, at all times at once, however stiff: exponential time differencing.

    dDelta/dt = -grad L(theta* + Delta) = -H Delta - r(Delta)

in the eigenbasis of H: the linear part is solved exactly and the remainder r to second order (ETD2RK of Cox and Matthews,
2002), in steps chosen so that the second-order term, which is what the first order misses, stays small. Steps grow without
bound as r dies out, so that the work does not depend on the condition number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastsgd.theory import _check
from fastsgd.theory._check import Array

MOST = 4000  # gradients
NEAR = 1e-6  # size of Delta, relative to the start, from which on the rest is linear


@dataclass(frozen=True)
class Relaxation:
    """Delta(t), t >= 0, in the eigenbasis of H.

    Attributes:
        values: float64[d], eigenvalues of H. times: float64[n], beginnings of steps; lengths: float64[n].
        points, forces, changes: float64[n, d]: Delta and -r there, and how much -r differs at the end of the step.
    """

    values: Array
    times: Array
    lengths: Array
    points: Array
    forces: Array
    changes: Array

    def __call__(self, t: float) -> Array:
        """Delta(t), float64[d]."""
        at = int(np.searchsorted(self.times, t, "right")) - 1
        h = t - self.times[at]
        first, second = _phi(self.values * h)
        moved = np.exp(-self.values * h) * self.points[at] + h * first * self.forces[at]
        result: Array = moved + h * (h / self.lengths[at]) * second * self.changes[at]
        return result


def relax(
    values: Array, gradient: Callable[[Array], Array], start: Array, last: float, tolerance: float = 1e-3
) -> Relaxation | None:
    """Relaxation from `start` to time `last`; None if it leads away or takes more than 4000 gradients.

    Args:
        values: eigenvalues of H, float64[d], > 0.
        gradient: grad L at Delta, float64[d] to float64[d], in the eigenbasis of H, 0 at 0.
        start: Delta(0), float64[d], not 0. tolerance: of a step, relative to the size of Delta (or 1e-3 of the start).
    """
    last, tolerance = _check.positive("last", last), _check.positive("tolerance", tolerance)
    point, t, h = np.array(start, np.float64), 0.0, 0.1 / float(np.max(values))
    whole = float(np.max(np.abs(point)))
    force = values * point - gradient(point)
    steps: list[tuple[float, float, Array, Array, Array]] = []
    for _ in range(MOST):
        first, second = _phi(values * h)
        ahead = np.exp(-values * h) * point + h * first * force
        with np.errstate(over="ignore", invalid="ignore"):
            change = values * ahead - gradient(ahead) - force
            missed = h * second * change
            error = float(np.max(np.abs(missed))) / (tolerance * max(float(np.max(np.abs(point))), 1e3 * NEAR * whole))
        if not error <= 1.0:
            if h < 1e-12 * max(t, 1e-6 / float(np.max(values))):
                return None
            h *= max(0.2, 0.8 / np.sqrt(error)) if np.isfinite(error) else 0.2
            continue
        steps.append((t, h, point, force, change))
        t, point = t + h, ahead + missed
        if not np.isfinite(point).all():
            return None
        if t < last and float(np.max(np.abs(point))) < NEAR * whole:
            steps.append((t, last, point, 0.0 * point, 0.0 * point))
            t = last
        if t >= last:
            return Relaxation(values, *(np.array(part) for part in zip(*steps, strict=True)))
        force = values * point - gradient(point)
        h *= min(3.0, 0.8 / np.sqrt(error + 1e-12))
    return None


def _phi(z: Array) -> tuple[Array, Array]:
    """(1 - e^-z)/z and (z - 1 + e^-z)/z^2."""
    safe = np.where(z == 0.0, 1.0, z)
    first = np.where(z == 0.0, 1.0, -np.expm1(-safe) / safe)
    small = np.abs(z) < 0.5  # where z - 1 + e^-z cancels: its series, sum (-z)^n/(n + 2)!
    near, term = np.where(small, z, 0.0), np.full_like(z, 0.5)
    series = term.copy()
    for n in range(1, 14):
        term = -term * near / (n + 2.0)
        series += term
    away = np.where(small, 1.0, z)
    return first, np.where(small, series, (away + np.expm1(-away)) / away**2)

"""The exact moments of one arm at chosen steps, and its plateau."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.analysis.model import Model
from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.analysis.whitening import whitener
from fastsgd.theory import geometry, lyapunov, transient

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Mean float64[S, d] and covariance float64[S, d, d] of Delta at steps int64[S], from the start of the run.

    Exact for a linear recursion with independent noise of covariance `sigma`, transient included; for a nonlinear
    problem the frozen-noise value, whose relative error is of the order of the step size.
    """

    model: Model
    sigma: Array
    steps: NDArray[np.int64]
    mean: Array
    covariance: Array
    _laws: dict[int, QuadraticForm] = field(default_factory=dict, repr=False, compare=False)
    _whiteners: dict[int, Array] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, model: Model, steps: ArrayLike) -> Prediction:
        """Prediction for `model` at strictly increasing steps >= 0."""
        sigma = model.gradient_covariance()
        at = np.asarray(steps, dtype=np.int64)
        mean0, cov0 = model.start(sigma)
        mean, covariance = transient.moments(model.hessian, sigma, model.etas, at, mean0, cov0)
        return cls(model, sigma, at, mean, covariance)

    @cached_property
    def risk(self) -> Array:
        """E r = tr(F C) + m'Fm, float64[S]; infinite after an overflow."""
        return np.atleast_1d(transient.risk(self.model.metric, self.mean, self.covariance))

    @cached_property
    def risk_variance(self) -> Array:
        """Var r of one replicate, Gaussian, float64[S]."""
        return np.atleast_1d(transient.risk_variance(self.model.metric, self.mean, self.covariance))

    def risk_covariance(self, index: ArrayLike) -> Array:
        """Covariance of one replicate's risk between the steps[index], Gaussian, float64[s, s]."""
        i = np.asarray(index)
        model = self.model
        return transient.risk_covariance(
            model.metric, model.hessian, model.etas, self.steps[i], self.mean[i], self.covariance[i]
        )

    def risk_distribution(self, index: int) -> QuadraticForm:
        """Distribution of the risk of one replicate at steps[index], Gaussian; found once."""
        if index not in self._laws:
            self._laws[index] = QuadraticForm.of(self.model.metric, self.mean[index], self.covariance[index])
        return self._laws[index]

    def whitener(self, index: int) -> Array:
        """`whitening.whitener` of the covariance at steps[index], float64[d, rank]; found once."""
        if index not in self._whiteners:
            self._whiteners[index] = whitener(self.covariance[index])
        return self._whiteners[index]

    @cached_property
    def random(self) -> NDArray[np.bool_]:
        """True where the predicted risk is finite and has a variance above rounding, bool[S]."""
        with np.errstate(invalid="ignore", over="ignore"):
            return np.isfinite(self.risk) & (self.risk_variance > (1e-11 * self.risk) ** 2)

    @cached_property
    def stable(self) -> bool:
        """True when the largest step is below 2/lambda_max(H)."""
        return lyapunov.spectral_radius(self.model.hessian, self.model.schedule.largest()) < 1

    def plateau(self) -> tuple[float | None, float | None]:
        """Stationary risk tr(F S): exact, and leading order in the step size (continuous time). None where none."""
        model = self.model
        if not model.schedule.constant:
            return None, None
        size = model.schedule.size
        leading = lyapunov.continuous_stationary(model.hessian, self.sigma, size)
        exact = lyapunov.discrete_stationary(model.hessian, self.sigma, size) if self.stable else None
        return None if exact is None else _trace(model.metric, exact), _trace(model.metric, leading)

    def at_plateau(self, tolerance: float) -> NDArray[np.bool_]:
        """True where the predicted risk is within a relative `tolerance` of the plateau, bool[S]; False without one."""
        level = self.plateau()[0]
        if not level:
            return np.zeros(len(self.steps), dtype=np.bool_)
        return np.asarray(np.abs(self.risk / level - 1) <= tolerance)

    def forgotten(self) -> NDArray[np.bool_]:
        """True where a constant step has shrunk the mean of the start to 5 % or less in every direction, bool[S]."""
        radius = lyapunov.spectral_radius(self.model.hessian, self.model.schedule.largest())
        return np.asarray(radius ** self.steps.astype(np.float64) <= 0.05)

    def summary(self) -> dict[str, Any]:
        """The fields of `predict --json` for this arm."""
        model, schedule = self.model, self.model.schedule
        plateau, leading = self.plateau()
        sampling, largest = model.spec.sampling, schedule.largest()
        noisy = bool(np.any(model.noise))
        deviation = np.sqrt(self.risk_variance)
        return {
            "problem": model.spec.problem.kind,
            "dimension": model.dimension,
            "design": sampling.design,
            "batch": sampling.batch,
            "pool_size": model.pool_size,
            "schedule": schedule.schedule,
            "step_size": largest,
            "temperature": schedule.size / sampling.batch if schedule.constant else None,
            "stable": self.stable,
            "spectral_radius": lyapunov.spectral_radius(model.hessian, largest),
            "largest_stable_step": lyapunov.largest_stable_step(model.hessian),
            "plateau_risk": plateau,
            "plateau_risk_leading": leading,
            "risk": [
                {"step": int(k), "value": float(r), "standard_deviation": float(s)}
                for k, r, s in zip(self.steps, self.risk, deviation, strict=True)
            ],
            "mu_F": geometry.mu_F(model.metric, model.hessian),
            "condition_number": geometry.condition_number(model.noise) if noisy else None,
            "effective_dimension": geometry.effective_dimension(model.noise) if noisy else None,
            "exact": model.exact,
            "method": "exact" if model.exact else "frozen-noise",
        }


def _trace(metric: Array, covariance: Array) -> float:
    return float(np.einsum("ij,ji->", metric, covariance))

"""The exact moments of one arm at chosen steps, and its plateau."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.analysis import path as paths
from fastsgd.analysis import singular
from fastsgd.analysis.model import Model
from fastsgd.analysis.path import Path
from fastsgd.analysis.pilot_errors import PilotErrors, pilot_errors
from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.analysis.whitening import whitener
from fastsgd.errors import InputError
from fastsgd.theory import geometry, least_squares_stationary, lyapunov, reshuffling, transient

Array = NDArray[np.float64]
T = TypeVar("T")

MOST_STEPS = 200_000_000  # some 3 microseconds each
LARGEST_RISK = 1e140  # its square, a variance, must not overflow


@dataclass(frozen=True)
class Prediction:
    """Mean float64[S, d] and covariance float64[S, d, d] of Delta at steps int64[S], from the start of the run.

    Exact for a linear recursion with independent noise of covariance `sigma` and for least squares on a pool, transient
    included; for a nonlinear problem the frozen-noise value, whose relative error is of the order of the step size.
    `path` holds the same in the eigenbasis of H, `frozen_risk` the risk float64[S] with the noise of the optimum
    wherever that is not what is predicted.
    """

    model: Model
    sigma: Array
    steps: NDArray[np.int64]
    mean: Array
    covariance: Array
    path: Path = field(repr=False, compare=False)
    frozen_risk: Array | None = None
    _found: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, model: Model, steps: ArrayLike) -> Prediction:
        """Prediction for `model` at strictly increasing steps >= 0. InputError past `MOST_STEPS` of a varying step."""
        sigma = model.gradient_covariance()
        at = np.asarray(steps, dtype=np.int64)
        if not model.schedule.constant and at[-1] > MOST_STEPS:
            raise InputError(
                f"the prediction of a decaying step goes through every step, {MOST_STEPS:.0e} at most, got step {at[-1]:.3g}; "
                "record earlier steps (the simulation itself has no such limit)"
            )
        frozen, exact = paths.frozen(model, sigma, at), paths.exact(model, sigma, at)
        path = exact or frozen
        mean, covariance = path.original()
        beside = None if exact is None else np.atleast_1d(transient.risk(frozen.metric, frozen.mean, frozen.covariance))
        return cls(model, sigma, at, mean, covariance, path, beside)

    @property
    def gaussian(self) -> bool:
        """True where Delta is Gaussian, so that the prediction gives standard errors too."""
        return self.model.exact

    @property
    def exact(self) -> bool:
        """True where the predicted moments have no bias in the step size."""
        return self.model.exact or self.path.known

    @property
    def testable(self) -> bool:
        """False where the design has no closed form for this problem: what is predicted can be shown, not tested."""
        return self.model.design.independent or self.exact

    @cached_property
    def risk(self) -> Array:
        """E r = tr(F C) + m'Fm, float64[S]; infinite after an overflow."""
        return np.atleast_1d(transient.risk(self.path.metric, self.path.mean, self.path.covariance))

    @cached_property
    def risk_variance(self) -> Array:
        """Var r of one replicate, Gaussian, float64[S]."""
        path = self.path
        return np.atleast_1d(transient.risk_variance(path.metric, path.mean, path.covariance))

    def risk_covariance(self, index: ArrayLike) -> Array:
        """Covariance of one replicate's risk between the steps[index], Gaussian, float64[s, s]."""
        i, path = np.asarray(index), self.path
        return transient.risk_covariance(
            path.metric, path.hessian, self.model.etas, self.steps[i], path.mean[i], path.covariance[i]
        )

    def risk_distribution(self, index: int) -> QuadraticForm:
        """Distribution of the risk of one replicate at steps[index], Gaussian; found once."""
        path = self.path
        return self.once(
            ("law", index), lambda: QuadraticForm.of(path.metric, path.mean[index], path.covariance[index])
        )

    def whitener(self, index: int) -> Array:
        """`whitening.whitener` of the covariance at steps[index], float64[d, rank]; found once.

        Over the directions in which there is a prediction (`singular`).
        """
        return self.once(("whitener", index), lambda: self._whitener(index))

    def _whitener(self, index: int) -> Array:
        found = singular.whitener(self, index)
        return whitener(self.covariance[index]) if found is None else found

    @cached_property
    def floors(self) -> Array | None:
        """`singular.floors`."""
        return singular.floors(self)

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """make(), called the first time that `key` is asked for: many small runs may share one prediction."""
        if key not in self._found:
            self._found[key] = make()
        found: T = self._found[key]
        return found

    @cached_property
    def pilot(self) -> PilotErrors | None:
        """What the error of an estimated geometry adds to the errors of the prediction; None where nothing is estimated."""
        return pilot_errors(self)

    @cached_property
    def random(self) -> NDArray[np.bool_]:
        """True where the predicted risk is below `LARGEST_RISK` and has a variance above rounding, bool[S]."""
        with np.errstate(invalid="ignore", over="ignore"):
            return (self.risk < LARGEST_RISK) & (self.risk_variance > (1e-11 * self.risk) ** 2)

    @cached_property
    def stable(self) -> bool:
        """True when the largest step is below `largest_stable_step`."""
        return self.model.schedule.largest() < self.largest_stable_step

    @cached_property
    def largest_stable_step(self) -> float:
        """2/lambda_max(H); with state-dependent noise the smaller step up to which the mean square is finite."""
        if self.path.state_dependent:
            assert self.model.least_squares is not None
            return least_squares_stationary.largest_stable_step(self.model.least_squares, self.model.factor)
        return self.model.largest_stable_step()

    def plateau(self) -> tuple[float | None, float | None]:
        """Stationary risk tr(F S): as predicted, and leading order in the step size. None where there is none."""
        return self.once("plateau", self._plateau)

    def _plateau(self) -> tuple[float | None, float | None]:
        model = self.model
        if not model.schedule.constant:
            return None, None
        size = model.schedule.size
        leading = model.leading_plateau(self.sigma) if model.design.independent else None
        if not self.stable:
            return None, leading
        if not self.path.state_dependent:
            return self.frozen_plateau(), leading
        assert model.least_squares is not None
        second = least_squares_stationary.stationary(model.least_squares, size, model.factor)
        return float(np.sum(self.path.metric * second)), leading

    def frozen_plateau(self) -> float | None:
        """Stationary risk with the noise of the optimum at every state (37); None without a stationary law.

        Of reshuffling the risk at the ends of epochs, in the long run.
        """
        model = self.model
        if not model.schedule.constant or model.schedule.size >= model.largest_stable_step():
            return None
        if not model.design.independent:
            at = (model.spec.sampling.batch, model.pool_size or 1)
            return float(
                np.sum(model.metric * reshuffling.stationary(model.hessian, model.noise, model.schedule.size, *at))
            )
        return lyapunov.stationary_risk(model.metric, model.drift, self.sigma, model.largest_eta)

    def at_plateau(self, tolerance: float) -> NDArray[np.bool_]:
        """True where the predicted risk is within a relative `tolerance` of the plateau, bool[S]; False without one."""
        level = self.plateau()[0]
        if not level:
            return np.zeros(len(self.steps), dtype=np.bool_)
        return np.asarray(np.abs(self.risk / level - 1) <= tolerance)

    def forgotten(self) -> NDArray[np.bool_]:
        """True where a constant step has shrunk the mean of the start to 5 % or less in every direction, bool[S]."""
        radius = self.once("radius", lambda: lyapunov.spectral_radius(self.model.drift, self.model.largest_eta))
        return np.asarray(radius ** self.steps.astype(np.float64) <= 0.05)

    @property
    def method(self) -> str:
        """How it is predicted, in two words."""
        if self.path.state_dependent:
            return "exact, state-dependent noise"
        words = "exact" if self.exact else "frozen-noise"
        return words if self.model.design.independent else f"{words}, at the ends of epochs"

    def summary(self) -> dict[str, Any]:
        """The fields of `predict --json` for this arm."""
        model, schedule = self.model, self.model.schedule
        plateau, leading = self.plateau()
        sampling, largest = model.spec.sampling, schedule.largest()
        noisy = bool(np.any(model.noise))
        deviation = np.sqrt(self.risk_variance)
        beside = [None] * len(self.steps) if self.frozen_risk is None else self.frozen_risk.tolist()
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
            "spectral_radius": lyapunov.spectral_radius(model.drift, model.largest_eta),
            "largest_stable_step": self.largest_stable_step,
            "plateau_risk": plateau,
            "plateau_risk_leading": leading,
            "plateau_risk_frozen_noise": self.frozen_plateau(),
            "risk": [
                {"step": int(k), "value": float(r), "standard_deviation": float(s)}
                | ({} if f is None else {"frozen_noise": f})
                for k, r, s, f in zip(self.steps, self.risk, deviation, beside, strict=True)
            ],
            "mu_F": geometry.mu_F(model.metric, model.hessian),
            "condition_number": geometry.condition_number(model.noise) if noisy else None,
            "effective_dimension": geometry.effective_dimension(model.noise) if noisy else None,
            "exact": self.exact,
            "method": self.method,
        }

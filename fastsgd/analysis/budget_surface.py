"""Risk at a budget of N = b T oracle calls as a function of batch and step size, in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import designs
from fastsgd.analysis.model import Model
from fastsgd.analysis.path import LARGEST_WORK
from fastsgd.schedules import Schedule
from fastsgd.theory import least_squares_stationary, least_squares_transient, lyapunov, transient
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.relaxation import Relaxation, relax

Array = NDArray[np.float64]

LONGEST_VARYING = 10**6  # steps of a decaying schedule, which has no closed form


class Surface:
    """Risk at the budget as a function of batch and step size, in the eigenbasis of H."""

    def __init__(self, model: Model, calls: int):
        self.model, self.calls = model, calls
        basis = eigenbasis(model.hessian)
        self.basis, self._sigmas = basis, dict[int, Array]()
        self.hessian = Eigenbasis(basis.values, basis.correction)
        self.metric, self.noise = basis.into(model.metric), basis.into(model.noise)
        self.design = designs.get(model.spec.sampling.design)
        self.stationary = model.spec.start.kind == "stationary" and model.pool_size is None
        self.from_zero = model.spec.start.kind == "stationary" and not self.stationary
        mean0, cov0 = np.zeros(model.dimension), None
        if self.from_zero:
            mean0 = -model.optimum
        elif not self.stationary:
            mean0, cov0 = model.start(model.noise)
        self.mean0 = basis.into_vector(mean0)
        self.cov0 = np.zeros_like(self.noise) if cov0 is None else basis.into(cov0)
        self.edge = lyapunov.largest_stable_step(self.hessian)
        self.flow = self._flow()

    def _flow(self) -> Relaxation | None:
        """The fluid limit from the start, where a linear one is not what the mean does; None otherwise."""
        if self.model.exact or self.model.features is not None or not np.any(self.mean0):
            return None
        slope, schedule = self.model.slope(), self.model.schedule
        if slope is None:
            return None
        unit = replace(schedule, size=1.0)
        last = self.edge / unit.largest() * total(schedule, self.calls)
        basis, optimum = self.basis, self.model.optimum

        def gradient(delta: Array) -> Array:
            return basis.into_vector(slope(optimum + basis.back_vector(delta)))

        return relax(basis.values, gradient, self.mean0, last * (1.0 + 1e-9))

    def bend(self, size: float, steps: int, linear: Array) -> Array:
        """Mean after so many steps, float64[d]: `linear` of the recursion (36), and what the fluid limit has beside its own."""
        if self.flow is None:
            return linear
        t = size * total(self.model.schedule, steps)
        return np.asarray(linear + self.flow(t) - np.exp(-self.basis.values * t) * self.mean0)

    def sigma(self, batch: int) -> Array:
        """Gradient covariance of a batch, float64[d, d]."""
        if batch not in self._sigmas:
            factor = self.design.factor(batch, self.model.pool_size)
            if factor is not None:
                self._sigmas[batch] = factor * self.noise
            else:
                self._sigmas[batch] = self.basis.into(self.model.with_batch(batch).gradient_covariance())
        return self._sigmas[batch]

    def steps(self, batch: int) -> int:
        """T = N // b."""
        return self.calls // batch

    def risk(self, batch: int, size: float, steps: int | None = None) -> float:
        """E r at step T (or another), frozen noise; NaN for an unstable step or one left out."""
        schedule, sigma = replace(self.model.schedule, size=size), self.sigma(batch)
        if size >= self.edge if schedule.constant else self.steps(batch) > LONGEST_VARYING:
            return math.nan
        start = lyapunov.discrete_stationary(self.hessian, sigma, size) if self.stationary else self.cov0
        etas = self._etas(size)
        at = [steps or self.steps(batch)]
        if self.flow is None:
            return float(transient.risks(self.metric, self.hessian, sigma, etas, at, self.mean0, start)[0])
        means, covs = transient.moments(self.hessian, sigma, etas, at, self.mean0, start)
        return float(transient.risk(self.metric, self.bend(size, at[0], means[0]), covs[0]))

    def plateau(self, batch: int, size: float) -> float | None:
        """Stationary risk; None for a decaying or unstable step."""
        if not self.model.schedule.constant or size >= self.edge:
            return None
        return lyapunov.stationary_risk(self.metric, self.hessian, self.sigma(batch), size)

    def largest_size(self) -> float:
        """The step size, of a decaying schedule its numerator, at which the first step is at the edge of stability."""
        return self.edge / replace(self.model.schedule, size=1.0).largest()

    def limit(self, batch: int) -> float:
        """Largest stable step size: in mean square where that is known."""
        if self.pool is None or self.model.dimension > 36:
            return self.edge
        at = self.model.with_batch(batch)
        return least_squares_stationary.largest_stable_step(self._at(batch), at.factor)

    @cached_property
    def pool(self) -> Any:
        """Least squares whose noise at every state is known, for one batch; None for anything else."""
        return None if self.stationary else self.model.least_squares

    def _at(self, batch: int) -> Any:
        """`pool` of a batch: it enters most designs as a factor alone."""
        shared = self.design.factor(batch, self.model.pool_size) is not None
        return self.pool if shared else self.model.with_batch(batch).least_squares

    def exact_work(self, batch: int, size: float) -> float:
        """Floating-point operations of `exact`; infinite where it is not known."""
        return math.inf if self.pool is None else self._work(self.pool, batch, size)

    def _work(self, pool: Any, batch: int, size: float) -> float:
        return least_squares_transient.work(pool, self._etas(size), self.steps(batch))

    def _etas(self, size: float) -> Any:
        schedule = replace(self.model.schedule, size=size)
        return size if schedule.constant else schedule

    def exact(self, batch: int, size: float) -> float | None:
        """E r with state-dependent noise, least squares on a pool; None otherwise or where it is too much work."""
        if self.exact_work(batch, size) > LARGEST_WORK:
            return None
        at = self.model.with_batch(batch)
        second0 = self.cov0 + np.multiply.outer(self.mean0, self.mean0)
        last = [self.steps(batch)]
        _, second = least_squares_transient.moments(
            self._at(batch), self._etas(size), at.factor, last, self.mean0, second0
        )
        return float(np.sum(self.metric * second[0]))

    def gap(self) -> float:
        """L(theta_0) - L* of the quadratic, 0 for a start at the optimum or in the stationary law."""
        second = self.cov0 + np.multiply.outer(self.mean0, self.mean0)
        return 0.5 * float(np.sum(np.diagonal(second) * self.hessian.values))


def total(schedule: Schedule, steps: int) -> float:
    """Sum of so many steps of size 1/(k + offset)^exponent, by the integral; their number when constant."""
    if schedule.constant:
        return float(steps)
    a, first = schedule.exponent, schedule.offset
    if a == 1.0:
        return math.log1p(steps / first)
    return ((steps + first) ** (1.0 - a) - first ** (1.0 - a)) / (1.0 - a)

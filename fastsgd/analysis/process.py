"""An arm that is an Ornstein-Uhlenbeck process (54): the linear recursion that one of its steps is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.model import Model
from fastsgd.theory import lyapunov, ou
from fastsgd.theory.eigen import Eigenbasis, eigenbasis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ProcessModel(Model):
    """dX = -eta H X dt + sqrt(eta/b) G^{1/2} dW in steps of dt. With h = eta dt, a step X' = (I - s D) X + s xi has

    euler   s = h, D = H, Cov xi = G/(b h)
    exact   s = 1, D = I - exp(-h H), Cov xi = Q of `theory.ou.transition`
    """

    @property
    def time(self) -> float:
        """h, the time of one step in units of 1/H."""
        return float(self.schedule.size * self.spec.problem.time_step)

    @property
    def euler(self) -> bool:
        return bool(self.spec.problem.scheme == "euler")

    @property
    def etas(self) -> float:
        return self.time if self.euler else 1.0

    @property
    def largest_eta(self) -> float:
        return self.etas

    @cached_property
    def drift(self) -> Eigenbasis:
        basis = eigenbasis(self.hessian)
        if self.euler:
            return basis
        values = -np.expm1(-self.time * basis.values)
        return Eigenbasis(values, np.zeros_like(values), basis.vectors, basis.vectors_correction)

    def gradient_covariance(self) -> Array:
        covariance = super().gradient_covariance()
        if self.euler:
            return covariance / self.time
        return ou.transition(self.hessian, covariance, 1.0, self.schedule.size, self.spec.problem.time_step)[1]

    def largest_stable_step(self) -> float:
        return super().largest_stable_step() / self.spec.problem.time_step if self.euler else math.inf

    def leading_plateau(self, sigma: Array) -> float:
        covariance = super().gradient_covariance()
        return lyapunov.continuous_stationary_risk(self.metric, self.hessian, covariance, 1.0)

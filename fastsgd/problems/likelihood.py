"""The loss of a generalised linear model on a pool, its derivatives, and its optimum. Same bits on every machine.

    L(theta) = (1/n) sum_i l(x_i'theta, y_i) + (ridge/2) |theta|^2

over all d coordinates, the intercept included; l as in `families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.families import curvature, information, score

Array = NDArray[np.float64]

_ITERATIONS = 200
# Residuals of a binary target that are all below this: the classes are separated, and the likelihood has no maximum.
_SEPARATED = 1e-6
_REWEIGHTED = 40
_SINGULAR = ("dependent columns, or separable classes", "dependent columns, or few residuals below problem.threshold")


class NoOptimum(ValueError):
    """Newton's method found no optimum; the message is one line `rule, got value; remedy`."""


class Differentiable(Protocol):
    """A convex function with a gradient."""

    def gradient(self, theta: Array) -> Array: ...


@dataclass(frozen=True)
class Model:
    """Loss of a pool; features float64[n, d], targets float64[n], ridge >= 0; threshold: of the family huber."""

    family: str
    features: Array
    targets: Array
    ridge: float
    threshold: float = 1.0

    def _residuals(self, theta: Array) -> Array:
        """dl/dz of every sample, float64[n]."""
        return score(self.family, self.margins(theta), self.targets, self.threshold)

    def margins(self, theta: Array) -> Array:
        """x_i'theta, float64[n]."""
        from fastsgd.kernels.pool import margins

        out = np.empty(len(self.features))
        margins(self.features, theta, out)
        return out

    def scores(self, theta: Array) -> Array:
        """Per-sample gradients g_i, float64[n, d]."""
        weights = self._residuals(theta)
        return weights[:, None] * self.features + self.ridge * theta

    def gradient(self, theta: Array) -> Array:
        """Gradient of L, float64[d]."""
        from fastsgd.kernels.pool import weighted_sum

        out = np.empty(self.features.shape[1])
        weighted_sum(self.features, self._residuals(theta), out)
        return out + self.ridge * theta

    def separates(self, theta: Array) -> bool:
        """True if a binary target is predicted without error at theta."""
        if self.family not in ("logistic", "probit"):
            return False
        weights = self._residuals(theta)
        return float(np.abs(weights).max()) < _SEPARATED

    def hessian(self, theta: Array) -> Array:
        """Hessian of L, float64[d, d]."""
        out = self._products(curvature(self.family, self.margins(theta), self.targets, self.threshold))
        out[np.diag_indices_from(out)] += self.ridge
        return out

    def fisher(self, theta: Array) -> Array:
        """F at theta, float64[d, d]."""
        return self._products(information(self.family, self.margins(theta), self.threshold))

    def noise(self, theta: Array) -> Array:
        """S_n at theta, float64[d, d]."""
        from fastsgd.kernels.pool import scatter, weighted_sum

        weights = self._residuals(theta)
        d = self.features.shape[1]
        centre, out = np.empty(d), np.empty((d, d))
        weighted_sum(self.features, weights, centre)
        scatter(self.features, weights, centre, out)
        return out

    def _products(self, weights: Array) -> Array:
        from fastsgd.kernels.pool import weighted_products

        d = self.features.shape[1]
        out = np.empty((d, d))
        weighted_products(self.features, weights, out)
        return out


def optimum(model: Model, names: Sequence[str] | None = None) -> Array:
    """theta*, float64[d], where rounding stops the gradient from getting smaller: Newton with a line search.

    Raises:
        NoOptimum: the Hessian is singular, or theta runs away (separable classes).
    """
    from fastsgd.kernels.pool import solve_positive

    d = model.features.shape[1]
    names = names or [str(j) for j in range(d)]
    theta, step = np.zeros(d), np.empty(d)
    small = 1e-8 * float(np.abs(model.scores(theta)).max())
    if model.family == "huber":
        theta = _reweighted(model)
    gradient = model.gradient(theta)
    norm = float(np.abs(gradient).max())
    for _ in range(_ITERATIONS):
        singular = solve_positive(model.hessian(theta), -gradient, step)
        if singular:
            raise NoOptimum(
                f'must have a unique optimum, got a singular Hessian at column "{names[singular - 1]}" '
                f"({_SINGULAR[model.family == 'huber']}); remove the column, or give a problem.ridge above 0"
            )
        new = line_search(model, theta, step, gradient)
        if new is None:
            return theta
        if model.ridge == 0.0 and model.separates(new):
            raise NoOptimum(
                "must have a finite optimum, got classes that the columns separate; give a problem.ridge above 0"
            )
        new_gradient = model.gradient(new)
        new_norm = float(np.abs(new_gradient).max())
        # Newton converges quadratically: a small gradient that no longer halves is rounding.
        if norm < small and new_norm > 0.5 * norm:
            return new if new_norm < norm else theta
        theta, gradient, norm = new, new_gradient, new_norm
        if norm == 0.0:
            return theta
    raise NoOptimum(f"must have an optimum within {_ITERATIONS} Newton steps, got none; give a larger problem.ridge")


def _reweighted(model: Model) -> Array:
    """Near the optimum of a huber loss, float64[d]: least squares, then weights min(1, c/|r|), each step a descent.

    The Hessian of a point far away may be singular: all residuals are beyond the threshold.
    """
    from fastsgd.kernels.pool import solve_positive

    d = model.features.shape[1]
    theta, step = np.zeros(d), np.empty(d)
    plain = Model("linear", model.features, model.targets, model.ridge)
    for k in range(_REWEIGHTED):
        residuals = np.abs(model.margins(theta) - model.targets)
        weights = np.ones_like(residuals) if k == 0 else model.threshold / np.maximum(residuals, model.threshold)
        matrix = model._products(weights)
        matrix[np.diag_indices(d)] += model.ridge
        if solve_positive(matrix, -(plain if k == 0 else model).gradient(theta), step):
            return theta
        theta = theta + step
    return theta


def line_search(model: Differentiable, theta: Array, step: Array, gradient: Array) -> Array | None:
    """theta + t step with the largest t = 1, 1/2, ... that does not overshoot; None if rounding leaves no such t.

    L is convex, so its slope along the step grows: t is accepted when the slope is at most half as steep upwards as it
    was downwards at t = 0.
    """
    slope = fsum(gradient * step)
    t = 1.0
    while t > 1e-12:
        new = theta + t * step
        ahead = model.gradient(new)
        here = fsum(ahead * step) if np.isfinite(ahead).all() else inf
        if here <= -0.5 * slope:
            return new
        t *= 0.5
    return None

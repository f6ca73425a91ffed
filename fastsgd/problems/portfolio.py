"""A portfolio of k assets between mean return and conditional value at risk, on a fixed pool of n scenarios (SAA).

With weights w that add up to 1 (theta = alpha, w_1, ..., w_{k-1}; the last asset takes the rest) and the return R_i = r_i'w,

    L(theta) = (1/n) sum_i [ -R_i + c (alpha + s(-R_i - alpha) / (1 - beta)) ] + (ridge/2) sum_j w_j^2

Rockafellar and Uryasev's form of c CVaR_beta with the positive part x^+ replaced by s(x) = (x + sqrt(x^2 + 4 h^2)) / 2 (Chen,
Harker, Kanzow, Smale), which is above it by at most h = `smoothing`. On a pool x^+ itself has no Hessian: alpha* sits on the
kink of a scenario. With s every prediction is well defined and exact for this pool:

    g_i = (-f_i, -(r_ij - r_ik)(1 + f_i)) + a part without r_i,   f_i = c s'(-R_i - alpha) / (1 - beta)
    H   = (1/n) sum_i c s''(-R_i - alpha) / (1 - beta) u_i u_i' + ridge (I + 11') on the weights,   u_i = (1, r_ij - r_ik)
    S_n = (1/n) sum_i (g_i - gmean)(g_i - gmean)'

Conditions: c > 0 and scenarios whose u_i span R^k (then L is strictly convex), and fluctuations of theta so small that s''
is level over them: as h falls, so must the step size for the frozen-noise predictions to hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from fastsgd.errors import InputError
from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.pooled import PooledStepper
from fastsgd.problems.simulated import check_metric, metric_matrix
from fastsgd.spec.tables import each

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.pooled import Portfolio

_STEPS = 200


class NoOptimum(ValueError):
    """Newton's method found no optimum; the message is one line `rule, got value; remedy`."""


@dataclass(frozen=True)
class Loss:
    """L on a pool; rows float64[n, k]: r_k, r_1 - r_k, ..., r_{k-1} - r_k of every scenario."""

    rows: Array
    risk_aversion: float
    confidence: float
    smoothing: float
    ridge: float

    @property
    def scale(self) -> float:
        """c / (1 - beta)."""
        return self.risk_aversion / (1.0 - self.confidence)

    @property
    def directions(self) -> Array:
        """u_i, float64[n, k]."""
        return np.column_stack([np.ones(len(self.rows)), self.rows[:, 1:]])

    def returns(self, theta: Array) -> Array:
        """R_i, float64[n]."""
        from fastsgd.kernels.pool import margins

        weights, out = theta.copy(), np.empty(len(self.rows))
        weights[0] = 1.0
        margins(self.rows, weights, out)
        return out

    def excess(self, theta: Array) -> tuple[Array, Array]:
        """x_i = -R_i - alpha and sqrt(x_i^2 + 4 h^2), float64[n]."""
        x = -self.returns(theta) - theta[0]
        return x, np.sqrt(x * x + 4.0 * self.smoothing**2)

    def value(self, theta: Array) -> float:
        """L."""
        gain, (x, root) = self.returns(theta), self.excess(theta)
        weights = np.concatenate([theta[1:], [1.0 - math.fsum(theta[1:])]])
        tail = theta[0] * self.risk_aversion + self.scale * math.fsum(0.5 * (x + root)) / len(x)
        return -math.fsum(gain) / len(gain) + tail + 0.5 * self.ridge * math.fsum(weights**2)

    def scores(self, theta: Array) -> Array:
        """What depends on the scenario in g_i, float64[n, k]."""
        x, root = self.excess(theta)
        f = self.scale * (0.5 * (x / root + 1.0))
        return np.column_stack([-f, -self.rows[:, 1:] * (1.0 + f)[:, None]])

    def gradient(self, theta: Array) -> Array:
        """Of L, float64[k]."""
        from fastsgd.kernels.pool import weighted_sum

        out = np.empty(len(theta))
        scores = self.scores(theta)
        weighted_sum(scores, np.ones(len(scores)), out)
        out[0] += self.risk_aversion
        out[1:] += self.ridge * (theta[1:] - (1.0 - math.fsum(theta[1:])))
        return out

    def hessian(self, theta: Array) -> Array:
        """Of L, float64[k, k]."""
        from fastsgd.kernels.pool import weighted_products

        root, out = self.excess(theta)[1], np.empty((len(theta), len(theta)))
        weighted_products(self.directions, self.scale * 2.0 * self.smoothing**2 / (root * root * root), out)
        out[1:, 1:] += self.ridge * (np.eye(len(theta) - 1) + 1.0)
        return out

    def noise(self, theta: Array) -> Array:
        """S_n, float64[k, k]."""
        from fastsgd.kernels.pool import scatter, weighted_sum

        scores, ones, k = self.scores(theta), np.ones(len(self.rows)), len(theta)
        centre, out = np.empty(k), np.empty((k, k))
        weighted_sum(scores, ones, centre)
        scatter(scores, ones, centre, out)
        return out

    def smoother(self, factor: float) -> Loss:
        """The same with a larger smoothing."""
        return Loss(self.rows, self.risk_aversion, self.confidence, self.smoothing * factor, self.ridge)


def optimum(loss: Loss) -> Array:
    """theta*, float64[k]: Newton with a line search, the smoothing halved from the spread of the returns down to h.

    Raises:
        NoOptimum: the Hessian is singular, or the weights run away (an asset dominates the others in every scenario).
    """
    k = loss.rows.shape[1]
    theta = np.full(k, 1.0 / k)
    theta[0] = 0.0
    gains = loss.returns(theta)
    theta[0] = float(np.quantile(-gains, loss.confidence))
    halvings = max(0, math.ceil(math.log2(max(float(np.ptp(gains)), 1e-300) / loss.smoothing)))
    for halving in range(halvings, -1, -1):
        theta = _newton(loss.smoother(2.0**halving), theta)
    return theta


def _newton(loss: Loss, theta: Array) -> Array:
    from fastsgd.kernels.pool import solve_positive
    from fastsgd.problems.likelihood import line_search

    step, gradient = np.empty_like(theta), loss.gradient(theta)
    small = 1e-10 * float(np.abs(loss.scores(theta)).max())
    for _ in range(_STEPS):
        if solve_positive(loss.hessian(theta), -gradient, step):
            raise NoOptimum("must have a unique optimum, got a singular Hessian; give a problem.ridge above 0")
        new = line_search(loss, theta, step, gradient)
        if new is None:
            return theta
        if float(np.abs(new).max()) > 1e8:
            raise NoOptimum("must have a finite optimum, got weights without bound; give a problem.ridge above 0")
        ahead = loss.gradient(new)
        norm, new_norm = float(np.abs(gradient).max()), float(np.abs(ahead).max())
        # Newton converges quadratically: a small gradient that no longer halves is rounding.
        if norm < small and new_norm > 0.5 * norm:
            return new if new_norm < norm else theta
        theta, gradient = new, ahead
        if new_norm == 0.0:
            return theta
    raise NoOptimum(f"must have an optimum within {_STEPS} Newton steps, got none; give a larger smoothing or ridge")


def scenarios(spec: Spec) -> Array:
    """Returns float64[n, k] of a spec. Raises InputError."""
    section = cast("Portfolio", spec.problem)
    generate = section.scenarios.generate
    if generate is not None:
        return _generated(section)
    assert section.scenarios.file is not None
    array = spec.array(section.scenarios.file)
    if array.ndim != 2 or array.shape[1] < 2 or array.shape[0] < 2:
        raise InputError(
            f"it must have one row a scenario and a column for each of 2 or more assets, got shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise InputError("it must hold finite numbers, got NaN or infinity; remove such rows")
    return array


def _generated(section: Portfolio) -> Array:
    """Normal returns with one correlation between all pairs; in a share of scenarios deviations are `stress` times as large."""
    from fastsgd.kernels.generate import data_normals, data_uniforms

    source = section.scenarios.generate
    assert source is not None
    n, k, rho, seed = source.samples, source.assets, source.correlation, np.uint64(source.seed)
    z, u = np.empty((n, k + 1)), np.empty(n)
    data_normals(seed, np.uint64(0), z)
    data_uniforms(seed, np.uint64(2), u)
    common = math.sqrt(rho) * z[:, k:] + math.sqrt(1.0 - rho) * z[:, :k]
    spread = np.where(u < source.stressed, source.stress, 1.0)
    return np.array(each(source.mean, k)) + np.array(each(source.deviation, k)) * spread[:, None] * common


# Arms are built one by one and share their pool; the last is kept.
_last: list[tuple[str, Loss, Array]] = []


def _resolved(spec: Spec) -> tuple[Loss, Array]:
    """The loss and its optimum. Raises InputError (the file), NoOptimum."""
    section = cast("Portfolio", spec.problem)
    form = {name: value for name, value in spec.canonical()["problem"].items() if name != "metric"}
    key = json.dumps(form, sort_keys=True)
    if not _last or _last[0][0] != key:
        returns = scenarios(spec)
        rows = np.ascontiguousarray(np.column_stack([returns[:, -1], returns[:, :-1] - returns[:, -1:]]))
        numbers = (section.risk_aversion, section.confidence, section.smoothing, section.ridge)
        loss = Loss(rows, *(float(v) for v in numbers))
        _last[:] = [(key, loss, optimum(loss))]
    return _last[0][1:]


def check(spec: Spec) -> tuple[list[str], int | None, int | None]:
    """What scenarios and metric have wrong, d = k, n."""
    section = cast("Portfolio", spec.problem)
    file = section.scenarios.file
    key = "problem.scenarios.generate" if file is None else f'problem.scenarios.file = "{file}"'
    try:
        loss, theta = _resolved(spec)
    except InputError as error:
        return [f"{key} cannot be used: {line}" for line in error.lines], None, None
    except NoOptimum as error:
        return [f"{key} {error}"], None, None
    return check_metric(spec, len(theta)), len(theta), len(loss.rows)


def build(spec: Spec) -> PortfolioProblem:
    """Optimum and geometry of a checked spec on its pool."""
    loss, theta = _resolved(spec)
    hessian, noise = loss.hessian(theta), loss.noise(theta)
    return PortfolioProblem(
        kind="portfolio",
        coordinates=["alpha", *(f"w{j + 1}" for j in range(len(theta) - 1))],
        optimum=theta,
        hessian=hessian,
        noise=noise,
        metric=metric_matrix(spec, hessian=hessian, noise=noise),
        pool_size=len(loss.rows),
        arrays={"pool_samples": loss.rows, "pool_gradients": loss.scores(theta)},
        loss=loss,
    )


@dataclass(frozen=True, kw_only=True)
class PortfolioProblem(Problem):
    """`loss`: L on its pool."""

    loss: Loss

    def slope(self) -> Callable[[Array], Array]:
        return self.loss.gradient

    def stepper(self, arms: Sequence[Arm]) -> PooledStepper:
        loss = self.loss
        params = np.array([loss.risk_aversion, loss.scale, 4.0 * loss.smoothing**2, loss.ridge])
        shape = np.array([self.dimension], dtype=np.int64)
        return PooledStepper("portfolio", params, shape, loss.rows, self.optimum, arms)

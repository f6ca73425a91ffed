"""A generalised linear model on fresh generated data (`sampling.design = "fresh"`): the population itself is the problem.

    L(theta) = E l(theta_0 + x'theta, y) + (ridge/2) |theta|^2,     x ~ N(0, Sigma), Sigma_ij = correlation^|i-j|

with the coefficients beta and the law of y given t = x'beta of `data.generate`. At theta* (Newton from beta; beta itself
if the model is right and there is no ridge):

    H = E[ E(d2l/dz2 | x) x x' ] + ridge I,   G = E[ E((dl/dz)^2 | x) x x' ] - ridge^2 theta* theta*'
    F = E[ information(z) x x' ]                                                the model's own, without the ridge

A wrong model (`truth`) has the pseudo-true theta* of the Kullback-Leibler projection, and G != H. Given x all means are in
closed form; over x they are sums over the two forms x'theta, x'beta (`gaussian`), with relative errors below 1e-11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from fastsgd.problems.base import Array
from fastsgd.problems.data import INTERCEPT, true_coefficients
from fastsgd.problems.families import FAMILIES, curvature, information, score
from fastsgd.problems.gaussian import Forms, TooWide, autoregressive, forms, product
from fastsgd.problems.simulated import SimulatedProblem, Simulator, check_metric, metric_matrix

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Generate, Glm

_STEPS = 100
_LARGEST_DEVIATION = 1.0


class NoPopulation(ValueError):
    """The population has no usable optimum; the message is one line `rule, got value; remedy`."""


@dataclass(frozen=True)
class Population:
    """Loss of a population: family, ridge and threshold of the model; source: what data are drawn from."""

    family: str
    ridge: float
    threshold: float
    intercept: bool
    source: Generate

    @property
    def truth(self) -> str:
        return self.source.truth or self.family

    @property
    def dimension(self) -> int:
        return self.source.dimension + self.intercept

    def beta(self) -> Array:
        """True coefficients float64[d], that of the intercept 0."""
        return np.concatenate([np.zeros(int(self.intercept)), true_coefficients(self.source)])

    def at(self, theta: Array, finer: float = 1) -> Forms:
        """Points of the sums at theta float64[d]."""
        p = self.source.dimension
        covariance = autoregressive(p, self.source.correlation)
        constant = float(theta[0]) if self.intercept else 0.0
        growth = 2.0 if self.family == "poisson" else 0.0
        return forms(covariance, true_coefficients(self.source), theta[-p:], constant, growth, finer)

    def gradient(self, theta: Array, points: Forms) -> Array:
        """Of L at theta, float64[d]."""
        mean, first, _ = points.means(self._score(points))
        return (np.concatenate([[mean], first]) if self.intercept else first) + self.ridge * theta

    def hessian(self, points: Forms) -> Array:
        """Of L, float64[d, d]."""
        out = self._moment(points, self._curvature(points))
        out[np.diag_indices_from(out)] += self.ridge
        return out

    def noise(self, theta: Array, points: Forms) -> Array:
        """G at the optimum theta, where E dl/dz x = -ridge theta; float64[d, d]."""
        return self._moment(points, self._square(points)) - self.ridge**2 * (theta[:, None] * theta)

    def fisher(self, points: Forms) -> Array:
        """F, float64[d, d]."""
        return self._moment(points, information(self.family, points.z, self.threshold))

    def _moment(self, points: Forms, f: Array) -> Array:
        """E f (1, x)(1, x)' or E f x x'."""
        mean, first, second = points.means(f)
        if not self.intercept:
            return second
        return np.block([[np.full((1, 1), mean), first[None]], [first[:, None], second]])

    # ---- means over y given the two margins -------------------------------------------------------------------------

    def _over_classes(self, points: Forms, of_one: Array, of_zero: Array) -> Array:
        """p f(1) + (1 - p) f(0), p the probability of class 1."""
        t = points.t
        if self.truth == "logistic":
            one, zero = (score("logistic", sign * t, np.zeros_like(t)) for sign in (1.0, -1.0))
        else:
            one, zero = _normal_cdf(t), _normal_cdf(-t)
        return one * of_one + zero * of_zero

    def _score(self, points: Forms) -> Array:
        """E(dl/dz | x)."""
        z, t = points.z, points.t
        if self.family == "linear":
            return z - t
        if self.family == "poisson":
            return _exponential(z) - _exponential(t)
        if self.family == "huber":
            return self._huber(z - t)[0]
        return self._over_classes(points, *(score(self.family, z, np.full_like(z, y)) for y in (1.0, 0.0)))

    def _square(self, points: Forms) -> Array:
        """E((dl/dz)^2 | x)."""
        z, t, source = points.z, points.t, self.source
        if self.family == "linear":
            return (z - t) ** 2 + source.noise**2 * (1.0 + source.contamination * (source.outlier**2 - 1.0))
        if self.family == "poisson":
            return (_exponential(z) - _exponential(t)) ** 2 + _exponential(t)
        if self.family == "huber":
            return self._huber(z - t)[1]
        return self._over_classes(points, *(score(self.family, z, np.full_like(z, y)) ** 2 for y in (1.0, 0.0)))

    def _curvature(self, points: Forms) -> Array:
        """E(d2l/dz2 | x)."""
        z = points.z
        if self.family == "huber":
            return self._huber(z - points.t)[2]
        if self.family in ("linear", "poisson"):
            return curvature(self.family, z, np.zeros_like(z))
        return self._over_classes(points, *(curvature(self.family, z, np.full_like(z, y)) for y in (1.0, 0.0)))

    def _huber(self, shift: Array) -> tuple[Array, Array, Array]:
        """Means of r, r^2 and 1{|X| <= c}, r = X held within [-c, c], X = shift + noise."""
        c, source = self.threshold, self.source
        laws = [(1.0 - source.contamination, source.noise)]
        laws += [(source.contamination, source.noise * source.outlier)] if source.contamination else []
        found = [np.zeros_like(shift) for _ in range(3)]
        for share, sigma in laws:
            low, high = (-c - shift) / sigma, (c - shift) / sigma
            below, above, inside = _normal_cdf(low), _normal_cdf(-high), _normal_cdf(high) - _normal_cdf(low)
            density_low, density_high = _density(low), _density(high)
            first = c * (above - below) + shift * inside - sigma * (density_high - density_low)
            within = inside - (high * density_high - low * density_low)
            second = shift**2 * inside - 2.0 * shift * sigma * (density_high - density_low) + sigma**2 * within
            for total, mean in zip(found, (first, c * c * (above + below) + second, inside), strict=True):
                total += share * mean
        return found[0], found[1], found[2]


def _exponential(x: Array) -> Array:
    return curvature("poisson", x, np.zeros_like(x))


def _density(x: Array) -> Array:
    return _exponential(-0.5 * x * x) * 0.3989422804014327


def _normal_cdf(x: Array) -> Array:
    """Phi(x), to a few units of the last place where it is above 1e-300."""
    x = np.maximum(x, -37.0)
    return np.asarray(_density(x) / -score("probit", x, np.ones_like(x)))


def optimum(population: Population) -> Array:
    """theta*, float64[d]. Raises NoPopulation, TooWide."""
    from fastsgd.kernels.pool import solve_positive

    theta = population.beta()
    if population.ridge == 0.0 and population.truth == population.family:
        return theta
    step = np.empty_like(theta)
    points = population.at(theta)
    gradient = population.gradient(theta, points)
    for _ in range(_STEPS):
        if solve_positive(population.hessian(points), -gradient, step):
            break
        size, t, smaller = float(np.abs(gradient).max()), 1.0, False
        while not smaller and t > 1e-6:
            new = theta + t * step
            ahead = population.at(new)
            new_gradient = population.gradient(new, ahead)
            smaller = float(np.abs(new_gradient).max()) < size
            t *= 0.5
        # Newton converges quadratically: a small gradient that no longer halves is rounding.
        if size < 1e-13 * (1.0 + float(np.abs(theta).max())) and not float(np.abs(new_gradient).max()) < 0.5 * size:
            return theta
        if not smaller:
            break
        theta, points, gradient = new, ahead, new_gradient
    raise NoPopulation(
        "must have a population with one optimum, got none by Newton's method; give a problem.ridge above 0"
    )


def population(spec: Spec) -> Population:
    """What a spec describes."""
    problem = cast("Glm", spec.problem)
    assert problem.data.generate is not None
    intercept = problem.data.intercept
    return Population(problem.family, float(problem.ridge), float(problem.threshold), intercept, problem.data.generate)


def check(spec: Spec) -> tuple[list[str], int, None]:
    """What the population and the metric have wrong, d, and no pool."""
    of = population(spec)
    beta = true_coefficients(of.source)
    deviation = math.sqrt(math.fsum(beta * product(autoregressive(len(beta), of.source.correlation), beta)))
    lines = check_metric(spec, of.dimension)
    if of.truth == "poisson" and deviation > _LARGEST_DEVIATION:
        rule = "problem.data.generate.scale must give log-means with a standard deviation of at most 1 for fresh counts"
        lines.append(f"{rule}, got {deviation:.4g}; give a scale of {of.source.scale / deviation:.3g} or less")
    if not lines:
        try:
            optimum(of)
        except (NoPopulation, TooWide) as error:
            lines.append(f"problem.data.generate {error}")
    return lines, of.dimension, None


def build(spec: Spec) -> SimulatedProblem:
    """Optimum and geometry of a checked spec."""
    of = population(spec)
    theta = optimum(of)
    points = of.at(theta)
    hessian, noise = of.hessian(points), of.noise(theta, points)
    named = {"hessian": hessian, "noise": noise, "fisher": of.fisher(points)}
    return SimulatedProblem(
        kind="glm",
        coordinates=[*([INTERCEPT] if of.intercept else []), *(f"x{j + 1}" for j in range(of.source.dimension))],
        optimum=theta,
        hessian=hessian,
        noise=noise,
        metric=metric_matrix(spec, **named),
        arrays={"coefficients": of.beta()},
        simulator=_simulator(of),
    )


def _simulator(of: Population) -> Simulator:
    source, p = of.source, of.source.dimension
    rest = math.sqrt(1.0 - source.correlation * source.correlation)
    head = [of.ridge, of.threshold, source.correlation, rest, source.noise, source.contamination, source.outlier]
    real = of.truth in ("linear", "huber")
    uniform = of.truth in ("logistic", "poisson") or (real and source.contamination > 0.0)
    return Simulator(
        kernel="population",
        params=np.concatenate([head, true_coefficients(source)]),
        shape=np.array([p, of.intercept, FAMILIES[of.family].code, FAMILIES[of.truth].code], dtype=np.int64),
        counts=np.array([p + (real or of.truth == "probit"), uniform, 0], dtype=np.int64),
        width=of.dimension + 1,
    )

"""A generalised linear model fitted to a table read in chunks: optimum, H, G and F by sums over the rows.

    L(theta) = (1/n) sum_i a_i c_i l(x_i'theta, y_i) + (ridge/2) |theta|^2,    a = c = 1 without weights (`estimate_weights`)

as `problems.glm`, with the same features: an intercept first (if asked for), columns standardised (if asked for). Every
pass sums over the same chunks in the same order whether the table is in memory or not, so results are the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.estimate_weights import Weighed, Weights, alike
from fastsgd.errors import InputError
from fastsgd.problems.data import LARGEST
from fastsgd.problems.families import FAMILIES, curvature, information, outside, score
from fastsgd.theory.streaming import FrequentDirections, LowRank

Array = NDArray[np.float64]

ITERATIONS = 100
REWEIGHTED = 40
SEPARATED = 1e-6  # scores of a binary target that are all below this: no maximum of the likelihood
SINGULAR = 1e-13  # smallest over largest eigenvalue of the Hessian scaled to unit diagonal


@dataclass(frozen=True)
class Features:
    """The rows of a table as the model sees them.

    Attributes:
        names: of the d coordinates; weights: how the rows count.
        mean, scale: float64[p] of the columns; 0 and 1 unless standardised (scale: over n).
        threshold: of the family huber.
    """

    table: Weighed
    family: str
    names: tuple[str, ...]
    weights: Weights
    mean: Array
    scale: Array
    intercept: bool
    threshold: float = 1.0

    def __iter__(self) -> Iterator[tuple[Array, Array, Array, Array]]:
        """Chunks (X float64[m, d], y float64[m], a float64[m], c float64[m]): a row's loss is a l, and stands c times."""
        for raw, y, w in self.table:
            X = (raw - self.mean) / self.scale
            yield (np.column_stack([np.ones(len(X)), X]) if self.intercept else X), y, *self.weights.factors(w)

    @property
    def rows(self) -> int:
        """n."""
        return self.weights.rows

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.names)

    @cached_property
    def to_columns(self) -> Array | None:
        """C float64[d, d] with C theta the coefficients of the columns as they are in the file; None if there are none.

        Centred columns without an intercept are no model in the columns as they are.
        """
        if not self.intercept:
            return np.diag(1.0 / self.scale) if not np.any(self.mean) else None
        C = np.diag(np.concatenate([[1.0], 1.0 / self.scale]))
        C[0, 1:] = -self.mean / self.scale
        return C


def features(
    table: Weighed,
    family: str,
    weights: Weights | None = None,
    standardize: bool = True,
    intercept: bool = True,
    threshold: float = 1.0,
) -> Features:
    """One pass over a table: checks of the target, moments of the columns.

    Raises:
        InputError: a target outside the family's range, a constant column to be standardised, a column "intercept", or
            numbers whose squares overflow.
    """
    p = len(table.names)
    n, seen, mean, squares, wrong, first = 0, 0.0, np.zeros(p), np.zeros(p), 0, ""
    unit = 1.0 if weights is None else weights.lines / weights.total
    for X, y, w in table.every():
        inside = w > 0
        bad = outside(family, y) & inside
        if bad.any():
            row = int(np.argmax(bad))
            first = first or f"{y[row]:.6g} in row {n + row + 1}"
            wrong += int(bad.sum())
        size = max(float(np.abs(part).max(initial=0.0)) for part in (X, y))
        if size > LARGEST:
            raise InputError(
                f"the data must hold numbers of size {LARGEST:g} or less, got {size:.6g} within rows {n + 1} to "
                f"{n + len(y)}; give them in a larger unit"
            )
        n += len(y)
        if not inside.any():
            continue
        X, share = X[inside], w[inside] * unit
        part = float(np.sum(share))
        here = share @ X / part
        gap, total = here - mean, seen + part
        squares += share @ (X - here) ** 2 + gap**2 * (seen * part / total)
        mean += gap * (part / total)
        seen = total
    if wrong:
        rule = FAMILIES[family]
        raise InputError(f"the target must be {rule.rule} for {family}, got {first} ({wrong} such rows); {rule.remedy}")
    scale = np.sqrt(squares / seen)
    names = list(table.names)
    if standardize:
        for name, m, sd in zip(names, mean, scale, strict=True):
            if not sd > 1e-13 * abs(m):
                raise InputError(
                    f'column "{name}" must vary to be standardised, got {m:.6g} in every row; remove it, '
                    "or estimate without standardising"
                )
    else:
        mean, scale = np.zeros(p), np.ones(p)
    if intercept and "intercept" in names:
        raise InputError('there must be no column "intercept" when one is added; rename it, or add none')
    names = ["intercept", *names] if intercept else names
    return Features(table, family, tuple(names), weights or alike(n), mean, scale, intercept, threshold)


@dataclass(frozen=True)
class Slope:
    """Gradient float64[d] and Hessian float64[d, d] of L at a point; largest score and per-sample gradient entry."""

    gradient: Array
    hessian: Array
    largest_score: float
    largest_entry: float


def slope(at: Features, theta: Array, ridge: float) -> Slope:
    """One pass: gradient and Hessian of L at theta."""
    d, n = at.dimension, at.rows
    gradient, hessian, top, entry = np.zeros(d), np.zeros((d, d)), 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for X, y, a, c in at:
            z = X @ theta
            s = a * score(at.family, z, y, at.threshold)
            gradient += X.T @ (c * s)
            hessian += X.T @ (X * (a * c * curvature(at.family, z, y, at.threshold))[:, None])
            top = max(top, float(np.max(np.abs(s), initial=0.0)))
            entry = max(entry, float(np.max(np.abs(s) * np.max(np.abs(X), axis=1), initial=0.0)))
    return Slope(gradient / n + ridge * theta, _symmetric(hessian / n) + ridge * np.eye(d), top, entry)


def optimum(at: Features, ridge: float) -> tuple[Array, int]:
    """theta* float64[d], where rounding stops the gradient from getting smaller, and the passes that it took.

    Newton's method with the line search of `problems.likelihood`.

    Raises:
        InputError: singular Hessian (dependent columns), or classes that the columns separate.
    """
    theta, passes = np.zeros(at.dimension), 1
    if at.family == "huber":
        theta, passes = _reweighted(at, ridge)
    here = slope(at, theta, ridge)
    for _ in range(ITERATIONS):
        step = _newton_step(here, at.names)
        downhill, t = float(here.gradient @ step), 1.0
        while True:
            new, passes = slope(at, theta + t * step, ridge), passes + 1
            ahead = float(new.gradient @ step)
            if np.isfinite(ahead) and ahead <= -0.5 * downhill:
                break
            t *= 0.5
            if t < 1e-12:
                return theta, passes
        if ridge == 0.0 and at.family in ("logistic", "probit") and new.largest_score < SEPARATED:
            raise InputError(
                "the target must not be separated by the columns, got no finite optimum; give a ridge above 0"
            )
        norm, smaller = (float(np.max(np.abs(x.gradient))) for x in (here, new))
        # Newton converges quadratically: a small gradient that no longer halves is rounding.
        if norm < 1e-8 * here.largest_entry and smaller > 0.5 * norm:
            return (theta + t * step if smaller < norm else theta), passes
        theta, here = theta + t * step, new
        if smaller == 0.0:
            return theta, passes
    raise InputError(f"an optimum must be found within {ITERATIONS} Newton steps, got none; give a larger ridge")


def _reweighted(at: Features, ridge: float) -> tuple[Array, int]:
    """Near the optimum of a huber loss, and the passes made: least squares, then weights min(1, c/|r|), each a descent.

    The Hessian of a point far away may be singular: all residuals are beyond the threshold.
    """
    d = at.dimension
    theta: Array = np.zeros(d)
    for k in range(REWEIGHTED):
        products, sums = ridge * at.rows * np.eye(d), np.zeros(d)
        for X, y, a, c in at:
            r = np.abs(X @ theta - y)
            w = a * c * (np.ones_like(r) if k == 0 else at.threshold / np.maximum(r, at.threshold))
            products += X.T @ (X * w[:, None])
            sums += X.T @ (w * y)
        try:
            new: Array = np.asarray(np.linalg.solve(products, sums), dtype=np.float64)
        except np.linalg.LinAlgError:
            return theta, k + 2
        moved = float(np.max(np.abs(new - theta)))
        theta = new
        if moved <= 1e-3 * float(np.max(np.abs(theta))):
            break
    return theta, k + 2


def _newton_step(at: Slope, names: tuple[str, ...]) -> Array:
    size = np.sqrt(np.maximum(np.diagonal(at.hessian), 0.0))
    scale = np.divide(1.0, size, out=np.zeros_like(size), where=size > 0)
    values, vectors = np.linalg.eigh(at.hessian * np.outer(scale, scale))
    if not values[0] > SINGULAR * values[-1]:
        column = names[int(np.argmin(size))] if np.min(size) == 0 else names[int(np.argmax(np.abs(vectors[:, 0])))]
        raise InputError(
            f'the optimum must be unique, got a singular Hessian at column "{column}" (dependent columns, or '
            "separable classes); remove the column, or give a ridge above 0"
        )
    step: Array = -scale * (vectors @ ((vectors.T @ (scale * at.gradient)) / values))
    return step


@dataclass(frozen=True)
class Tails:
    """Of q = |g|^2 over the rows: kurtosis, and `effective` = (sum q)^2 / sum q^2, as many rows as tr G rests on."""

    effective: float
    kurtosis: float

    @classmethod
    def of(cls, sums: Array) -> Tails:
        """From the sums of 1, q, q^2, q^3, q^4, q in any unit."""
        n = float(sums[0])
        m1, m2, m3, m4 = (float(total) / n for total in sums[1:])
        variance = m2 - m1 * m1
        fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1 * m1 - 3 * m1**4
        kurtosis = fourth / variance**2 if variance > 1e-12 * m2 else 1.0
        return cls(n * m1 * m1 / m2 if m2 > 0 else n, max(kurtosis, 1.0))


@dataclass(frozen=True)
class Fit:
    """A fitted model; float64[d] and float64[d, d] in the coordinates of `features`.

    Attributes:
        theta: theta*. passes: over the table, the first for the moments of the columns.
        hessian: H with the ridge; noise: S_n with 1/n at theta*; metric: F, by the model, without the ridge.
        products: (1/n) sum x x'. tails: of the gradients. low_rank: streaming approximation of S_n, or None if not asked for.
    """

    features: Features
    ridge: float
    theta: Array
    hessian: Array
    noise: Array
    metric: Array
    products: Array
    tails: Tails
    low_rank: LowRank | None
    passes: int

    @cached_property
    def sandwich(self) -> Array:
        """H^-1 S_n H^-1 / n: the robust (HC0) covariance of the estimate, float64[d, d]."""
        inverse = np.linalg.inv(self.hessian)
        return _symmetric(inverse @ self.noise @ inverse) / self.features.rows

    @property
    def standard_errors(self) -> Array:
        """Robust standard errors of theta*, float64[d]."""
        return np.sqrt(np.diagonal(self.sandwich))

    @property
    def margin_error(self) -> float:
        """Root mean square over the rows of the standard error of x'theta*."""
        return float(np.sqrt(np.sum(self.products * self.sandwich)))

    def in_columns(self) -> tuple[Array, Array] | None:
        """Coefficients of the columns as they are in the file and their standard errors; None without such a model."""
        C = self.features.to_columns
        return None if C is None else (C @ self.theta, np.sqrt(np.diagonal(C @ self.sandwich @ C.T)))


def fit(at: Features, ridge: float = 0.0, rank: int | None = None) -> Fit:
    """Optimum and geometry; `rank` also asks for the streaming approximation of S_n of this rank."""
    theta, passes = optimum(at, ridge)
    d, n = at.dimension, at.rows
    H, S, F, P = (np.zeros((d, d)) for _ in range(4))
    powers, unit = np.zeros(5), 0.0
    sketch = None if rank is None else FrequentDirections(d, rank)
    for X, y, a, c in at:
        z = X @ theta
        g = X * (a * score(at.family, z, y, at.threshold))[:, None] + ridge * theta  # mean 0 over the table
        H += X.T @ (X * (a * c * curvature(at.family, z, y, at.threshold))[:, None])
        F += X.T @ (X * (a * c * information(at.family, z, at.threshold))[:, None])
        P += X.T @ (X * (a * c)[:, None])
        q = np.sum(g * g, axis=1)
        unit = unit or float(np.max(q, initial=0.0))
        powers += c @ (q[:, None] / (unit or 1.0)) ** np.arange(5)
        g *= np.sqrt(c)[:, None]
        S += g.T @ g
        if sketch is not None and len(g):
            sketch.update(g * np.sqrt(at.weights.lines / n))  # the sketch divides by the vectors that it has seen
    H, S, F, P = (_symmetric(M / n) for M in (H, S, F, P))
    low = None if sketch is None else sketch.covariance()
    passes += 2 if at.weights.column is None else 3
    return Fit(at, ridge, theta, H + ridge * np.eye(d), S, F, P, Tails.of(powers), low, passes)


def _symmetric(matrix: Array) -> Array:
    result: Array = 0.5 * (matrix + matrix.T)
    return result

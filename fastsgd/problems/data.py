"""From the data table of a spec to a pool: features as the model sees them, and targets. Same bits on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Generate, Glm

Array = NDArray[np.float64]
INTERCEPT = "intercept"
LARGEST = 1e100
"""Of the numbers in a table: sums of their squares stay far from overflow."""
# exp(-mean) of a Poisson target must not underflow.
_LARGEST_LOG_MEAN = math.log(700.0)


class DataError(ValueError):
    """The data do not suit the model; the message is one line `rule, got value; remedy`."""


@dataclass(frozen=True)
class Pool:
    """Samples of a pool.

    Attributes:
        features: float64[n, d], read-only: an intercept column of ones first (if asked for), then the features,
            standardised if asked for: mean 0 and standard deviation 1, both over n.
        targets: float64[n], read-only.
        names: d names of the columns.
        coefficients: float64[d] from which generated targets were drawn, in the scale of `features`, or None.
    """

    features: Array
    targets: Array
    names: tuple[str, ...]
    coefficients: Array | None = None


def load(spec: Spec) -> Pool:
    """The pool of a glm spec.

    Raises:
        InputError: the file cannot be read.
        DataError: a column is constant and cannot be standardised, numbers are too large, or generated targets overflow.
    """
    problem = cast("Glm", spec.problem)
    data, coefficients = problem.data, None
    if data.generate is not None:
        features, targets, coefficients = generate(data.generate, problem.family)
        names = [f"x{j + 1}" for j in range(features.shape[1])]
    else:
        features, targets, names = spec.table()
    return prepare(features, targets, names, data.standardize, data.intercept, coefficients)


def prepare(
    features: Array,
    targets: Array,
    names: list[str],
    standardize: bool,
    intercept: bool,
    coefficients: Array | None = None,
) -> Pool:
    """Standardise, add the intercept, freeze."""
    constant = 0.0
    for name, column in [*zip(names, features.T, strict=True), ("the target", targets)]:
        if (size := float(np.abs(column).max(initial=0.0))) > LARGEST:
            raise DataError(
                f'must hold numbers of size {LARGEST:g} or less, got {size:.6g} in "{name}"; give it in a larger unit'
            )
    if standardize:
        means, sds = moments(features)
        for name, mean, sd in zip(names, means, sds, strict=True):
            if not sd > 1e-13 * abs(mean):
                raise DataError(
                    f'must have columns that vary to be standardised, got {mean:.6g} in every row of "{name}"; '
                    "remove the column, or set problem.data.standardize = false"
                )
        features = (features - means) / sds
        if coefficients is not None:
            constant = math.fsum(coefficients * means)
            coefficients = coefficients * sds
    if intercept:
        if INTERCEPT in names:
            raise DataError(
                f'must have no column named "{INTERCEPT}" when one is added, got it in the header; rename it, '
                "or set problem.data.intercept = false"
            )
        features = np.column_stack([np.ones(len(features)), features])
        names = [INTERCEPT, *names]
        if coefficients is not None:
            coefficients = np.concatenate([[constant], coefficients])
    features, targets = np.ascontiguousarray(features), np.array(targets)
    features.setflags(write=False)
    targets.setflags(write=False)
    return Pool(features, targets, tuple(names), coefficients)


def moments(features: Array) -> tuple[Array, Array]:
    """Means and standard deviations (over n) of the columns of float64[n, p]; sums are exactly rounded."""
    n = len(features)
    means = np.array([math.fsum(column) / n for column in features.T])
    squares = (features - means) ** 2
    return means, np.array([math.sqrt(math.fsum(column) / n) for column in squares.T])


def generate(source: Generate, family: str) -> tuple[Array, Array, Array]:
    """Features float64[n, p] (AR(1) correlated normals), targets float64[n], true coefficients float64[p].

    Coefficients point in a random direction and have norm `scale`; a real target has normal noise of standard
    deviation `noise`, contaminated ones `outlier` times as much.
    """
    from fastsgd.kernels.generate import data_normals, data_uniforms
    from fastsgd.kernels.pool import margins

    assert source.samples is not None
    n, p, seed = source.samples, source.dimension, np.uint64(source.seed)
    draws = np.empty((n, p + 1))
    data_normals(seed, np.uint64(0), draws)
    features, noise = np.ascontiguousarray(draws[:, :p]), np.ascontiguousarray(draws[:, p])
    rho, rest = source.correlation, math.sqrt(1.0 - source.correlation * source.correlation)
    for j in range(1, p):
        features[:, j] = rho * features[:, j - 1] + rest * features[:, j]
    coefficients = true_coefficients(source)
    z, uniforms = np.empty(n), np.empty(n)
    margins(features, coefficients, z)
    data_uniforms(seed, np.uint64(2), uniforms)
    if source.contamination:
        noise = np.where(uniforms < source.contamination, source.outlier * noise, noise)
    return features, _targets(source.truth or family, z, noise, uniforms, source.noise), coefficients


def true_coefficients(source: Generate) -> Array:
    """Coefficients float64[p] that targets are generated with."""
    from fastsgd.kernels.generate import data_normals

    direction = np.empty((1, source.dimension))
    data_normals(np.uint64(source.seed), np.uint64(1), direction)
    return np.asarray(direction[0] * (source.scale / math.sqrt(math.fsum(direction[0] ** 2))))


def _targets(family: str, z: Array, noise: Array, uniforms: Array, sd: float) -> Array:
    """Targets drawn from the model at margins z."""
    from fastsgd.kernels.generate import poisson_counts
    from fastsgd.problems.families import score

    if family in ("linear", "huber"):
        return z + sd * noise
    if family == "probit":
        return (z + noise > 0.0).astype(np.float64)
    mean = score(family, z, np.zeros_like(z))
    if family == "logistic":
        return (uniforms < mean).astype(np.float64)
    if z.max() > _LARGEST_LOG_MEAN:
        raise DataError(
            f"must have Poisson means below 700, got {mean.max():.3g}; give a smaller problem.data.generate.scale"
        )
    out = np.empty(len(z))
    poisson_counts(mean, score(family, -mean, np.zeros_like(z)), uniforms, out)
    return out

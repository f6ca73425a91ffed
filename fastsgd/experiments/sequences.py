"""Exchangeable sequences drawn directly: a directing measure, a pool of n samples from it, mini-batches of that pool.

The samples are gradients at theta = 0 of linear regression, g = -x (x'beta + e): x normal with an AR(1) correlation, e normal.
The directing measure is one of two coefficient vectors beta, each with probability 1/2; given beta the samples are
independent. All moments have closed forms (Isserlis).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 1 << 14  # sequences worked on at once


@dataclass(frozen=True)
class Law:
    """Moments of one gradient.

    Attributes:
        coefficients: float64[2, d], beta of the two measures. means, covariances: float64[2, d], float64[2, d, d] of g
            given the measure. noise: standard deviation of e; correlation: of neighbouring features.
    """

    coefficients: Array
    means: Array
    covariances: Array
    noise: float
    correlation: float

    @classmethod
    def of(cls, coefficients: Array, noise: float, correlation: float) -> Law:
        """From beta float64[d] of the first measure; the second has -beta/2."""
        betas = np.stack([coefficients, -0.5 * coefficients])
        d = len(coefficients)
        features = correlation ** np.abs(np.subtract.outer(np.arange(d), np.arange(d)))
        means = -betas @ features
        covariances = np.stack(
            [features * (b @ features @ b + noise**2) + np.outer(m, m) for b, m in zip(betas, means, strict=True)]
        )
        return cls(betas, means, covariances, noise, correlation)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn of each sequence.

    Attributes:
        measure: int64[R], which measure. batches: float64[R, 2, d], means of two mini-batches of the same pool, each drawn
            without replacement. pool: float64[R, d], means of the pools.
    """

    measure: NDArray[np.int64]
    batches: Array
    pool: Array


def sequences(spec: Any, count: int) -> Drawn:
    """`count` sequences with the pool size, batch, dimension and seed of the spec of a run on generated linear data."""
    from fastsgd.kernels.draws import WITHOUT_REPLACEMENT, draw_batches
    from fastsgd.kernels.generate import data_normals, data_uniforms

    source, batch, seed = spec.problem.data.generate, spec.sampling.batch, np.uint64(spec.seed)
    law, n = law_of(spec), source.samples
    d = law.coefficients.shape[1]
    uniforms = np.empty(count)
    data_uniforms(seed, np.uint64(0), uniforms)
    measure = (uniforms < 0.5).astype(np.int64)
    indices = np.empty((count, 2, batch), dtype=np.uint32)
    draw_batches(n, batch, WITHOUT_REPLACEMENT, seed, np.uint64(0), np.uint64(2**31), 1, indices)
    batches, pool = np.empty((count, 2, d)), np.empty((count, d))
    for number, begin in enumerate(range(0, count, CHUNK)):
        part = slice(begin, min(begin + CHUNK, count))
        rows = part.stop - begin
        draws = np.empty((rows * n, d + 1))
        data_normals(seed, np.uint64(1 + number), draws)
        gradients = _gradients(draws.reshape(rows, n, d + 1), law, measure[part])
        pool[part] = gradients.mean(axis=1)
        at = np.arange(rows)[:, None]
        for k in range(2):
            batches[part, k] = gradients[at, indices[part, k]].mean(axis=1)
    return Drawn(measure, batches, pool)


def law_of(spec: Any) -> Law:
    """The law that a spec on generated linear data stands for; coefficients of norm `scale` in a fixed direction."""
    source = spec.problem.data.generate
    direction = np.linspace(1.0, 2.0, source.dimension)
    coefficients = source.scale * direction / np.linalg.norm(direction)
    return Law.of(coefficients, float(source.noise), float(source.correlation))


def _gradients(draws: Array, law: Law, measure: NDArray[np.int64]) -> Array:
    """Gradients float64[R, n, d] from standard normals float64[R, n, d + 1]."""
    x, errors = draws[..., :-1].copy(), draws[..., -1]
    rest = np.sqrt(1 - law.correlation**2)
    for j in range(1, x.shape[2]):
        x[..., j] = law.correlation * x[..., j - 1] + rest * x[..., j]
    residuals = np.einsum("rnj,rj->rn", x, law.coefficients[measure]) + law.noise * errors
    x *= -residuals[..., None]
    return x

"""A smooth surface through noisy values at scattered batches and step sizes, with its error: Gaussian process regression."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Array = NDArray[np.float64]

# Scales that are tried: x = NOISE v/b + CURVE v says how far from linear a cell is, and log2 b and log v how far apart two are.
NOISE, CURVE, FLOOR = (0.0, 1.0, 4.0, 16.0, 64.0), (0.03, 0.12, 0.5, 2.0), (0.002, 0.01, 0.05)
ALONG_STEPS, ALONG_BATCHES = (0.5, 1.0, 2.0), (1.5, 4.0, 10.0)
MOST = 2.0  # standard deviation of the logarithm where x is large
NUGGET = 1e-3  # what two runs at the same place may differ by besides noise


@dataclass(frozen=True)
class Surface:
    """Posterior of c(b, v), v the step size over the edge of stability.

    Prior: mean 0, covariance a a' r with a = 2 x/(1 + x) + floor, x = noise v/b + curve v, and
    r = exp(-(log v/v')^2/(2 p^2) - (log2 b/b')^2/(2 q^2)); its scales are those of the largest likelihood on a grid.
    The truth over the frozen-noise value tends to 1 as v does to 0: by the noise that a state adds as v/b, by the curvature
    of the gradient as v too.
    """

    batches: Array
    sizes: Array
    scales: tuple[float, ...]
    root: Array
    weights: Array

    @classmethod
    def fit(cls, batches: Array, sizes: Array, values: Array, variances: Array) -> Surface:
        """Through values float64[m] with variances float64[m], > 0, at batches and relative sizes float64[m]."""
        best: tuple[float, Surface] | None = None
        for across in itertools.product(ALONG_STEPS, ALONG_BATCHES):
            r = _correlation(across, batches, sizes, batches, sizes)
            for scales in itertools.product(NOISE, CURVE, FLOOR):
                a = _amplitude(scales, batches, sizes)
                root = np.linalg.cholesky(np.multiply.outer(a, a) * r + np.diag(variances + NUGGET**2))
                inner = solve_triangular(root, values, lower=True)
                likelihood = -0.5 * float(inner @ inner) - float(np.sum(np.log(np.diagonal(root))))
                if best is None or likelihood > best[0]:
                    weights: Array = solve_triangular(root, inner, lower=True, trans=1)
                    best = likelihood, cls(batches, sizes, (*scales, *across), np.asarray(root), weights)
        assert best is not None
        return best[1]

    def __call__(self, batches: Array, sizes: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, float64[k], at k places."""
        own, there = _amplitude(self.scales, batches, sizes), _amplitude(self.scales, self.batches, self.sizes)
        K = np.multiply.outer(own, there) * _correlation(self.scales[3:], batches, sizes, self.batches, self.sizes)
        inner = solve_triangular(self.root, K.T, lower=True)
        return K @ self.weights, np.sqrt(np.maximum(own**2 - np.sum(inner**2, axis=0), 0.0) + NUGGET**2)


def _amplitude(scales: tuple[float, ...], batches: Array, sizes: Array) -> Array:
    x = scales[0] * sizes / batches + scales[1] * sizes
    return np.asarray(MOST * x / (1.0 + x) + scales[2])


def _correlation(scales: tuple[float, ...], b: Array, v: Array, c: Array, w: Array) -> Array:
    apart = (np.subtract.outer(np.log(v), np.log(w)) / scales[0]) ** 2
    apart = apart + (np.subtract.outer(np.log2(b), np.log2(c)) / scales[1]) ** 2
    return np.asarray(np.exp(-0.5 * apart))


def log_mean(values: Array) -> tuple[float, float]:
    """Logarithm of the expectation of values float64[R] > 0 in the mean, and its variance.

    Where one value is a large share of their sum the tail is too heavy for the scatter to tell the error: then at least
    that share, squared.
    """
    mean = float(np.mean(values))
    variance = float(np.var(values, ddof=1)) / (len(values) * mean**2)
    return math.log(mean) + 0.5 * variance, max(variance, (float(np.max(values)) / (len(values) * mean)) ** 2)

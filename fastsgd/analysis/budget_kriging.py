"""A smooth surface through noisy values at scattered batches and step sizes, with its error: Gaussian process regression."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Array = NDArray[np.float64]

# Scales that are tried: x = NOISE v/b + CURVE v says how far from linear a cell is, ALONG how far apart two are
# in (stretched) log v and in log2 b.
NOISE, CURVE, FLOOR = (0.0, 1.0, 4.0, 16.0, 64.0), (0.03, 0.12, 0.5, 2.0), (0.002, 0.01, 0.05)
ALONG_STEPS, ALONG_BATCHES = (0.5, 1.0, 2.0), (1.5, 4.0, 10.0)
MOST = 2.0  # standard deviation of the logarithm where x is large
EDGE = 1.05
LEAST = 3.0  # of log likelihood below the best scales down to which others count
NUGGET = 2e-3  # what two runs at the same place may differ by besides noise


@dataclass(frozen=True)
class Member:
    """The posterior for one choice of scales: lower triangular root of the covariance of the values, and weights."""

    scales: tuple[float, ...]
    root: Array
    weights: Array
    likelihood: float


@dataclass(frozen=True)
class Surface:
    """Posterior of c(b, v), v the step size over the edge of stability.

    Prior: mean 0, covariance a a' r with a = 2 x/(1 + x) + floor, x = noise v/b + curve v, and
    r = exp(-(s - s')^2/(2 p^2) - (log2 b/b')^2/(2 q^2)), s = log v/(1.05 - v); averaged over a grid of scales by their
    likelihood. Errors are inflated until they hold for each value left out in turn. The truth over the frozen-noise
    value tends to 1 as v does to 0: by the noise that a state adds as v/b, by the curvature of the gradient as v too.
    """

    batches: Array
    sizes: Array
    members: tuple[Member, ...]
    shares: Array
    inflation: float

    @classmethod
    def fit(cls, batches: Array, sizes: Array, values: Array, variances: Array) -> Surface:
        """Through values float64[m] with variances float64[m], > 0, at batches and relative sizes float64[m]."""
        found = []
        for across in itertools.product(ALONG_STEPS, ALONG_BATCHES):
            r = _correlation(across, batches, sizes, batches, sizes)
            for scales in itertools.product(NOISE, CURVE, FLOOR):
                a = _amplitude(scales, batches, sizes)
                root = np.asarray(np.linalg.cholesky(np.multiply.outer(a, a) * r + np.diag(variances + NUGGET**2)))
                inner = solve_triangular(root, values, lower=True)
                likelihood = -0.5 * float(inner @ inner) - float(np.sum(np.log(np.diagonal(root))))
                weights = np.asarray(solve_triangular(root, inner, lower=True, trans=1))
                found.append(Member((*scales, *across), root, weights, likelihood))
        top = max(one.likelihood for one in found)
        members = tuple(one for one in found if one.likelihood > top - LEAST)
        shares = np.exp([one.likelihood - top for one in members])
        shares = shares / np.sum(shares)
        squares = 0.0
        for one, share in zip(members, shares, strict=True):
            inverse = solve_triangular(one.root, np.eye(len(values)), lower=True)
            left_out = one.weights / np.sqrt(np.sum(inverse**2, axis=0))  # z of each value from all others
            squares += float(share * np.mean(left_out**2))
        return cls(batches, sizes, members, shares, max(1.0, math.sqrt(squares)))

    @cached_property
    def _along(self) -> list[tuple[tuple[float, ...], Array, Array]]:
        """Scales across places; of the members with these, scales of amplitudes [n, 3], and share times weights [n, m]."""
        found: dict[tuple[float, ...], list[tuple[tuple[float, ...], Array]]] = {}
        for one, share in zip(self.members, self.shares, strict=True):
            weights = share * _amplitude(one.scales, self.batches, self.sizes) * one.weights
            found.setdefault(one.scales[3:], []).append((one.scales[:3], weights))
        return [
            (across, np.array([scales for scales, _ in those]), np.array([weights for _, weights in those]))
            for across, those in found.items()
        ]

    def mean(self, batches: Array, sizes: Array) -> Array:
        """The mean alone, float64[k]: a hundredth of the time for one place."""
        total = np.zeros(len(batches))
        for across, scales, weights in self._along:
            r = _correlation(across, batches, sizes, self.batches, self.sizes)
            x = np.multiply.outer(sizes / batches, scales[:, 0]) + np.multiply.outer(sizes, scales[:, 1])
            total += np.sum((MOST * x / (1.0 + x) + scales[:, 2]) * (r @ weights.T), axis=1)
        return total

    def __call__(self, batches: Array, sizes: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, float64[k], at k places."""
        means, variances = [], []
        for one in self.members:
            own, there = (_amplitude(one.scales, *at) for at in ((batches, sizes), (self.batches, self.sizes)))
            r = _correlation(one.scales[3:], batches, sizes, self.batches, self.sizes)
            K = np.multiply.outer(own, there) * r
            inner = solve_triangular(one.root, K.T, lower=True)
            means.append(K @ one.weights)
            variances.append(np.maximum(own**2 - np.sum(inner**2, axis=0), 0.0) + NUGGET**2)
        mean = self.shares @ np.array(means)
        spread = self.shares @ (np.array(variances) + (np.array(means) - mean) ** 2)
        return np.asarray(mean), self.inflation * np.sqrt(spread)


def _amplitude(scales: tuple[float, ...], batches: Array, sizes: Array) -> Array:
    x = scales[0] * sizes / batches + scales[1] * sizes
    return np.asarray(MOST * x / (1.0 + x) + scales[2])


def _stretched(sizes: Array) -> Array:
    """log v far from the edge; close to it, where frozen noise grows without bound, changes are fast."""
    return np.asarray(np.log(sizes) - np.log(np.maximum(EDGE - sizes, 0.01)))


def _correlation(scales: tuple[float, ...], b: Array, v: Array, c: Array, w: Array) -> Array:
    apart = (np.subtract.outer(_stretched(v), _stretched(w)) / scales[0]) ** 2
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

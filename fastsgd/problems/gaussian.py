"""Means of functions of two linear forms of a Gaussian vector, with the vector's first and second moments beside them.

x ~ N(0, Sigma), Sigma_ij = rho^|i-j|; t = beta'x, z = theta'x + c. With u = (u_1, u_2) independent standard normals,
u_1 = t/|t| and u_2 along what is left of z, x = B u + e with e independent of u, so that

    E f x   = B E f u
    E f x x' = B (E f u u') B' + (E f) (Sigma - B B')

The means over u are trapezoidal sums: for functions analytic in a strip around the real axis their error falls off
exponentially with 1/spacing. Every sum is in a fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WIDTH = 9.0  # of the sums in standard deviations: what lies beyond has a mass of 2e-19
_SAME = 1e-13


class TooWide(ValueError):
    """The margin varies so much that the sum would need too many points; the message is one line."""


@dataclass(frozen=True)
class Forms:
    """Points of the sums and what stands for x there.

    Attributes:
        z, t: float64[m], the two forms at each point; a multiple of 8 of points.
        weights: float64[m], their probabilities.
        directions: float64[m, 3], (1, u_1, u_2).
        loadings: float64[p, 2], B.
        covariance: float64[p, p], Sigma.
    """

    z: Array
    t: Array
    weights: Array
    directions: Array
    loadings: Array
    covariance: Array

    def means(self, f: Array) -> tuple[float, Array, Array]:
        """E f, E f x float64[p], E f x x' float64[p, p] of f float64[m]."""
        from fastsgd.kernels.pool import weighted_products

        moments = np.empty((3, 3))
        weighted_products(self.directions, f * self.weights * len(f), moments)
        first, second = self.loadings[:, 0], self.loadings[:, 1]
        mean = moments[0, 0]
        cross = first[:, None] * second
        matrix = (moments[1, 1] - mean) * (first[:, None] * first) + (moments[2, 2] - mean) * (second[:, None] * second)
        matrix = matrix + moments[1, 2] * (cross + cross.T) + mean * self.covariance
        return float(mean), moments[0, 1] * first + moments[0, 2] * second, matrix


def autoregressive(dimension: int, rho: float) -> Array:
    """Sigma_ij = rho^|i-j|, float64[p, p]."""
    powers = np.ones(dimension)
    for k in range(1, dimension):
        powers[k] = powers[k - 1] * rho
    places = np.arange(dimension)
    return np.asarray(powers[np.abs(places[:, None] - places)])


def product(matrix: Array, vector: Array) -> Array:
    """Matrix times vector in a fixed order of fused operations."""
    from fastsgd.kernels.pool import margins

    out = np.empty(len(matrix))
    margins(matrix, vector, out)
    return out


def forms(
    covariance: Array, beta: Array, theta: Array, constant: float, growth: float = 0.0, finer: float = 1
) -> Forms:
    """The points for t = beta'x and z = constant + theta'x.

    growth: f grows at most as exp(growth |z|) or exp(growth |t|), 0 if slower. finer: divides the spacing, for tests.
    """
    along = product(covariance, beta)
    deviation = math.sqrt(math.fsum(beta * along))
    scale = math.sqrt(math.fsum(theta * product(covariance, theta)))
    loadings, on_first, rest = np.zeros((len(beta), 2)), 0.0, theta
    if deviation > 0.0:
        loadings[:, 0] = along / deviation
        on_first = math.fsum(theta * loadings[:, 0])
        rest = theta - (on_first / deviation) * beta
    left = product(covariance, rest)
    on_second = math.sqrt(max(math.fsum(rest * left), 0.0))
    if on_second > _SAME * scale:
        loadings[:, 1] = left / on_second
    else:
        on_second = 0.0
    widest = max(deviation, scale)
    spacing = min(0.125, 1.0 / (3.0 * widest) if widest > 0.0 else 0.125) / finer
    width = _WIDTH + growth * widest
    count = math.ceil(width / spacing)
    line = np.float64(spacing) * np.arange(-count, count + 1).astype(np.float64)
    second = line if on_second > 0.0 else np.zeros(1)
    if len(line) * len(second) > 2**21:
        raise TooWide(
            f"margins must have a standard deviation below 25, got {widest:.3g}; give a smaller scale or a ridge"
        )
    u1, u2 = np.repeat(line, len(second)), np.tile(second, len(line))
    each = _densities(line, spacing)
    weights = each[:, None] * (each if len(second) > 1 else np.ones(1))
    pad = -len(u1) % 8
    points = [np.pad(v, (0, pad)) for v in (u1, u2, weights.ravel())]
    directions = np.column_stack([np.ones(len(points[0])), points[0], points[1]])
    z = constant + on_first * points[0] + on_second * points[1]
    return Forms(z, deviation * points[0], points[2], directions, loadings, covariance)


def _densities(line: Array, spacing: float) -> Array:
    """spacing phi(u), float64[m]; their sum is 1 to rounding."""
    from fastsgd.problems.families import curvature

    return np.asarray(curvature("poisson", -0.5 * line * line, np.zeros_like(line)) * (spacing * 0.3989422804014327))

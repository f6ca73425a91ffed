"""The step below which the mean square of SGD on a table is finite, with its gradients linear in theta about the optimum.

Row i has the Hessian h_i x_i x_i' there, so that SGD near the optimum is least squares with the features sqrt(h_i) x_i
(`theory.least_squares`); the limit is exact for a linear family. It is below 2/lambda_max(H) because a batch's Hessian
differs from H, far below for single rows of large features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.estimate_fit import Fit
from fastsgd.problems.families import curvature
from fastsgd.theory.eigen import symmetrise
from fastsgd.theory.least_squares_stationary import mean_square_limit
from fastsgd.theory.symmetric_space import pack, pack_outer, unpack

Array = NDArray[np.float64]

DENSE = 16  # coordinates up to which one pass sums all fourth moments; beyond it a pass an iteration
ITERATIONS = 8  # at most; bounds came within 4 % on a dozen data sets


def stability_limits(of: Fit, batches: Sequence[int]) -> list[float]:
    """Largest stable step of each batch, drawn without replacement; a lower bound of it above `DENSE` coordinates."""
    values, V = np.linalg.eigh(of.hessian)
    second = V.T @ (of.hessian - of.ridge * np.eye(len(values))) @ V
    small = len(values) <= DENSE
    fourth = _at_once(of, V) if small else _by_passes(of, V)
    n = of.features.rows
    found = []
    for batch in batches:
        factor = 0.0 if batch >= n else (n - batch) / ((n - 1) * batch)
        most = None if small else ITERATIONS
        found.append(mean_square_limit(values, lambda M: fourth(M) - second @ M @ second, factor, most))
    return found


def _at_once(of: Fit, V: Array) -> Callable[[Array], Array]:
    """K(M) = (1/n) sum h^2 x (x'Mx) x' in the coordinates V, from one pass."""
    d = len(V)
    total = np.zeros((d * (d + 1) // 2,) * 2)
    for Z, weights in _rows(of, V):
        for start in range(0, len(Z), 1024):
            part = slice(start, start + 1024)
            products = pack_outer(Z[part])
            total += products.T @ (products * weights[part, None])
    total /= of.features.rows
    return lambda M: unpack(total @ pack(M), d)


def _by_passes(of: Fit, V: Array) -> Callable[[Array], Array]:
    def fourth(M: Array) -> Array:
        total = np.zeros_like(M)
        for Z, weights in _rows(of, V):
            total += Z.T @ (Z * (weights * np.einsum("ni,ni->n", Z @ M, Z))[:, None])
        return symmetrise(total / of.features.rows)

    return fourth


def _rows(of: Fit, V: Array) -> Iterator[tuple[Array, Array]]:
    """Chunks (rows in the coordinates V float64[m, d], c h^2 float64[m])."""
    at = of.features
    for X, y, a, c in at:
        h = a * curvature(at.family, X @ of.theta, y, at.threshold)
        yield X @ V, c * h * h

"""Errors of everything estimated from a table: the Poisson bootstrap, in two passes over the rows.

Each row counts Poisson(1) times in each resample, Poisson(c) times if it stands for c rows (Hanley and MacGibbon 2006;
Chamandy, Muralidharan, Najmi and Naidu 2012), which needs no order of the rows and no memory of them. A resample's optimum
is one Newton step from theta*, with the resample's own gradient and Hessian: the error of that step is of the order of the
square of the deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.estimate_fit import Features, Fit
from fastsgd.analysis.estimate_weights import COUNTS
from fastsgd.problems.families import curvature, information, score
from fastsgd.theory.symmetric_space import pack_outer, unpack

Array = NDArray[np.float64]

ENTRIES = 2**22  # of packed products in memory at once


@dataclass(frozen=True)
class Resample:
    """One resample: theta*, H with the ridge, S_n, F at its theta*; rows: how many it counts."""

    rows: float
    theta: Array
    hessian: Array
    noise: Array
    metric: Array


def resamples(of: Fit, count: int, seed: int = 0) -> list[Resample]:
    """`count` resamples of a fit, columns centred and scaled as in the fit; those with a singular Hessian left out."""
    at, d = of.features, of.features.dimension
    p = d * (d + 1) // 2
    drawn, total, gradient, hessian = np.zeros(count), np.zeros(count), np.zeros((count, d)), np.zeros((count, p))
    for X, y, a, Z, w in _rows(at, count, seed):
        z = X @ of.theta
        drawn += w.sum(axis=0)
        total += a @ w
        gradient += w.T @ (X * (a * score(at.family, z, y, at.threshold))[:, None])
        hessian += (w * (a * curvature(at.family, z, y, at.threshold))[:, None]).T @ Z
    thetas = np.empty((count, d))
    usable = np.ones(count, dtype=np.bool_)
    for b in range(count):
        H = unpack(hessian[b], d) / total[b] + of.ridge * np.eye(d)
        try:
            np.linalg.cholesky(H)
            thetas[b] = of.theta - np.linalg.solve(H, gradient[b] / total[b] + of.ridge * of.theta)
        except np.linalg.LinAlgError:
            usable[b], thetas[b] = False, of.theta
    mean, H, S, F = np.zeros((count, d)), np.zeros((count, p)), np.zeros((count, p)), np.zeros((count, p))
    for X, y, a, Z, w in _rows(at, count, seed):
        z = np.ascontiguousarray(X @ thetas.T)
        flat, repeated = z.ravel(), np.repeat(y, count)
        s = a[:, None] * score(at.family, flat, repeated, at.threshold).reshape(z.shape)
        mean += (w * s).T @ X
        S += (w * s * s).T @ Z
        w = w * a[:, None]
        H += (w * curvature(at.family, flat, repeated, at.threshold).reshape(z.shape)).T @ Z
        F += (w * information(at.family, flat, at.threshold).reshape(z.shape)).T @ Z
    found = []
    for b in np.flatnonzero(usable).tolist():
        n, centre = total[b], mean[b] / total[b]
        noise = unpack(S[b], d) * (drawn[b] / n**2) - np.multiply.outer(centre, centre)
        found.append(
            Resample(drawn[b], thetas[b], unpack(H[b], d) / n + of.ridge * np.eye(d), noise, unpack(F[b], d) / n)
        )
    return found


def interval(value: float, resampled: Array) -> tuple[float, float]:
    """95 % interval of a quantity from its estimate and its values in the resamples, float64[B].

    value - bias +- 1.96 standard deviations, of the logarithm where all are positive; the bias is what the resamples have
    beside the estimate: extreme eigenvalues spread, by about as much from truth to estimate as from estimate to resample.
    Measured coverage (300 data sets each, d = 5, linear, logistic and overdispersed Poisson): 0.88 to 0.96 with 1000
    rows, 0.75 to 0.95 with 200, least for kappa and the effective dimension of heavy-tailed gradients, and 0.73 for the
    least of equal eigenvalues with 100 rows; value +- 1.96 standard errors instead has 0.76 to 0.99, and 0.15.
    """
    positive = value > 0 and bool(np.all(resampled > 0))
    own, found = (float(np.log(value)), np.log(resampled)) if positive else (value, resampled)
    centre, half = 2.0 * own - float(np.mean(found)), 1.96 * float(np.std(found, ddof=1))
    ends = np.array([centre - half, centre + half])
    low, high = np.exp(ends) if positive else ends
    return float(low), float(high)


def _rows(at: Features, count: int, seed: int) -> Iterator[tuple[Array, Array, Array, Array, Array]]:
    """Chunks (X, y, a, packed x x', weights float64[m, count]); the weights of a row depend on its place alone."""
    most = max(1, ENTRIES // (at.dimension * (at.dimension + 1) // 2))
    counted = at.weights.kind == COUNTS and at.weights.column is not None
    for index, (X, y, a, c) in enumerate(at):
        bits = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))
        mean = c[:, None] if counted else 1.0
        weights = bits.poisson(mean, size=(len(y), count)).astype(np.float64)
        for start in range(0, len(y), most):
            part = slice(start, start + most)
            yield X[part], y[part], a[part], pack_outer(X[part]), weights[part]

"""Directions in which a first-order prediction of a covariance is zero within its own error: nothing there can be tested.

Where G is singular the recursion with the noise of the optimum leaves no variance in some directions. What a run has there
is of higher order in the step size; what a prediction has there is rounding, or error of the pilot.

Variances are compared in units of what noise of covariance H would leave at the same step (G = H as of a likelihood; eta/2 in
every direction at the plateau of a constant step), so that neither the units of the coordinates nor a slow transient make one
small. With W the covariance in these units and l the eigenvalues of H, a direction counts as zero below the sum of two floors.

    rounding  what noise of covariance d 2^-52 |Sigma| I would leave: the error of an entry of Sigma
    pilot     an error dH of H turns directions i and j into each other by dH_ij / (l_i + l_j) (Lyapunov equation), so that
              i has sum_j dH_ij^2 W_jj / (l_i + l_j)^2 by chance. Where theta* is off by e, Cov e = H^-1 G H^-1 / m, the noise
              has J e beside it, J the derivative of the gradient of a sample: sum_j Var(J_ij)/m W_jj / (l_i l_j). Both from
              the scatter of the `hessian_parts`, which is that of J / sqrt(m). The floor is the quantile at `LEVEL` of a
              gamma law with the mean and variance of such a sum, for the direction in which it is largest.

Parts of H are symmetrised. The derivative of a gradient that is not of a loss may scatter by twice as much, which is assumed.
Problems whose law or moments are exact have no such directions but by rounding (`whitening.whitener`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fastsgd.analysis import whitening
from fastsgd.theory import transient

if TYPE_CHECKING:
    from fastsgd.analysis.prediction import Prediction

Array = NDArray[np.float64]

LEVEL = 1e-4  # chance that a direction without variance is taken for one that has some


def floors(prediction: Prediction) -> Array | None:
    """Variance that counts as zero in each direction of the eigenbasis of H at each step, float64[S, d].

    Zero at steps without a random risk. None where the moments are exact, so that no higher order is missing, or where H is
    not positive definite.
    """
    model, path = prediction.model, prediction.path
    values, d = path.hessian.values, model.dimension
    if prediction.exact or not model.design.independent or not np.min(values) > 0.0:
        return None
    zero, none = np.zeros(d), np.zeros((d, d))
    with np.errstate(over="ignore", invalid="ignore"):
        white = transient.moments(path.hessian, np.eye(d), model.etas, prediction.steps, zero, none)[1]
        spread = path.basis.into(model.start(prediction.sigma)[1])
        start = np.zeros_like(white)
        if np.any(spread):
            start = transient.moments(path.hessian, none, model.etas, prediction.steps, zero, spread)[1]
    of_noise = np.diagonal(white, axis1=1, axis2=2)
    unit = of_noise * values + np.maximum(np.diagonal(start, axis1=1, axis2=2), 0.0)
    rounding = d * np.finfo(np.float64).eps * float(np.linalg.norm(prediction.sigma, 2))
    turned, found = _turned(prediction), np.zeros_like(unit)
    for s in np.flatnonzero(prediction.random):
        if np.min(unit[s]) > 0.0 and np.all(np.isfinite(unit[s])):
            root = np.sqrt(unit[s])
            found[s] = rounding * of_noise[s] + _chance(turned, path.covariance[s] / np.outer(root, root)) * unit[s]
    return found


def whitener(prediction: Prediction, index: int) -> Array | None:
    """B float64[d, r] with B'CB = I over the directions above their floor at steps[index]; None where that is all of them."""
    floor = None if prediction.floors is None else prediction.floors[index]
    if floor is None or not np.min(floor) > 0.0:
        return None
    root = 1.0 / np.sqrt(floor)
    values, vectors = np.linalg.eigh(prediction.path.covariance[index] * np.outer(root, root))
    inside = values > 1.0
    if inside.all() or not inside.any():
        return None
    white = root[:, None] * vectors[:, inside] / np.sqrt(values[inside])
    return np.asarray(prediction.path.basis.back_vector(white.T).T)


def restricted(prediction: Prediction, matrix: Array) -> Array:
    """`whitening.whitener` of another covariance of the run, float64[d, d], over the directions tested at the last step."""
    last = len(prediction.steps) - 1
    inside = whitener(prediction, last) if prediction.random[last] else None
    return whitening.whitener(matrix) if inside is None else inside @ whitening.whitener(inside.T @ matrix @ inside)


def tested_coordinates(prediction: Prediction) -> NDArray[np.bool_]:
    """False for coordinates whose variance at the last step is below its floor, bool[d]."""
    variance = np.diagonal(prediction.covariance[-1])
    if prediction.floors is None:
        return np.ones(len(variance), dtype=np.bool_)
    floor = np.diagonal(prediction.path.basis.back(np.diag(prediction.floors[-1])))
    return np.asarray((variance > floor) | (floor == 0.0))


def _turned(prediction: Prediction) -> Array:
    """Angles by which each part of the pilot turns directions of the eigenbasis of H, float64[P, d, d]; P = 0 without one.

    Scaled so that their sum of squares is a variance of the mean of all parts.
    """
    model, basis = prediction.model, prediction.path.basis
    values, parts = basis.values, model.estimates.get("hessian_parts")
    if parts is None or len(parts) < 2:
        return np.zeros((0, len(values), len(values)))
    off = 2.0 * (basis.into_stack(parts) - np.diag(values)) / np.sqrt(len(parts) * (len(parts) - 1))
    turned = [off / np.add.outer(values, values)]
    if np.any(model.estimates.get("optimum_error", 0.0)):
        turned.append(off / np.sqrt(np.multiply.outer(values, values)))
    return np.concatenate(turned)


def _chance(turned: Array, W: Array) -> float:
    """Largest variance, over all directions, that turning by chance leaves in one without any; zero for no angles."""
    if not len(turned):
        return 0.0
    values, vectors = np.linalg.eigh(W)
    moved = turned @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    mean, worst = np.linalg.eigh(np.einsum("pij,pkj->ik", moved, moved, optimize=True))
    each = worst[:, -1] @ moved
    square = float(np.sum((each.T @ each) ** 2))
    if not square > 0.0:
        return 0.0
    shape = float(mean[-1]) ** 2 / (2.0 * square)
    return float(mean[-1] / shape * stats.gamma.isf(LEVEL, shape))

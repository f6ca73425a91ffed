"""What the iterates of a run remember of their start: a quantity that shows an error of a few per cent in the step.

In direction i of the eigenvectors of H, E[y_i | x_i] = a_i x_i with a_i = (1 - eta lambda_i)^T, x the start and y the end of T
steps, and y_i - a_i x_i has a variance v_i that does not depend on the start. At a budget where the risk is smallest, and so
flat in eta, a_i is not: its relative change is T eta lambda_i / (1 - eta lambda_i) times that of eta.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastsgd.experiments.base import Case
from fastsgd.experiments.scores import once
from fastsgd.experiments.view import View

Array = NDArray[np.float64]


def starts(case: Case) -> Array:
    """theta_0 - theta* of every replicate of a run with start.kind = "gaussian", float64[R, d]: its draws once more."""
    from fastsgd.kernels.philox import PURPOSE_START
    from fastsgd.kernels.quadratic import add_normals

    d = len(case.run.coordinates)
    delta = np.zeros((1, int(case.run.replicates), d))
    add_normals(np.eye(d)[None] * case.spec.start.scale, case.spec.seed, PURPOSE_START, 0, delta)
    return delta[0]


def memory(view: View, case: Case, steps: float = 1.0) -> tuple[Array, float]:
    """(float64[R] of mean 1, 1 / their variance) where the memory of the start is as frozen noise has it.

    1 + sum_i c_i x_i (y_i - a_i x_i) / (s^2 sum_i c_i a_i), c_i = a_i / v_i, s the scale of the start: the regression of y
    on x over the predicted one, directions weighted by their precision. `steps` multiplies the predicted step size.
    """
    (model,) = view.models(case)
    eta, T, s = steps * model.schedule.size, int(case.run.steps[-1]), float(case.spec.start.scale)
    values, vectors = np.linalg.eigh(model.hessian)
    a, squared = (1 - eta * values) ** T, (1 - eta * values) ** 2
    sigma = np.einsum("ij,ik,kj->j", vectors, model.gradient_covariance(), vectors)
    v = eta**2 * sigma * (1 - squared**T) / (1 - squared)
    x, y = once(case, "start", lambda: starts(case)) @ vectors, view.observed(case)[0].final @ vectors
    weight = np.divide(a, v, out=np.zeros_like(a), where=v > 0)
    precision = s * s * float(weight @ a)
    if not precision > 0:
        return np.ones(len(x)), 0.0
    result: Array = 1 + (x * (y - a * x)) @ weight / precision
    return result, precision

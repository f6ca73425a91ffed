"""Second moments of the normalised OU process in two dimensions, which several entries look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastsgd.analysis.model import Model
from fastsgd.experiments.base import Case, Row
from fastsgd.experiments.view import View
from fastsgd.theory import ou

PREFIX = "time-averaged second moment "


def moments(view: View, case: Case) -> Iterator[tuple[tuple[int, int], Row]]:
    """((i, j), row) for every second moment averaged over time and replicates; needs a run with one arm, d <= 3."""
    for row in view.averages(case):
        if row.quantity.startswith(PREFIX):
            i, j = sorted(int(k) for k in row.quantity.removeprefix(PREFIX).split(","))
            yield (i, j), row.but(quantity=f"variance {i + 1}" if i == j else f"covariance {i + 1}{j + 1}")


def leading_entry(view: View, case: Case, i: int, j: int) -> float:
    """S_ij of H S + S H = G/b, the limit of a small time step."""
    return float(stationary(view, case)[i, j])


def stationary(view: View, case: Case) -> np.ndarray:
    """S of H S + S H = G/b, float64[d, d]."""
    (model,) = view.models(case)
    return ou.stationary(model.hessian, model.noise, float(model.spec.sampling.batch))


def stationary_under(model: Model, noise: np.ndarray) -> np.ndarray:
    """Stationary covariance of the process as it is simulated, with another G, float64[d, d]."""
    section, batch, eta = model.spec.problem, float(model.spec.sampling.batch), model.schedule.size
    if section.scheme == "euler":
        return ou.euler_stationary(model.hessian, noise, batch, eta, section.time_step)
    return ou.stationary(model.hessian, noise, batch)


def turned(noise: np.ndarray, degrees: float) -> np.ndarray:
    """G turned counterclockwise, float64[2, 2]."""
    t = np.deg2rad(degrees)
    rotation = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    return rotation @ noise @ rotation.T


def ellipse(covariance: np.ndarray, points: int = 200, level: float = 0.95) -> np.ndarray:
    """Border of the level set that holds `level` of N(0, S): x'S^-1 x = -2 log(1 - level), float64[points, 2]."""
    values, vectors = np.linalg.eigh(covariance)
    t = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(t), np.sin(t)])
    result: np.ndarray = (vectors @ (np.sqrt(-2 * np.log1p(-level) * values)[:, None] * circle)).T
    return result

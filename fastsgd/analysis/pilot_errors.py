"""What the error of an estimated H, G and theta* adds to the error of a prediction (delta method).

A problem whose geometry comes from a pilot keeps independent estimates of H and G, each from a part of the pilot: arrays
`hessian_parts` and `noise_parts`; so do designs for what their covariance is made of (`antithetic_parts`, `control_parts`), and
a design of one's own for the covariance itself. The derivative of a prediction towards each, and the scatter of these
derivatives, is the standard error of the prediction; estimates of one part are of the same samples, so they vary together.
The optimum has covariance E = H^-1 G H^-1 / m, known up to the size that `optimum_error` gives: what is measured from it is
off by (I - P_k) e at step k, P_k the contraction from the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import designs
from fastsgd.analysis import path as paths
from fastsgd.analysis.rows import Row

if TYPE_CHECKING:
    from fastsgd.analysis.model import Model
    from fastsgd.analysis.prediction import Prediction

Array = NDArray[np.float64]

PARTS = {
    "hessian": "hessian_parts",
    "noise": "noise_parts",
}
_SHARE = 2.0**-10  # of the way towards an estimate: the derivative is linear there, and a covariance stays one


@dataclass(frozen=True)
class PilotErrors:
    """Errors of the predictions of one arm at its S steps, from C parts of a pilot.

    Attributes:
        risk: float64[C, S], derivative of the predicted risk towards the estimate of each part.
        size: float64[C, S], that of tr(S^+ C) / rank, the size of the covariance; the predicted one is 1.
        shape: float64[S], mean of the squared deviation of the whitened covariance from a multiple of I, halved.
        optimum: float64[S], standard deviation of the risk that an error of theta* makes.
        distance: float64[S], tr(S^+ E_k) / rank: its share in the squared length of the mean.
    """

    risk: Array
    size: Array
    shape: Array
    optimum: Array
    distance: Array

    def of_risk(self, index: NDArray[np.int64], weights: Array) -> float:
        """Standard error of weights @ (predicted risk at steps[index])."""
        return math.hypot(scatter(self.risk[:, index] @ weights), abs(float(self.optimum[index] @ weights)))

    def relative(self, prediction: Prediction) -> float:
        """That of the risk at the last step, relative."""
        level = float(prediction.risk[-1])
        return self.of_risk(np.array([-1]), np.ones(1)) / level if 0.0 < level < math.inf else 0.0

    def of_size(self, index: NDArray[np.int64], weights: Array) -> float:
        """That of weights @ (size of the covariance)."""
        return scatter(self.size[:, index] @ weights)


def scatter(values: Array) -> float:
    """Standard error of the mean of values[C], none for fewer than two."""
    count = len(values)
    return float(np.linalg.norm(values)) / math.sqrt(count * (count - 1)) if count > 1 else 0.0


def pilot_errors(prediction: Prediction) -> PilotErrors | None:
    """Errors of a prediction; None where nothing that it stands on was estimated."""
    model = prediction.model
    given = {name: model.estimates[parts] for name, parts in PARTS.items() if parts in model.estimates}
    given |= _of_design(model)
    sigmas = model.covariance_parts()
    covariance = _optimum(prediction)
    if not given and sigmas is None and covariance is None:
        return None
    count = max((len(parts) for parts in [*given.values(), *([] if sigmas is None else [sigmas])]), default=0)
    steps, usable = len(prediction.steps), np.isfinite(prediction.risk)
    risk, size = np.zeros((count, steps)), np.zeros((count, steps))
    shape, optimum, distance = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    whiten = [prediction.whitener(s) if prediction.random[s] else None for s in range(steps)]
    F, mean = model.metric, prediction.mean
    for c in range(count):
        changed = _moved(model, {name: parts[c] for name, parts in given.items()})
        sigma = changed.gradient_covariance() if sigmas is None else _towards(prediction.sigma, sigmas[c])
        means, covs = paths.frozen(changed, sigma, prediction.steps).original()
        moved = (means - mean) / _SHARE, (covs - prediction.covariance) / _SHARE
        for s in np.flatnonzero(usable):
            risk[c, s] = np.sum(F * moved[1][s]) + 2.0 * mean[s] @ F @ moved[0][s]
            W = whiten[s]
            if W is not None:
                white = W.T @ moved[1][s] @ W
                size[c, s] = np.trace(white) / len(white)
                shape[s] += 0.5 * np.sum((white - size[c, s] * np.eye(len(white))) ** 2) / (count * (count - 1))
    if covariance is not None:
        for k, E in enumerate(covariance):
            FE, W = F @ E, whiten[k]
            spread = 2.0 * np.sum(FE * FE.T) + np.trace(FE) ** 2 + 4.0 * mean[k] @ FE @ F @ mean[k]
            optimum[k] = math.sqrt(max(float(spread), 0.0)) if usable[k] else 0.0
            distance[k] = 0.0 if W is None else float(np.trace(W.T @ E @ W)) / W.shape[1]
    return PilotErrors(risk, size, shape, optimum, distance)


def _moved(model: Model, parts: dict[str, Array]) -> Model:
    """The model with each of its estimates a little way towards that of a part."""
    mine = {name: _towards(getattr(model, name), parts[name]) for name in PARTS if name in parts}
    simulation = model.simulation
    if simulation is not None:
        changes: dict[str, Any] = {"noise": mine.get("noise", simulation.noise)}
        for name in parts.keys() - PARTS.keys():
            changes[name] = partial(np.asarray, _towards(getattr(simulation, name)(), parts[name]))
        simulation = replace(simulation, **changes)
    hessian, noise = mine.get("hessian", model.hessian), mine.get("noise", model.noise)
    return replace(model, hessian=hessian, noise=noise, simulation=simulation)


def _of_design(model: Model) -> dict[str, Array]:
    """What the covariance of a design is made of, by parts, where it was estimated."""
    if not isinstance(model.design, designs.SimulationDesign) or model.simulation is None:
        return {}
    found = {name: getattr(model.simulation, f"{name}_parts")() for name in model.design.made_of}
    return {name: parts for name, parts in found.items() if parts is not None}


def _towards(matrix: Array, estimate: Array) -> Array:
    return (1.0 - _SHARE) * matrix + _SHARE * estimate


def _optimum(prediction: Prediction) -> Array | None:
    """E_k float64[S, d, d]; None where the optimum is known."""
    model = prediction.model
    errors = model.estimates.get("optimum_error")
    if errors is None or not np.any(errors):
        return None
    inverse = np.linalg.inv(model.hessian)
    sandwich = inverse @ model.noise @ inverse
    E = sandwich * (np.sum(np.square(errors)) / np.trace(sandwich))
    basis = prediction.path.basis
    k = prediction.steps.astype(np.float64)[:, None]
    if model.schedule.constant:
        left = 1.0 - (1.0 - model.schedule.size * basis.values) ** k
    else:
        sizes = np.concatenate([[0.0], np.cumsum(model.schedule.sizes(0, int(prediction.steps[-1])))])
        left = 1.0 - np.exp(-sizes[prediction.steps][:, None] * basis.values)  # P_k to leading order
    inside = basis.into(E)
    found: Array = basis.back(left[:, :, None] * inside * left[:, None, :])
    return found


def widened(row: Row, extra: float) -> Row:
    """The row with the standard error of its prediction added in quadrature."""
    if extra <= 0.0 or not row.standard_error < math.inf:
        return row
    error = math.hypot(row.standard_error, extra)
    return replace(row, standard_error=error, z=row.z * (row.standard_error / error))


def widened_steps(rows: Sequence[Row], prediction: Prediction) -> list[Row]:
    """Rows of single steps of an arm with the errors of their predictions."""
    errors = prediction.pilot
    if errors is None:
        return list(rows)
    place = {int(step): s for s, step in enumerate(prediction.steps)}
    one = np.ones(1)
    found = []
    for row in rows:
        s = None if row.step is None else place[row.step]
        extra = 0.0
        if s is not None and row.quantity.startswith("risk"):
            extra = errors.of_risk(np.array([s]), one)
        elif row.quantity == "covariance" and s is not None:
            extra = errors.of_size(np.array([s]), one)
        elif row.quantity == "covariance shape" and s is not None:
            # Mauchly's statistic is the squared deviation from a sphere, halved; a row has it in units of its mean.
            d = prediction.whitener(s).shape[1]
            extra = float(errors.shape[s]) * 2.0 * row.replicates / (d * (d + 1) - 2)
        elif row.quantity == "mean" and s is not None:
            extra = row.replicates * float(errors.distance[s])
        found.append(widened(row, extra))
    return found

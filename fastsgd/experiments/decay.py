"""What the two entries on a decaying step share: the run, its sparse steps, the limit of k Cov."""

from __future__ import annotations

import numpy as np

from fastsgd.analysis.model import Model
from fastsgd.analysis.prediction import Prediction
from fastsgd.errors import InputError
from fastsgd.experiments.base import Part
from fastsgd.theory import rates

RATE = Part("rate", {"quick": {"replicates": 400, "record.steps": {"log": 30, "last": 10000}}})
APART = 2.4  # smallest ratio of two tested steps, from which on their risks are nearly independent


def sparse(prediction: Prediction, first: int = 2) -> list[int]:
    """Indices of recorded steps from the last one down to step `first`, each at least `APART` times the one before."""
    found: list[int] = []
    for s in reversed(range(len(prediction.steps))):
        step = int(prediction.steps[s])
        if step >= first and prediction.random[s] and (not found or step * APART <= prediction.steps[found[-1]]):
            found.append(s)
    return found[::-1]


def late(prediction: Prediction) -> list[int]:
    """The sparse steps of the last two decades: where the rate is read off."""
    last = int(prediction.steps[-1])
    return [s for s in sparse(prediction) if prediction.steps[s] * 100 >= last]


def limit(model: Model) -> np.ndarray:
    """V = lim k Cov(Delta_k), float64[d, d] (Section 8.4). InputError for a schedule that has none."""
    step = model.spec.step
    if step.schedule != "power" or step.exponent != 1:
        raise InputError(
            'rate and directions need step.schedule = "power" with exponent = 1, for which k Cov has a limit'
        )
    try:
        return rates.decaying_covariance(model.hessian, model.gradient_covariance(), model.schedule.size)
    except ValueError as error:
        raise InputError(f"rate and directions: {error}") from None

"""Time-averaged second moment of every coordinate of a run, with its exact law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.time_averages import Averages, sampling
from fastsgd.analysis.zscores import z_pearson3
from fastsgd.errors import InputError
from fastsgd.experiments.base import Case, Row
from fastsgd.experiments.view import View
from fastsgd.theory import lyapunov, ou
from fastsgd.theory import time_averages as theory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Marginals:
    """E Delta_i^2 over samples and replicates, float64[d] each: measured, exact, standard error, skewness, leading order."""

    value: Array
    expected: Array
    error: Array
    skewness: Array
    leading: Array

    def row(self, i: int, where: str) -> Row:
        """Of coordinate i."""
        delta = float((self.value[i] - self.expected[i]) / self.error[i])
        z = z_pearson3(delta, float(self.skewness[i]))
        numbers = (float(self.value[i]), float(self.error[i]), float(self.expected[i]))
        return Row(f"variance {i + 1}", where, *numbers, z, float(self.leading[i]))

    def scaled(self, factor: float) -> Marginals:
        """The same measured values, expected with noise of another size."""
        return replace(self, expected=factor * self.expected, error=factor * self.error, leading=factor * self.leading)


def marginals(view: View, case: Case) -> Marginals:
    """Of a run with one arm and time averages; InputError for others."""
    (prediction,) = view.predictions(case)
    model = prediction.model
    seen = None if case.spec.record.average is None else Averages.of(case.run, case.run.arms[0])
    if seen is None or not seen.whole:
        raise InputError(f"{case.run.path} has no time averages of every replicate; give its spec record.average")
    forms = np.zeros((model.dimension,) * 3)
    every = np.arange(model.dimension)
    forms[every, every, every] = 1.0
    mean0, cov0 = model.start(prediction.sigma)
    law = theory.averages(model.drift, prediction.sigma, model.etas, sampling(case.spec), mean0, cov0, forms)
    n = seen.counted
    error, skewness = np.sqrt(law.variance / n), law.skewness / np.sqrt(n)
    return Marginals(np.diagonal(seen.second).copy(), law.value, error, skewness, _leading(view, case))


def _leading(view: View, case: Case) -> Array:
    """Diagonal of the continuous-time solution."""
    (model,) = view.models(case)
    if model.spec.problem.kind == "ou":
        return np.diagonal(ou.stationary(model.hessian, model.noise, float(model.spec.sampling.batch))).copy()
    sigma = model.gradient_covariance()
    return np.diagonal(lyapunov.continuous_stationary(model.hessian, sigma, model.schedule.size)).copy()

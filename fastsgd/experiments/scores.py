"""Mini-batch gradients at one state, from runs of a single step, and rows of their covariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.zscores import clip, z_student
from fastsgd.errors import InputError
from fastsgd.experiments.base import Case, Row
from fastsgd.experiments.view import View

Array = NDArray[np.float64]

_remembered: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def once(case: Case, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, found once a run: controls ask for the same samples again."""
    known = _remembered.setdefault(case.run, {})
    if key not in known:
        known[key] = make()
    return known[key]


def batch_scores(view: View, case: Case, arm: int = 0) -> Array:
    """Mini-batch gradients at the start of a run of one step from a fixed point, float64[R, d].

    theta_1 = theta_0 - eta g, so that one step of the engine holds the gradient g itself. InputError for another run.
    """
    spec = list(case.spec.arm_specs().values())[arm]
    if spec.start.kind != "point" or case.spec.record_steps() != [1]:
        raise InputError(f'{case.part}: scores are read from runs with start.kind = "point" and record.steps = [1]')
    final = view.observed(case)[arm].final
    start = np.broadcast_to(np.asarray(spec.start.value, dtype=np.float64), (final.shape[1],))
    scores: Array = (start - final) / float(spec.step.size)
    return scores


@dataclass(frozen=True, eq=False)
class Second:
    """Second moments about 0 of vectors, and what their errors need, in a basis.

    Attributes:
        vectors: float64[d, d], the basis in columns; weights: float64[d], expected variances along it.
        count: R. mean, deviation, skewness: float64[d, d], of the products y_i y_j of the R vectors, i >= j.
    """

    vectors: Array
    weights: Array
    count: int
    mean: Array
    deviation: Array
    skewness: Array

    @classmethod
    def of(cls, values: Array, expected: Array, diagonal: bool = False) -> Second:
        """From values float64[R, d], in the eigenbasis of `expected`, where errors of different entries are hardly
        correlated; `diagonal`: the variances alone."""
        weights, vectors = np.linalg.eigh(expected)
        turned = np.ascontiguousarray((values @ vectors).T)
        d, count = turned.shape
        mean, deviation, skewness = (np.zeros((d, d)) for _ in range(3))
        for i in range(d):
            for j in range(i if diagonal else 0, i + 1):
                products = turned[i] * turned[j]
                mean[i, j] = np.mean(products)
                products -= mean[i, j]
                squares = products * products
                deviation[i, j] = math.sqrt(float(np.sum(squares)) / (count - 1))
                skewness[i, j] = float(squares @ products) / count / deviation[i, j] ** 3
        return cls(vectors, weights, count, mean, deviation, skewness)

    def z(self, i: int, j: int, value: float) -> tuple[float, float]:
        """(standard error, z) of entry i, j against `value`, as `zscores.z_sample_mean`."""
        n = self.count
        error = float(self.deviation[i, j]) / math.sqrt(n)
        t = clip((float(self.mean[i, j]) - value) / error)
        g = float(self.skewness[i, j]) / math.sqrt(n)
        if abs(t) > 1e3:
            return error, t
        return error, z_student(t + g * (t * t / 3 + 1 / 6) + g * g * t**3 / 27, n - 1)


def covariance_rows(
    quantity: str, where: str, seen: Second, expected: Array, leading: Array | None = None
) -> Iterator[Row]:
    """Rows "variance ..." and "correlation ..." of every entry against `expected` float64[d, d], known mean of 0.

    The errors are those of means of R products: nothing is assumed about the law. Off the diagonal the entry is given in
    units of the two expected deviations.
    """
    turn = seen.vectors.T @ expected @ seen.vectors
    beside = None if leading is None else seen.vectors.T @ leading @ seen.vectors
    for i in range(len(turn)):
        for j in range(i + 1):
            if seen.deviation[i, j] == 0:
                continue
            error, z = seen.z(i, j, float(turn[i, j]))
            unit = 1.0 if i == j else math.sqrt(seen.weights[i] * seen.weights[j])
            words = f"direction {i + 1}" if i == j else f"directions {j + 1} and {i + 1}"
            lead = None if beside is None or i != j else float(beside[i, i])
            name = f"{'variance' if i == j else 'correlation'} {quantity}"
            value, predicted = float(seen.mean[i, j]), float(turn[i, j])
            if i != j and abs(predicted) < 1e-12 * unit:
                predicted = 0.0
            yield Row(name, f"{where}, {words}", value / unit, error / unit, predicted / unit, z, lead)

"""Rows that several entries need."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fastsgd.analysis import rows as analysis_rows
from fastsgd.analysis.arms import paired_row
from fastsgd.analysis.combined import covariance_row, exact_risk_row, sample_risk_row
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.scatter import size_scatter
from fastsgd.analysis.steps import moment_rows, risk_row
from fastsgd.experiments.base import Case, Row
from fastsgd.theory.statistics import sidak_z


def from_analysis(row: analysis_rows.Row, where: str = "", leading: float | None = None) -> Row:
    """A row of `fastsgd ratio` as a row of an experiment; `where` stands before its arm and step."""
    step = "" if row.step is None else f"step {row.step}"
    arm = "" if row.arm == "main" else row.arm
    place = ", ".join(filter(None, (where, arm, step)))
    return Row(
        row.quantity, place, row.empirical, row.standard_error, row.predicted, row.z, leading, tested=row.in_verdict
    )


def label(case: Case, prediction: Prediction) -> str:
    """Case and arm in words."""
    arm = "" if prediction.model.arm == "main" else prediction.model.arm
    return ", ".join(filter(None, (case.label, arm)))


def risk_rows(
    prediction: Prediction, seen: Observed, where: str = "", steps: Sequence[int] | None = None
) -> Iterator[Row]:
    """Rows "risk" at recorded steps (or those of them in `steps`) whose risk is random, the leading plateau beside it."""
    leading = prediction.plateau()[1]
    for s, step in enumerate(prediction.steps):
        if (steps is None or int(step) in steps) and prediction.random[s] and seen.count[s] > 0:
            yield from_analysis(risk_row(prediction, seen, s), where, leading)


def all_steps(prediction: Prediction, seen: Observed, where: str = "", covariance: bool = True) -> Iterator[Row]:
    """Rows "risk (all steps)" and "covariance (all steps)": one scale factor each, what makes a few per cent visible."""
    usable = prediction.random & np.array([seen.whole(s) for s in range(len(prediction.steps))])
    index = np.flatnonzero(usable)
    if not len(index):
        return
    risk = exact_risk_row if prediction.gaussian else sample_risk_row
    yield from_analysis(risk(prediction, seen, index), where)
    if covariance:
        yield from_analysis(covariance_row(prediction, seen, index), where)


def shape_rows(prediction: Prediction, seen: Observed, where: str = "") -> Iterator[Row]:
    """Rows "covariance shape" (Mauchly's statistic of the whitened covariance) where there are replicates enough."""
    scatter = size_scatter(prediction, seen)
    for s in range(len(prediction.steps)):
        if prediction.random[s]:
            for row in moment_rows(prediction, seen, s, scatter[s]):
                if row.quantity == "covariance shape":
                    yield from_analysis(row, where)


def risk_ratios(
    predictions: Sequence[Prediction], observed: Sequence[Observed], where: str = "", steps: Sequence[int] | None = None
) -> Iterator[Row]:
    """Rows "risk ratio" of the first arm to the second, replicate by replicate: they share their draws."""
    (top, below), (above, under) = predictions[:2], observed[:2]
    for s, step in enumerate(top.steps):
        if (steps is None or int(step) in steps) and top.random[s] and below.random[s]:
            rho = float(top.risk[s] / below.risk[s])
            names = f"{top.model.arm}/{below.model.arm}"
            row = paired_row(names, "risk ratio", int(step), above.risk[:, s], under.risk[:, s], rho)
            lead = top.plateau()[1], below.plateau()[1]
            leading = lead[0] / lead[1] if lead[0] and lead[1] else None
            yield from_analysis(row, where, leading).but(quantity="risk ratio")


def certain(quantity: str, where: str, value: float, expected: float) -> Row:
    """Something that must hold exactly, such as a count: z is 0 or beyond every threshold."""
    z = 0.0 if value == expected else math.copysign(1e6, value - expected)
    return Row(quantity, where, float(value), 0.0, float(expected), z)


def slope_row(where: str, log_x: np.ndarray, measured: np.ndarray, predicted: np.ndarray, relative: np.ndarray) -> Row:
    """Slope of log y against log x, its exact prediction (slope of the predicted curve) and leading value -1.

    `measured`, `predicted` float64[s]; `relative` float64[s, s], covariance of the relative errors of `measured`. The
    error is that of the slope to first order in the errors.
    """
    centred = log_x - np.mean(log_x)
    weights = centred / float(centred @ centred)
    value, expected = float(weights @ np.log(measured)), float(weights @ np.log(predicted))
    # E log y = log E y - var/2: removed, so that few replicates do not shift the slope.
    value += 0.5 * float(weights @ np.diagonal(relative))
    error = math.sqrt(float(weights @ relative @ weights))
    return Row("slope", where, value, error, expected, (value - expected) / error, -1.0)


def published_threshold(count: int) -> float:
    """|z| that so many published numbers stay below with probability 1 - 1e-4."""
    return sidak_z(1e-4, count)

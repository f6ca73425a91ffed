"""Appendix B, Figure 10: inflating the noise by 1 + rho inflates every stationary variance by 1 + rho."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fastsgd.analysis.zscores import z_pearson3
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.marginals import Marginals, marginals
from fastsgd.experiments.view import View

SURROGATE = Part("inflation", {"quick": {"replicates": 96, "record.steps": [500, 3000]}}, split=True)
PROCESS = Part("inflation-ou", {"quick": {"replicates": 100, "record.steps": [10000, 40000]}}, split=True)
WHOLE, FIELDS = "time-averaged covariance", ("empirical", "standard_error")
SHOWN = 3  # coordinates in the figure and variances of single runs in the table


def inflation(view: View, case: Case) -> float:
    """1 + rho as it was simulated: tr G over that of the first arm."""
    first = view.of(case.part)[0]
    traces = [float(np.trace(c.run.problem(c.run.arms[0])["noise"])) for c in (case, first)]
    return traces[0] / traces[1]


def analyse(view: View) -> list[Row]:
    """Variances of chosen coordinates in every run; for every coordinate the slope in 1 + rho over all runs."""
    return [row for part in (SURROGATE, PROCESS) for row in _rows(view, part)]


def _rows(view: View, part: Part) -> Iterator[Row]:
    cases = view.of(part)
    factors = np.array([inflation(view, case) for case in cases])
    found = [marginals(view, case) for case in cases]
    for case, seen in zip(cases, found, strict=True):
        for i in _chosen(len(seen.value)):
            yield seen.row(i, f"{part.spec}, {case.label}").but(tested=False)
    yield from _linear(view, part)
    if len(cases) > 1:
        for i in range(len(found[0].value)):
            yield _slope(f"{part.spec}, variance {i + 1}", i, factors, found)


def _linear(view: View, part: Part) -> Iterator[Row]:
    """The whole covariance (its size, whitened) of every run over its prediction, against the mean of that over all runs.

    What the runs have in common is in the slopes; what is left shows whether the size is linear in 1 + rho.
    """
    sizes = [(case, row) for case in view.of(part) for row in view.averages(case) if row.quantity == WHOLE]
    if len(sizes) < 2:
        return
    value, error = (np.array([getattr(row, name) / row.predicted for _, row in sizes]) for name in FIELDS)
    precision = 1 / error**2
    mean, variance = float(precision @ value) / float(np.sum(precision)), 1 / float(np.sum(precision))
    for (case, row), one, own in zip(sizes, value, error, strict=True):
        spread = math.sqrt(own**2 - variance)
        yield row.but(
            quantity="covariance / (1 + rho), of its mean", where=f"{part.spec}, {case.label}", empirical=one / mean,
            standard_error=spread, predicted=1.0, z=(one - mean) / spread, leading=1.0,
        )  # fmt: skip


def _slope(where: str, i: int, factors: np.ndarray, found: list[Marginals]) -> Row:
    """Slope of variance i in 1 + rho, through 0, by weighted least squares; its exact and leading values likewise."""
    expected = np.array([seen.expected[i] for seen in found])
    error = np.array([seen.error[i] for seen in found])
    weight = (factors / error**2) / float(np.sum((factors / error) ** 2))
    value = float(weight @ np.array([seen.value[i] for seen in found]))
    predicted, deviation = float(weight @ expected), math.sqrt(float(weight**2 @ error**2))
    third = float((weight * error) ** 3 @ np.array([seen.skewness[i] for seen in found]))
    z = z_pearson3((value - predicted) / deviation, third / deviation**3)
    leading = float(weight @ np.array([seen.leading[i] for seen in found]))
    return Row("slope in 1 + rho", where, value, deviation, predicted, z, leading)


def _chosen(d: int) -> list[int]:
    return sorted({round(k) for k in np.linspace(0, d - 1, min(SHOWN, d))})


def _not_inflated(view: View) -> list[Row]:
    """The slopes, had rho no effect: every run predicted with the noise of the first."""
    rows = []
    for part in (SURROGATE, PROCESS):
        cases = view.of(part)
        factors, found = np.array([inflation(view, c) for c in cases]), [marginals(view, c) for c in cases]
        flat = [seen.scaled(1 / factor) for seen, factor in zip(found, factors, strict=True)]
        rows += [_slope(f"{part.spec}, variance {i + 1}", i, factors, flat) for i in range(len(found[0].value))]
    return rows


def draw(view: View) -> Drawn:
    """Variances over the prediction at rho = 0 against 1 + rho, for both problems."""
    figure, axes = pictures.sheet(1, 2, (9.0, 4.2), sharey=True)
    drawn = Drawn(figure, "Stationary variances, in units of their prediction at rho = 0, against 1 + rho.")
    for axis, part, title in zip(axes[0], (SURROGATE, PROCESS), ("surrogate", "OU, two dimensions"), strict=True):
        cases = view.of(part)
        factors = np.array([inflation(view, case) for case in cases])
        found = [marginals(view, case) for case in cases]
        for index, i in enumerate(_chosen(len(found[0].value))):
            unit = found[0].expected[i]
            value, error, expected = (
                np.array([getattr(seen, n)[i] for seen in found]) / unit for n in ("value", "error", "expected")
            )
            offset = factors + 0.02 * (index - 1)
            pictures.series(
                drawn, axis, title, index, f"coordinate {i + 1}", offset, value, error, expected, (factors, expected)
            )
        axis.set_title(title)
        axis.set_xlabel(r"$1 + \rho$")
        pictures.legend(axis)
    axes[0, 0].set_ylabel(r"variance / prediction at $\rho = 0$")
    return drawn


ENTRY = Entry(
    name="inflation",
    title="Variance inflation",
    paper="App. B, Fig 10",
    claim="Inflating the noise covariance by 1 + rho inflates the whole stationary covariance, so every marginal variance, by "
    "1 + rho.",
    ran="Constant-step SGD on the surrogate and the OU process in two dimensions for every rho, draws of their own; time "
    "averages of all variances.",
    parts=(SURROGATE, PROCESS),
    analyse=analyse,
    draw=draw,
    controls=(
        Control("no inflation", "slopes predicted with the noise of rho = 0 in every run", rows=_not_inflated),
        controls.one_more(),
        controls.isotropic(),
    ),
)

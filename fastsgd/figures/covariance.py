"""Measured against predicted variance of every coordinate at the last recorded step, and their ratio below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.ratios import Evaluation
from fastsgd.errors import InputError
from fastsgd.figures import labels
from fastsgd.figures.style import look, panels

Array = NDArray[np.float64]


def draw(evaluations: Sequence[Evaluation]) -> Any:
    """A column of two panels for each run."""
    figure, axes = panels(2, len(evaluations), (3.1, 2.1))
    for column, evaluation in enumerate(evaluations):
        _run(axes[0, column], axes[1, column], evaluation)
    return figure


def _run(top: Any, below: Any, evaluation: Evaluation) -> None:
    if evaluation.report.replicates < 2:
        raise InputError(f"{evaluation.report.run} has 1 replicate, which has no covariance; run with replicates >= 2")
    lowest: list[float] = []
    highest: list[float] = []
    for index, (prediction, seen) in enumerate(zip(evaluation.predictions, evaluation.observed, strict=True)):
        style = look(index)
        expected, value = np.diagonal(prediction.covariance[-1]), np.diagonal(seen.covariance[-1])
        shown = np.isfinite(expected) & (expected > 0) & np.isfinite(value)
        order = np.argsort(expected[shown])
        expected, value = expected[shown][order], value[shown][order]
        if not len(expected):
            continue
        lowest.append(expected[0])
        highest.append(expected[-1])
        relative = 2 * _errors(prediction, seen)[shown][order] / expected
        marks = {"color": style.color, "marker": style.marker, "linestyle": "none", "markerfacecolor": "none"}
        top.errorbar(
            expected, value, yerr=relative * expected, elinewidth=0.7, label=labels.plain(prediction.model.arm), **marks
        )
        if prediction.gaussian:
            below.plot(expected, value / expected, **marks)
            below.axhspan(1 - relative[0], 1 + relative[0], color=style.color, alpha=0.1, linewidth=0)
        else:
            below.errorbar(expected, value / expected, yerr=relative, elinewidth=0.7, **marks)
    if not lowest:
        raise InputError(f"{evaluation.report.run} has no predicted variance at its last step; plot --kind risk")
    end = (min(lowest), max(highest) * 1.0001)
    top.axline((end[0], end[0]), (end[1], end[1]), color="black", linewidth=0.8)
    top.set_title(labels.title(evaluation))
    top.set_xscale("log")
    top.set_yscale("log")
    top.set_ylabel("measured variance")
    below.axhline(1, color="black", linewidth=0.8)
    below.set_xlabel(f"predicted variance of a coordinate at step {evaluation.predictions[0].steps[-1]}")
    below.set_ylabel("measured / predicted")
    labels.legend(top, below, "a marker a coordinate,  bars and bands: ± 2 s.e.", len(evaluation.predictions))


def _errors(prediction: Prediction, seen: Observed) -> Array:
    """Standard error of the measured variance of each coordinate at the last step, float64[d].

    From the predicted variance where the law is Gaussian, else from the scatter of the replicates.
    """
    if prediction.gaussian:
        found: Array = np.diagonal(prediction.covariance[-1]) * np.sqrt(2 / max(int(seen.count[-1]) - 1, 1))
        return found
    states = seen.final[np.isfinite(seen.final).all(axis=1)]
    squares = (states - states.mean(axis=0)) ** 2
    errors: Array = np.std(squares, axis=0, ddof=1) / np.sqrt(len(states))
    return errors

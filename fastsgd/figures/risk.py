"""Mean risk against the step with its prediction, and measured/predicted below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.ratios import Evaluation
from fastsgd.figures import labels
from fastsgd.figures.style import Look, look, panels

LINE_POINTS = 160
LINE_UP_TO = 100.0  # predicted risk drawn, in units of the largest measured one: an unstable one soon leaves every axis
LINEAR_UP_TO = 4.0  # largest over smallest risk that a linear axis still shows well
DODGE = 0.01  # between arms, of the width of the axis: their error bars must not hide each other


def draw(evaluations: Sequence[Evaluation]) -> Any:
    """A column of two panels for each run."""
    figure, axes = panels(2, len(evaluations), (3.1, 2.1))
    for column, evaluation in enumerate(evaluations):
        top, below = axes[0, column], axes[1, column]
        top.set_xscale("log")
        arms, positive = len(evaluation.predictions), [k for k in evaluation.predictions[0].steps if k > 0]
        apart = DODGE * max(1.0, np.log(positive[-1] / positive[0])) if positive else 0.0
        for index, prediction in enumerate(evaluation.predictions):
            _arm(top, below, evaluation, prediction, look(index), float(np.exp(apart * (index - (arms - 1) / 2))))
        top.set_title(labels.title(evaluation))
        top.set_ylabel(labels.risk_axis(evaluation))
        if _spread(evaluation) > LINEAR_UP_TO:
            top.set_yscale("log")
        else:
            top.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
        below.axhline(1, color="black", linewidth=0.8)
        below.set_ylabel("measured / predicted")
        below.set_xlabel("step k")
        labels.legend(top, below, "line: predicted,  marker: measured,  bars and bands: ± 2 s.e.", arms)
    return figure


def _spread(evaluation: Evaluation) -> float:
    """Largest over smallest positive risk in the figure."""
    rows = [row for row in evaluation.report.rows if row.quantity == "risk" and row.step]
    values = np.asarray([(row.empirical, row.predicted) for row in rows]).ravel()
    values = np.log(values[np.isfinite(values) & (values > 0)])
    return float(np.exp(min(np.ptp(values), 700.0))) if len(values) else 1.0


def line_steps(prediction: Prediction) -> NDArray[np.int64]:
    """Recorded steps > 0 and log-spaced ones between, int64[n]: a line that shows the transient."""
    steps = prediction.steps[prediction.steps > 0]
    if len(steps) < 2:
        return steps
    between = np.rint(np.geomspace(steps[0], steps[-1], LINE_POINTS)).astype(np.int64)
    return np.union1d(steps, between)


def _arm(top: Any, below: Any, evaluation: Evaluation, prediction: Prediction, style: Look, dodge: float) -> None:
    arm = prediction.model.arm
    rows = [r for r in evaluation.report.rows if (r.arm, r.quantity) == (arm, "risk") and r.step]
    rows = [r for r in rows if np.isfinite(r.predicted) and r.predicted > 0]
    line = Prediction.of(prediction.model, line_steps(prediction))
    highest = LINE_UP_TO * max((row.empirical for row in rows), default=np.inf)
    shown = np.isfinite(line.risk) & (line.risk > 0) & (line.risk <= highest)
    top.plot(line.steps[shown], line.risk[shown], color=style.color, linestyle=style.line)
    if not rows:
        return
    step = np.asarray([r.step for r in rows], dtype=np.float64)
    shifted = step * dodge
    value, error = np.asarray([(r.empirical, r.standard_error) for r in rows]).T
    expected = np.asarray([r.predicted for r in rows])
    top.errorbar(
        shifted, value, yerr=2 * error, color=style.color, marker=style.marker, linestyle="none", capsize=2,
        markerfacecolor="white",
    )  # fmt: skip
    # An empty handle shows line and marker of the arm together in the legend.
    top.plot(
        [], [], color=style.color, marker=style.marker, linestyle=style.line, markerfacecolor="white",
        label=labels.plain(arm),
    )  # fmt: skip
    relative = 2 * error / expected
    below.fill_between(step, 1 - relative, 1 + relative, color=style.color, alpha=0.1, linewidth=0)
    for side in (-1, 1):
        below.plot(step, 1 + side * relative, color=style.color, linestyle=style.line, linewidth=0.5)
    below.plot(
        shifted, value / expected, color=style.color, marker=style.marker, linestyle=style.line, linewidth=0.6,
        markerfacecolor="white",
    )  # fmt: skip

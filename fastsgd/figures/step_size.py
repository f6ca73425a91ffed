"""Measured/predicted risk at the last recorded step against the step size of each arm, extrapolated to step size 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.arms import LIMIT
from fastsgd.analysis.ratios import Evaluation
from fastsgd.analysis.rows import Row
from fastsgd.errors import InputError
from fastsgd.figures import labels
from fastsgd.figures.style import look, panels


def draw(evaluations: Sequence[Evaluation]) -> Any:
    """A panel for each run."""
    figure, axes = panels(1, len(evaluations), (3.8,))
    for column, evaluation in enumerate(evaluations):
        _run(axes[0, column], evaluation)
    return figure


def _run(panel: Any, evaluation: Evaluation) -> None:
    last = int(evaluation.predictions[0].steps[-1])
    rows = {row.arm: row for row in evaluation.report.rows if row.quantity == "risk" and row.step == last}
    sizes = np.asarray([p.model.schedule.largest() for p in evaluation.predictions])
    if len(set(sizes)) < 2 or len(rows) < len(sizes):
        raise InputError(f"{evaluation.report.run} has no arms of different step.size to draw; plot --kind risk")
    points = [rows[p.model.arm] for p in evaluation.predictions]
    ratios = np.asarray([row.empirical / row.predicted for row in points])
    for index, (size, row, ratio) in enumerate(zip(sizes, points, ratios, strict=True)):
        _point(panel, index, size, ratio, row.standard_error / row.predicted, row.arm)
    limit = next((r for r in evaluation.report.rows if (r.quantity, r.step) == (f"risk {LIMIT}", last)), None)
    if limit is not None:
        _extrapolation(panel, sizes, ratios, limit)
    panel.axhline(1, color="black", linewidth=0.8)
    panel.set_xlim(-0.04 * sizes.max(), 1.06 * sizes.max())
    panel.set_title(labels.title(evaluation))
    panel.set_xlabel(r"step size $\eta$")
    panel.set_ylabel(f"measured / frozen-noise risk (step {last})")
    labels.legend(panel, panel, "bars: ± 2 s.e.,  dashes: polynomial through the arms", len(sizes) + 1)


def _point(panel: Any, index: int, size: float, ratio: float, error: float, arm: str) -> None:
    style = look(index)
    panel.errorbar(
        [size], [ratio], yerr=[2 * error], color=style.color, marker=style.marker, linestyle="none", capsize=2,
        markerfacecolor="white", label=labels.plain(arm),
    )  # fmt: skip


def _extrapolation(panel: Any, sizes: Any, ratios: Any, limit: Row) -> None:
    grid = np.linspace(0, sizes.max(), 100)
    curve = np.polynomial.Polynomial.fit(sizes, ratios, len(sizes) - 1)
    panel.plot(grid, curve(grid), color="#777777", linewidth=0.8, linestyle="--")
    panel.errorbar(
        [0], [limit.empirical], yerr=[2 * limit.standard_error], color="black", marker="*", markersize=8,
        linestyle="none", capsize=2, label=r"extrapolated to $\eta = 0$",
    )  # fmt: skip

"""Drawing aids: a series is a predicted line, measured markers with error bars, and their numbers for the CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsgd.experiments.base import Drawn
from fastsgd.figures.style import look

BARS = 2.0  # standard errors


def sheet(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A figure of `size` inches and its axes [rows, columns]."""
    import matplotlib.figure

    made = matplotlib.figure.Figure(figsize=size)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def series(
    drawn: Drawn,
    axis: Any,
    panel: str,
    index: int,
    label: str,
    x: Sequence[float] | np.ndarray,
    measured: Sequence[float] | np.ndarray,
    error: Sequence[float] | np.ndarray,
    predicted: Sequence[float] | np.ndarray,
    line: tuple[Any, Any] | None = None,
    dodge: float = 1.0,
    second: bool = False,
) -> None:
    """Markers with bars of two standard errors and a line: through the predictions at x, or `line` = (x, y).

    Series number `index` has its own colour, marker and line. `dodge` multiplies x of the markers, so that bars of two
    series do not hide each other. `second`: of two series of one index, that with filled markers and a dotted line.
    """
    style = look(index)
    face, dashes = (style.color, ":") if second else ("none", style.line)
    x, y = np.asarray(x, dtype=float), np.asarray(measured, dtype=float)
    at = (x, np.asarray(predicted, dtype=float)) if line is None else line
    axis.plot(at[0], at[1], color=style.color, linestyle=dashes)
    bars = BARS * np.asarray(error, dtype=float)
    axis.errorbar(
        x * dodge, y, yerr=bars, color=style.color, marker=style.marker, markerfacecolor=face, linestyle="none",
        elinewidth=0.8, capsize=1.5, label=label,
    )  # fmt: skip
    record(drawn, panel, label, x, y, error, predicted)


def record(drawn: Drawn, panel: str, label: str, x: Any, measured: Any, error: Any, predicted: Any) -> None:
    """Put numbers of a figure into its CSV."""
    rows = zip(np.ravel(x), np.ravel(measured), np.ravel(error), np.ravel(predicted), strict=True)
    drawn.points += [(panel, label, *(float(v) for v in row)) for row in rows]


def legend(axis: Any, columns: int = 1, **options: Any) -> None:
    """A legend without a frame."""
    axis.legend(frameon=False, ncols=columns, **options)

"""Cells of a sweep: mean risk at the last recorded step against a swept key, and measured/predicted below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.sweep_data import Sweep
from fastsgd.errors import InputError
from fastsgd.figures import labels
from fastsgd.figures.style import look, panels

MOST_LINES = 14


def draw(sweep: Sweep, key: str | None = None) -> Any:
    """A column of two panels; a line for each arm and combination of the other keys' values.

    Args:
        key: the key of the abscissa; default: the first with more than one number.
    """
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sweep.rows("risk"):
        if row["step"] is not None:
            last[row["cell"], row["arm"]] = row
    rows = list(last.values())
    key = key or _abscissa(sweep.keys, rows)
    if key not in sweep.keys:
        raise InputError(f"{key} is not swept; keys are {', '.join(sweep.keys)}")
    lines: dict[str, list[dict[str, Any]]] = {}
    arms = len({row["arm"] for row in rows})
    for row in rows:
        lines.setdefault(_name(sweep.keys, key, row, arms), []).append(row)
    if len(lines) > MOST_LINES:
        raise InputError(
            f"the sweep has {len(lines)} lines over {key}; sweep fewer values of the other keys, or --full tables"
        )
    figure, axes = panels(2, 1, (3.1, 2.1))
    top, below = axes[0, 0], axes[1, 0]
    for index, (name, members) in enumerate(lines.items()):
        _line(top, below, sorted(members, key=lambda row: row[key]), key, name, index)
    values = [row[key] for row in rows]
    if min(values) > 0 and max(values) > 4 * min(values):
        top.set_xscale("log")
    risks = [row["empirical"] for row in rows if row["empirical"] > 0]
    if risks and max(risks) > 4 * min(risks):
        top.set_yscale("log")
    top.set_title(f"{labels.plain(sweep.name)}:  {len(sweep.finished)} of {len(sweep)} cells")
    top.set_ylabel("mean risk at the last step")
    below.axhline(1, color="black", linewidth=0.8)
    below.set_ylabel("measured / predicted")
    below.set_xlabel(key)
    labels.legend(top, below, "line: predicted,  marker: measured,  bars: ± 2 s.e.", len(lines))
    return figure


def _abscissa(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    for key in keys:
        values = {row[key] for row in rows if isinstance(row[key], (int, float)) and not isinstance(row[key], bool)}
        if len(values) > 1 and all(isinstance(row[key], (int, float)) for row in rows):
            return key
    raise InputError("no swept key has several numbers to draw against; plot the cells' files instead")


def _name(keys: Sequence[str], abscissa: str, row: Mapping[str, Any], arms: int) -> str:
    parts = [f"{key.rpartition('.')[2]} = {row[key]}" for key in keys if key != abscissa]
    return ", ".join([*parts, *([row["arm"]] if arms > 1 else [])]) or row["arm"]


def _line(top: Any, below: Any, rows: Sequence[Mapping[str, Any]], key: str, name: str, index: int) -> None:
    style = look(index)
    x, value, error, expected = np.asarray(
        [(row[key], row["empirical"], row["standard_error"], row["predicted"]) for row in rows], dtype=np.float64
    ).T
    shown = np.isfinite(expected) & (expected > 0)
    top.plot(x[shown], expected[shown], color=style.color, linestyle=style.line)
    look_of = {"color": style.color, "marker": style.marker, "linestyle": "none", "markerfacecolor": "white"}
    top.errorbar(x, value, yerr=2 * error, capsize=2, label=labels.plain(name), **look_of)
    x, ratio, relative = x[shown], value[shown] / expected[shown], error[shown] / expected[shown]
    below.errorbar(x, ratio, yerr=2 * relative, capsize=2, **look_of)

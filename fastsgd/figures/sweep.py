"""Cells of a sweep: mean risk at the last recorded step against a swept key, and measured/predicted below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.sweep_data import Sweep
from fastsgd.errors import InputError
from fastsgd.figures import labels
from fastsgd.figures.style import look, panels, spread

MOST_LINES = 14
BARS = "line: predicted,  marker: measured,  bars: ± 2 s.e."


def draw(sweep: Sweep, key: str | None = None) -> Any:
    """A column of two panels; a line for each arm and combination of the other keys' values.

    Where that would be more than 14 lines, or no key has numbers to draw against, the cells stand side by side in the
    order of the folder's index.

    Args:
        key: the key of the abscissa; default: that with the most values, all of them numbers.

    Raises:
        InputError: the key is not swept, has values that are no numbers, or would give more than 14 lines; or no cell
            is finished.
    """
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sweep.rows("risk"):
        if row["step"] is not None:
            last[row["cell"], row["arm"]] = row
    rows = list(last.values())
    if not rows:
        raise InputError(f"{sweep.name} has no finished cell to draw")
    over = key or _abscissa(sweep.keys, rows)
    lines = {} if over is None else _lines(sweep.keys, over, rows)
    if key is not None:
        _check(sweep.keys, key, rows, lines)
    figure, axes = panels(2, 1, (3.1, 2.1))
    top, below = axes[0, 0], axes[1, 0]
    if over is None or len(lines) > MOST_LINES:
        _side_by_side(top, below, rows)
    else:
        _against(top, below, over, lines)
    risks = [row["empirical"] for row in rows if row["empirical"] > 0]
    if risks and max(risks) > 4 * min(risks):
        top.set_yscale("log")
    top.set_title(f"{labels.plain(sweep.name)}:  {len(sweep.finished)} of {len(sweep)} cells")
    top.set_ylabel("mean risk at the last step")
    below.axhline(1, color="black", linewidth=0.8)
    below.set_ylabel("measured / predicted")
    return figure


def _against(top: Any, below: Any, key: str, lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for index, (name, members) in enumerate(lines.items()):
        shift = spread(below, index, len(lines))
        _line(top, below, sorted(members, key=lambda row: row[key]), key, name, index, shift)
    values = [row[key] for members in lines.values() for row in members]
    if min(values) > 0 and max(values) >= 4 * min(values):
        top.set_xscale("log")
    below.set_xlabel(key)
    labels.legend(top, below, BARS, len(lines))


def _side_by_side(top: Any, below: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """One column a cell, one look an arm."""
    place = {cell: number for number, cell in enumerate(dict.fromkeys(row["cell"] for row in rows), 1)}
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    for index, arm in enumerate(arms):
        members = [{**row, "place": place[row["cell"]]} for row in rows if row["arm"] == arm]
        _line(top, below, members, "place", arm, index, spread(below, index, len(arms)))
    below.set_xlabel("cell, in the order of the sweep")
    below.xaxis.get_major_locator().set_params(integer=True)
    labels.legend(top, below, BARS, len(arms))


def _check(keys: Sequence[str], key: str, rows: Sequence[Mapping[str, Any]], lines: Mapping[str, Any]) -> None:
    if key not in keys:
        raise InputError(f"{key} is not swept; keys are {', '.join(keys)}")
    if not all(_is_number(row[key]) for row in rows):
        raise InputError(f"{key} has values that are no numbers; draw over {_abscissa(keys, rows) or 'no key'}")
    if len(lines) > MOST_LINES:
        raise InputError(
            f"over {key} the sweep has {len(lines)} lines, more than the {MOST_LINES} that can be told apart; "
            f"draw over another of {', '.join(keys)}"
        )


def _abscissa(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The key with the most values among those whose values are numbers; the earliest of equals."""
    values = {key: {row[key] for row in rows} for key in keys if all(_is_number(row[key]) for row in rows)}
    several = [key for key in values if len(values[key]) > 1]
    return max(several, key=lambda key: len(values[key]), default=None)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _lines(keys: Sequence[str], over: str, rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by the label of their line: the values of the other keys, and the arm where there are several."""
    arms = len({row["arm"] for row in rows})
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parts = [f"{key.rpartition('.')[2]} = {row[key]}" for key in keys if key != over]
        lines.setdefault(", ".join([*parts, *([row["arm"]] if arms > 1 else [])]) or row["arm"], []).append(row)
    return lines


def _line(top: Any, below: Any, rows: Sequence[Mapping[str, Any]], key: str, name: str, index: int, shift: Any) -> None:
    style = look(index)
    x, value, error, expected = np.asarray(
        [(row[key], row["empirical"], row["standard_error"], row["predicted"]) for row in rows], dtype=np.float64
    ).T
    shown = np.isfinite(expected) & (expected > 0)
    top.plot(x[shown], expected[shown], color=style.color, linestyle=style.line)
    look_of = {"color": style.color, "marker": style.marker, "linestyle": "none", "markerfacecolor": "white"}
    top.errorbar(x, value, yerr=2 * error, capsize=2, label=labels.plain(name), **look_of)
    x, ratio, relative = x[shown], value[shown] / expected[shown], error[shown] / expected[shown]
    below.errorbar(x, ratio, yerr=2 * relative, capsize=2, transform=shift, **look_of)
    # What is drawn with a transform of its own does not count for the limits.
    below.update_datalim(np.column_stack([np.tile(x, 2), np.concatenate([ratio - 2 * relative, ratio + 2 * relative])]))
    below.autoscale_view()

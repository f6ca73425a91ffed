"""Experiment 2, Figures 5 and 6: rotating diffusion against the trace-matched isotropic surrogate."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Drawn, Entry, Part, Row
from fastsgd.experiments.process import ellipse, leading_entry, moments, stationary, stationary_under
from fastsgd.experiments.view import View
from fastsgd.figures.style import look

SHORT = {"replicates": 6, "record.steps": list(range(2000, 152000, 2000))}
LARGE = {"replicates": 600}
PARTS = tuple(
    Part(spec, {"quick": SHORT, "large": LARGE}, split=True) for spec in ("ou-rotation", "ou-rotation-isotropic")
)
KINDS = ("geometric", "isotropic")


def analyse(view: View) -> list[Row]:
    """Every second moment at every angle, for both noises; the covariance of the surrogate is 0 at all angles."""
    return [
        row.but(where=f"{kind}, {case.label} degrees", leading=leading_entry(view, case, i, j))
        for part, kind in zip(PARTS, KINDS, strict=True)
        for case in view.of(part)
        for (i, j), row in moments(view, case)
    ]


def draw(view: View) -> list[Drawn]:
    """Lyapunov ellipses of all angles together; then measured on predicted ellipses, a panel an angle."""
    return [_lyapunov(view), _measured(view)]


def _lyapunov(view: View) -> Drawn:
    figure, axes = pictures.sheet(1, 2, (5.4, 4.2), sharex=True, sharey=True)
    drawn = Drawn(figure, "95 % level sets of the Lyapunov solution: tilting with the noise, and not.", stem="lyapunov")
    for axis, part, kind in zip(axes[0], PARTS, KINDS, strict=True):
        for index, case in enumerate(view.of(part)):
            style, border = look(index), ellipse(stationary(view, case))
            axis.plot(border[:, 0], border[:, 1], color=style.color, linestyle=style.line, label=f"{case.label}°")
            nothing = np.full(len(border[::8]), np.nan)
            pictures.record(drawn, kind, f"{case.label} degrees", border[::8, 0], nothing, nothing, border[::8, 1])
        axis.set_title(kind)
        axis.set_xlabel("coordinate 1")
        axis.set_aspect("equal")
    axes[0, 0].set_ylabel("coordinate 2")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False)
    return drawn


def _measured(view: View) -> Drawn:
    pairs = list(zip(*(view.of(part) for part in PARTS), strict=False))
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = pictures.sheet(rows, columns, (1.9 * columns, 2.5 * rows + 0.6), sharex=True, sharey=True)
    caption = (
        "Ellipses of the measured covariance (markers) on those of the Lyapunov equation (lines), 95 %; thin grey: each "
        "single seed, from its recorded states; dots: those states."
    )
    drawn = Drawn(figure, caption, stem="measured")
    for axis, cases in zip(axes.flat, pairs, strict=False):
        for index, (kind, case) in enumerate(zip(KINDS, cases, strict=True)):
            _panel(drawn, axis, view, case, index, kind)
        axis.set_title(f"{cases[0].label}°")
        axis.set_aspect("equal")
    for axis in axes[-1]:
        axis.set_xlabel("coordinate 1")
    for axis in axes[:, 0]:
        axis.set_ylabel("coordinate 2")
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return drawn


def _panel(drawn: Drawn, axis: Any, view: View, case: Case, index: int, kind: str) -> None:
    style, d = look(index), 2
    found = dict(moments(view, case))
    value, error, expected = (np.empty((d, d)) for _ in range(3))
    for (i, j), row in found.items():
        for a, b in ((i, j), (j, i)):
            value[a, b], error[a, b], expected[a, b] = row.empirical, row.standard_error, row.predicted
    if index == 0:
        paths = case.run.trajectories(case.run.arms[0])[:6]
        for path in paths:
            border = ellipse(path[1:].T @ path[1:] / max(len(path) - 1, 1))
            axis.plot(border[:, 0], border[:, 1], color="#999999", linewidth=0.5)
        states = paths[:, 1::4].reshape(-1, d)
        axis.plot(states[:, 0], states[:, 1], ".", color="#bbbbbb", markersize=1.5)
    line, marks = ellipse(stationary_under(view.models(case)[0], view.models(case)[0].noise)), ellipse(value, 25)
    axis.plot(line[:, 0], line[:, 1], color=style.color, linestyle=style.line)
    axis.plot(
        marks[:, 0], marks[:, 1], color=style.color, marker=style.marker, markerfacecolor="none", linestyle="none",
        label=kind, markersize=3.5,
    )  # fmt: skip
    lower = np.tril_indices(d)
    entries = np.array([10 * (i + 1) + j + 1 for i, j in zip(*lower, strict=True)])
    pictures.record(drawn, f"{case.label} degrees", kind, entries, value[lower], error[lower], expected[lower])


ENTRY = Entry(
    name="ou-rotation",
    title="Rotating diffusion and its isotropic surrogate",
    paper="Exp 2, Figs 5-6",
    claim="The stationary covariance tilts with the noise, and its ellipses coincide with those of the Lyapunov equation; the "
    "trace-matched isotropic surrogate stays axis-aligned at every angle.",
    ran="Euler-Maruyama of (54) for both noises at every angle, draws of their own, a replicate a seed; time averages after a "
    "burn-in.",
    parts=PARTS,
    analyse=analyse,
    draw=draw,
    controls=(controls.isotropic(), controls.one_more()),
)

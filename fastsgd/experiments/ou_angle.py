"""Experiment 2, Figure 4: noise turned against the curvature moves stationary variance between the coordinates."""

from __future__ import annotations

import numpy as np

from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Drawn, Entry, Part, Row
from fastsgd.experiments.process import leading_entry, moments, stationary_under, turned
from fastsgd.experiments.view import View

OU = Part("ou-angle", {"quick": {"replicates": 100, "record.steps": [10000, 60000]}}, split=True)


def analyse(view: View) -> list[Row]:
    """Every second moment at every angle."""
    return [
        row.but(where=f"{case.label} degrees", leading=leading_entry(view, case, i, j))
        for case in view.of(OU)
        for (i, j), row in moments(view, case)
    ]


def draw(view: View) -> Drawn:
    """Both variances and the covariance against the angle, with the Lyapunov solution at every angle."""
    figure, axes = pictures.sheet(3, 1, (6.0, 6.4), sharex=True)
    drawn = Drawn(figure, "Stationary second moments against the angle of the noise: lines Lyapunov, markers measured.")
    cases = view.of(OU)
    angles = np.array([case.spec.problem.noise.angle for case in cases], dtype=float)
    line = np.linspace(angles.min(), angles.max(), 181)
    (model,) = view.models(cases[0])
    curve = np.array([stationary_under(model, turned(model.noise, a - angles[0])) for a in line])
    panels: dict[str, tuple[tuple[int, int], list[Row]]] = {}
    for case in cases:
        for place, row in moments(view, case):
            panels.setdefault(row.quantity, (place, []))[1].append(row)
    order = sorted(panels.items(), key=lambda item: (item[1][0][0] != item[1][0][1], item[0]))
    for index, (axis, (name, (place, rows))) in enumerate(zip(axes[:, 0], order, strict=False)):
        value, error, expected = (
            np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
        )
        pictures.series(
            drawn, axis, name, index, name, angles, value, error, expected, (line, curve[:, place[0], place[1]])
        )
        axis.set_ylabel(name)
    axes[-1, 0].set_xlabel("angle of the noise (degrees)")
    axes[-1, 0].set_xticks(angles[::2])
    return drawn


ENTRY = Entry(
    name="ou-angle",
    title="Curvature and noise at an angle",
    paper="Exp 2, Fig 4",
    claim="Turning an anisotropic noise against the curvature transfers stationary variance between the coordinates as the "
    "Lyapunov equation says, at the same scalar temperature.",
    ran="Euler-Maruyama of (54) at every angle with draws of its own; time averages of all second moments after a burn-in.",
    parts=(OU,),
    analyse=analyse,
    draw=draw,
    controls=(controls.isotropic(), controls.one_more()),
)

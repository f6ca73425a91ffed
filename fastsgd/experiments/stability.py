"""Proposition 5.13: the plateau is exact up to eta lambda_max = 2, and from there on there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastsgd.analysis.prediction import Prediction
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Drawn, Entry, Part, Row
from fastsgd.experiments.rows import certain, risk_rows
from fastsgd.experiments.view import View

EDGE = Part(
    "stability", {"quick": {"replicates": 64, "record.steps": [3, 30, 300, 3000, 8000]}}, split=True, unstable=True
)
LARGEST = 1e100  # predicted risk up to which a moment of an unstable run is compared
OVERFLOW = 700.0  # log of a coordinate beyond which it has surely left the range of numbers (1e308)


def sharpness(view: View, case: Case) -> float:
    """eta lambda_max as it was simulated."""
    hessian = case.run.problem(case.run.arms[0])["hessian"]
    return float(case.spec.step.size * np.linalg.eigvalsh(hessian)[-1])


def _name(view: View, case: Case) -> str:
    return f"eta lambda_max = {sharpness(view, case):.4g}"


def analyse(view: View) -> list[Row]:
    """Risks at recorded steps and time averages of every step size; whether runs diverge, and whether that is predicted."""
    return list(_rows(view))


def _rows(view: View) -> Iterator[Row]:
    for case in view.of(EDGE):
        (prediction,), (seen,) = view.predictions(case), view.observed(case)
        where = _name(view, case)
        with np.errstate(all="ignore"):
            fine = [int(k) for k, r in zip(prediction.steps, prediction.risk, strict=True) if r < LARGEST]
        for row in risk_rows(prediction, seen, where, steps=fine):
            yield row if prediction.stable else row.but(leading=None)
        if prediction.stable:
            for row in view.averages(case):
                if row.quantity == "time-averaged risk":
                    yield row.but(where=where, leading=prediction.plateau()[1])
        yield certain("replicates diverged", where, seen.diverged, seen.replicates if _explodes(view, case) else 0)
        yield certain("predicted stable", where, float(prediction.stable), float(_ratio_to_edge(prediction) < 1))


def _explodes(view: View, case: Case) -> bool:
    """Whether the prediction says that every replicate has overflowed at the last step."""
    (prediction,) = view.predictions(case)
    eta = float(prediction.model.largest_eta)
    values = np.abs(1 - eta * np.linalg.eigvalsh(prediction.model.hessian))
    return bool(np.log(values.max()) * float(prediction.steps[-1]) > OVERFLOW + 30.0)


def _ratio_to_edge(prediction: Prediction) -> float:
    """eta lambda_max / 2, rounding aside: 2 itself counts as the edge."""
    top = float(np.linalg.eigvalsh(prediction.model.hessian)[-1])
    return round(float(prediction.model.largest_eta) * top / 2, 12)


def draw(view: View) -> Drawn:
    """Plateau against eta lambda_max with its divergence at 2; the runs at and past the edge against the step."""
    figure, axes = pictures.sheet(1, 2, (9.4, 4.2))
    left, right = axes[0]
    drawn = Drawn(
        figure, "Plateau up to the edge of stability, in units of the leading order; growth at and past the edge."
    )
    x, value, error, expected, leading = [], [], [], [], []
    for case in view.of(EDGE):
        (prediction,) = view.predictions(case)
        level = prediction.plateau()[1]
        for row in view.averages(case) if prediction.stable else ():
            if row.quantity == "time-averaged risk" and level:
                x.append(sharpness(view, case))
                value.append(row.empirical / level)
                error.append(row.standard_error / level)
                expected.append(row.predicted / level)
                leading.append(level)
    line = np.concatenate([np.linspace(0.02, 1.9, 80), 2 - np.geomspace(0.1, 0.002, 40)])
    pictures.series(drawn, left, "plateau", 0, "time average", x, value, error, expected, (line, _curve(view, line)))
    left.axvline(2, color="black", linewidth=0.9, linestyle="--", label="edge")
    left.axhline(1, color="grey", linewidth=0.8, linestyle=":", label="leading order")
    left.set_yscale("log")
    left.set_xlabel(r"$\eta \lambda_{\max}$")
    left.set_ylabel("plateau / leading order")
    pictures.legend(left, loc="upper left")
    for index, case in enumerate(view.of(EDGE)[-4:]):
        _growth(drawn, right, view, case, index)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("step k")
    right.set_ylabel("risk")
    pictures.legend(right, loc="upper left", title=r"$\eta \lambda_{\max}$")
    return drawn


def _curve(view: View, line: np.ndarray) -> np.ndarray:
    """Exact plateau over its leading order at other step sizes."""
    from fastsgd.theory import lyapunov

    case = view.of(EDGE)[0]
    (model,) = view.models(case)
    sigma, top = model.gradient_covariance(), np.linalg.eigvalsh(model.hessian)[-1]
    arguments = (model.metric, model.hessian, sigma)
    pairs = [(v / top) for v in line]
    return np.array(
        [lyapunov.stationary_risk(*arguments, e) / lyapunov.continuous_stationary_risk(*arguments, e) for e in pairs]
    )


def _growth(drawn: Drawn, axis: Any, view: View, case: Case, index: int) -> None:
    last = int(case.run.steps[-1])
    line = np.unique(np.rint(np.geomspace(1, last, 120)).astype(np.int64))
    (prediction,), (path,), (seen,) = view.predictions(case), view.predictions(case, line.tolist()), view.observed(case)
    with np.errstate(all="ignore"):
        steps = [int(k) for k, r in zip(prediction.steps, prediction.risk, strict=True) if r < 1e6]
        keep = path.risk < 1e6
    rows = list(risk_rows(prediction, seen, steps=steps))
    at = [k for k, random in zip(prediction.steps, prediction.random, strict=True) if random and int(k) in steps]
    value, error, expected = (
        np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
    )
    name = _name(view, case).removeprefix("eta lambda_max = ")
    pictures.series(
        drawn, axis, "growth", index, name, np.array(at, dtype=float), value, error, expected,
        (line[keep], path.risk[keep]),
    )  # fmt: skip


def _notes(view: View) -> list[str]:
    found = []
    for case in view.of(EDGE):
        (prediction,), (seen,) = view.predictions(case), view.observed(case)
        if not prediction.stable:
            found.append(
                f"{_name(view, case)}: no stationary law is predicted (largest stable step "
                f"{prediction.largest_stable_step:.4g}, "
                f"step {case.spec.step.size:.4g}); {seen.diverged} of {seen.replicates} replicates left the range of numbers. "
                "fastsgd run refuses such a step unless it is asked for."
            )
    return found


ENTRY = Entry(
    name="stability",
    title="The edge of stability",
    paper="Prop 5.13",
    claim="The linear recursion has a stationary covariance, that of the discrete Lyapunov equation, if and only if "
    "eta lambda_max < 2.",
    ran="Direct SGD on the surrogate for eta lambda_max up to the edge and past it, draws of their own; "
    "risks at recorded steps, time averages; "
    "the unstable steps are run on purpose.",
    parts=(EDGE,),
    analyse=analyse,
    draw=draw,
    controls=(controls.wrong_step(), controls.one_more()),
    notes=_notes,
)

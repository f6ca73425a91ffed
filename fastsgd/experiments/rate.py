"""Experiment 4, Figure 7: the risk of a decaying step falls as 1/N with a constant of the geometry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Control, Drawn, Entry, Row
from fastsgd.experiments.decay import RATE, late, limit, sparse
from fastsgd.experiments.rows import all_steps, certain, risk_ratios, risk_rows, slope_row
from fastsgd.experiments.view import View
from fastsgd.theory import lyapunov, rates


def analyse(view: View) -> list[Row]:
    """Scaled risk at steps far apart, slopes, ratios of the arms, all steps together, the van Trees line."""
    return list(_rows(view))


def _rows(view: View) -> Iterator[Row]:
    case = view.case(RATE)
    predictions, observed = view.predictions(case), view.observed(case)
    for arm, (prediction, seen) in enumerate(zip(predictions, observed, strict=True)):
        yield from _scaled(prediction, seen, sparse(prediction, 30))
        for row in all_steps(prediction, seen):
            yield row.but(tested=row.tested and arm == 0)  # on shared draws the other arm repeats it
        index = late(prediction)
        if len(index) > 2:
            yield _slope(prediction, seen, index)
        above = [s for s in index if _scale(prediction, s) * prediction.risk[s] > _floor(prediction)]
        value = sum(_scale(prediction, s) * float(np.mean(seen.risk[:, s])) > _floor(prediction) for s in above)
        yield certain("steps above the van Trees line", prediction.model.arm, value, len(above))
    if len(predictions) > 1:
        yield from risk_ratios(
            predictions, observed, steps=[int(predictions[0].steps[s]) for s in late(predictions[0])]
        )


def _scale(prediction: Prediction, s: int) -> float:
    """N = b k."""
    return float(prediction.steps[s]) * prediction.model.spec.sampling.batch


def _scaled(prediction: Prediction, seen: Observed, index: Sequence[int]) -> Iterator[Row]:
    """N E r at chosen steps; leading order b tr(F V)."""
    constant = scaled_limit(prediction)
    by_step = {int(prediction.steps[s]): s for s in index}
    for row, step in zip(risk_rows(prediction, seen, steps=list(by_step)), by_step, strict=True):
        n = _scale(prediction, by_step[step])
        yield row.but(
            quantity="N E r", empirical=n * row.empirical, standard_error=n * row.standard_error,
            predicted=n * row.predicted, leading=constant,
        )  # fmt: skip


def scaled_limit(prediction: Prediction) -> float:
    """b tr(F V)."""
    model = prediction.model
    return float(model.spec.sampling.batch * np.sum(model.metric * limit(model)))


def constant_step_limit(prediction: Prediction) -> float:
    """b tr(F S) / eta of the constant step at leading order: tr(G)/2 if F = H."""
    model = prediction.model
    sigma = model.gradient_covariance()
    risk = lyapunov.continuous_stationary_risk(model.metric, model.hessian, sigma, 1.0)
    return float(model.spec.sampling.batch * risk)


def _floor(prediction: Prediction) -> float:
    """N times the van Trees line of the surrogate: tr(F I^-1), I = H G^-1 H the information of one oracle call."""
    model = prediction.model
    return rates.best_power_constant(model.hessian, model.noise, model.metric)


def _slope(prediction: Prediction, seen: Observed, index: Sequence[int]) -> Row:
    steps, risk = prediction.steps[index].astype(float), prediction.risk[index]
    measured = np.mean(seen.risk[:, index], axis=0)
    relative = prediction.risk_covariance(np.asarray(index)) / np.multiply.outer(risk, risk) / seen.replicates
    where = f"{prediction.model.arm}, steps {int(steps[0])} to {int(steps[-1])}"
    return slope_row(where, np.log(steps), measured, risk, relative)


def _constant_rows(view: View) -> list[Row]:
    """The scaled risk against the constant-step constant."""
    case, found = view.case(RATE), []
    for prediction, seen in zip(view.predictions(case), view.observed(case), strict=True):
        wrong = constant_step_limit(prediction)
        for row in _scaled(prediction, seen, sparse(prediction, 30)[-1:]):
            found.append(row.but(predicted=wrong, z=(row.empirical - wrong) / row.standard_error))
    return found


def draw(view: View) -> Drawn:
    """Risk against N on the left, N E r on the right with both constants."""
    case = view.case(RATE)
    figure, axes = pictures.sheet(1, 2, (9.4, 4.3))
    left, right = axes[0]
    drawn = Drawn(figure, "Risk of the decaying step against oracle calls N = bT, and N E r with its limits.")
    last = int(case.run.steps[-1])
    line = np.unique(np.rint(np.geomspace(1, last, 150)).astype(np.int64))
    paths = view.predictions(case, line.tolist())
    for index, (prediction, path, seen) in enumerate(
        zip(view.predictions(case), paths, view.observed(case), strict=True)
    ):
        rows = list(risk_rows(prediction, seen))
        steps = prediction.steps[prediction.random].astype(float)
        calls = steps * prediction.model.spec.sampling.batch
        value, error, expected = (
            np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
        )
        calls_line = line * float(prediction.model.spec.sampling.batch)
        arm, dodge = prediction.model.arm, 1 + 0.05 * (2 * index - 1)
        pictures.series(drawn, left, "risk", index, arm, calls, value, error, expected, (calls_line, path.risk), dodge)
        shown = line * 100 >= last
        keep = steps * 100 >= last
        pictures.series(
            drawn, right, "N E r", index, arm, calls[keep], (calls * value)[keep], (calls * error)[keep],
            (calls * expected)[keep], (calls_line[shown], (calls_line * path.risk)[shown]), dodge,
        )  # fmt: skip
        color = pictures.look(index).color
        right.axhline(scaled_limit(prediction), color=color, linewidth=0.7, linestyle=":")
    first = view.predictions(case)[0]
    calls_line = line * float(first.model.spec.sampling.batch)
    left.plot(
        calls_line, _floor(first) / calls_line, color="black", linewidth=0.8, linestyle="-.", label="van Trees line"
    )
    right.plot([], [], color="grey", linewidth=0.7, linestyle=":", label=r"limits $b\,\mathrm{tr}(FV)$")
    _inset(figure, right, view, first)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("oracle calls N")
        pictures.legend(axis)
    left.set_yscale("log")
    left.set_ylabel(r"risk  $\mathrm{E}\,\Delta' F \Delta$")
    right.set_ylabel(r"$N\,\mathrm{E}\,r$")
    return drawn


def _inset(figure: Any, axis: Any, view: View, first: Prediction) -> None:
    """The two constants told apart: limit of the decaying step, and that of the constant one."""
    inset = axis.inset_axes((0.6, 0.11, 0.37, 0.27))
    case = view.case(RATE)
    names, n = [], 0
    for index, (prediction, seen) in enumerate(zip(view.predictions(case), view.observed(case), strict=True)):
        style = pictures.look(index)
        for row in _scaled(prediction, seen, sparse(prediction, 30)[-1:]):
            inset.errorbar(
                [index], [row.empirical], yerr=[2 * row.standard_error], color=style.color, marker=style.marker,
                markerfacecolor="none", capsize=2,
            )  # fmt: skip
        names.append(prediction.model.arm[:5])
        n += 1
    inset.axhline(constant_step_limit(first), color="black", linewidth=0.9, linestyle="--")
    inset.set_title("constant-step constant: dashed", fontsize=7)
    inset.set_xticks(range(n), names, fontsize=7)
    inset.tick_params(axis="y", labelsize=7)
    inset.set_xlim(-0.6, n - 0.4)


def _notes(view: View) -> list[str]:
    found = []
    for prediction in view.predictions(view.case(RATE)):
        arm = prediction.model.arm
        found.append(
            f"{arm}: N E r tends to b tr(F V) = {scaled_limit(prediction):.4g}; the constant step has "
            f"{constant_step_limit(prediction):.4g} at leading order (tr(G)/2 for F = H), and no estimator stays below "
            f"tr(F H^-1 G H^-1) = {_floor(prediction):.4g}, the van Trees line of the surrogate's own information H G^-1 H."
        )
    return found


ENTRY = Entry(
    name="rate",
    title="1/N with a constant of the geometry",
    paper="Exp 4, Fig 7",
    claim="With a Robbins-Monro step the risk falls as 1/N; N E r tends to b tr(F V), V of the shifted Lyapunov equation, "
    "which differs from the constant-step constant.",
    ran="Direct SGD on the surrogate with eta_k = c/(k + k0), both noises on the same draws; risk at log-spaced steps against "
    "the exact recursion.",
    parts=(RATE,),
    analyse=analyse,
    draw=draw,
    controls=(
        controls.wrong_step(),
        controls.one_more(),
        Control("constant-step constant", "N E r at the last step compared with b tr(F S)/eta", rows=_constant_rows),
    ),
    notes=_notes,
)

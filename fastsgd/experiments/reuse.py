"""Proposition 4.5, Remark 4.4: plateaus of SGD that uses a fixed pool again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastsgd.experiments import controls, pictures, reshuffled
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.view import View
from fastsgd.figures.style import look

LINEAR = Part("reuse-linear", {"quick": {"replicates": 100}})
LOGISTIC = Part("reuse-logistic", {"quick": {"replicates": 100}})
RISK = "time-averaged risk"
WORDS = {"without-replacement": "without", "with-replacement": "with replacement", "reshuffle": "reshuffled"}


def analyse(view: View) -> list[Row]:
    """Time-averaged risk of every cell: least squares against its exact value, logistic in the limit of step size 0; risk of
    reshuffled epochs."""
    return [*_linear(view, view.of(LINEAR)), *_logistic(view), *reshuffled.rows(view, place)]


def _linear(view: View, cases: Sequence[Case], frozen: bool = False) -> Iterator[Row]:
    for case in cases:
        (prediction,) = view.predictions(case)
        for row in view.averages(case):
            if row.quantity == RISK:
                expected = prediction.frozen_plateau() if frozen else row.predicted
                assert expected is not None
                z = (row.empirical - expected) / row.standard_error if frozen else row.z
                leading = prediction.plateau()[1]
                yield row.but(where=f"least squares, {place(case)}", predicted=expected, z=z, leading=leading)


def _logistic(view: View) -> Iterator[Row]:
    for case in view.of(LOGISTIC):
        for row in view.averages(case):
            if row.quantity.startswith(RISK):
                arm = "" if row.where in ("", "all") else f", {row.where}"
                yield row.but(where=f"logistic, {place(case)}{arm}")


def place(case: Case) -> str:
    """b/n and design in words."""
    (arm, *_) = case.spec.arm_specs().values()
    n = len(case.run.problem(case.run.arms[0])["pool_targets"])
    design = WORDS.get(arm.sampling.design, arm.sampling.design)
    return f"b/n = {arm.sampling.batch / n:.3g}, {design}"


def draw(view: View) -> Drawn:
    """b times the plateau against b/n; measured over predicted of batches drawn anew and of epochs; risk in an epoch."""
    figure, axes = pictures.sheet(2, 2, (8.4, 6.8))
    drawn = Drawn(
        figure,
        "Upper left: b times the plateau of least squares on a fixed pool, exact lines; dotted: noise of the optimum, no pool. "
        "Upper right: measured over predicted risk; logistic regression extrapolated to step size 0. Lower left: the same for "
        "epochs that are reshuffled. Lower right: risk of least squares on a small pool over such an epoch, exact lines; "
        "dotted: every batch drawn from the whole pool.",
    )
    _plateaus(drawn, axes[0, 0], view)
    _ratios(drawn, axes[0, 1], view)
    _reshuffled(drawn, axes[1, 0], view)
    _epoch(drawn, axes[1, 1], view)
    for axis in (axes[0, 0], axes[0, 1], axes[1, 0]):
        axis.set_xscale("log")
        axis.set_xlabel("b / n")
    for axis in (axes[0, 1], axes[1, 0]):
        axis.axhline(1.0, color="grey", linewidth=0.9)
        axis.set_ylabel("measured / predicted")
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.3 * (high - low))
        pictures.legend(axis, 2, fontsize=7, loc="upper left")
    return drawn


def _plateaus(drawn: Drawn, axis: Any, view: View) -> None:
    for index, (design, word) in enumerate(WORDS.items()):
        cases = [c for c in view.of(LINEAR) if c.spec.sampling.design == design]
        if not cases:
            continue
        rows = list(_linear(view, cases))
        b, x = _batches(view, cases)
        value, error, expected = _columns(rows)
        line = np.geomspace(x.min(), x.max(), 40)
        curve = _exact(view, cases[0], line, design)
        pictures.series(drawn, axis, "plateau", index, word, x, b * value, b * error, b * expected, (line, curve))
    level = _free(view)
    if level is not None:
        axis.axhline(level, color="grey", linewidth=0.9, linestyle=":")
    axis.set_ylabel("b x stationary risk")
    pictures.legend(axis)


def _ratios(drawn: Drawn, axis: Any, view: View) -> None:
    """Measured over predicted of batches drawn anew, a little apart at each b/n."""
    least = {case.label: row for case in view.of(LINEAR) for row in _linear(view, [case])}
    many = {
        case.label: row
        for case in view.of(LOGISTIC)
        for row in view.averages(case)
        if row.tested and RISK in row.quantity
    }
    index, dodges = 0, np.geomspace(0.8, 1.25, 2 * len(WORDS))
    for part, word, rows in ((LINEAR, "least squares", least), (LOGISTIC, "logistic", many)):
        for design, how in WORDS.items():
            cases = [c for c in view.of(part) if c.spec.sampling.design == design and c.label in rows]
            if cases:
                _, x = _batches(view, cases)
                value, error, expected = _columns([rows[c.label] for c in cases])
                _apart(drawn, axis, "ratio", index, f"{word}, {how}", x, value, error, expected, float(dodges[index]))
                index += 1


def _apart(
    drawn: Drawn,
    axis: Any,
    panel: str,
    index: int,
    label: str,
    x: Any,
    value: Any,
    error: Any,
    expected: Any,
    dodge: float,
) -> None:
    ratio, ones = value / expected, np.ones(len(x))
    pictures.series(drawn, axis, panel, index, label, x, ratio, error / expected, ones, ([], []), dodge)


def _batches(view: View, cases: list[Case]) -> tuple[np.ndarray, np.ndarray]:
    """(b, b/n) of runs."""
    b = np.array([next(iter(c.spec.arm_specs().values())).sampling.batch for c in cases], dtype=float)
    return b, b / np.array([view.models(c)[0].pool_size for c in cases], dtype=float)


def _reshuffled(drawn: Drawn, axis: Any, view: View) -> None:
    """Measured over predicted of reshuffled epochs against b/n."""
    found = [row for row in reshuffled.rows(view, place) if row.tested]
    words = list(dict.fromkeys(row.where.split(",")[0] for row in found))
    for index, (word, dodge) in enumerate(zip(words, np.geomspace(0.9, 1.1, len(words)), strict=True)):
        rows = [row for row in found if row.where.startswith(f"{word},")]
        x = np.array([float(row.where.split("b/n = ")[1].split(",")[0]) for row in rows])
        _apart(drawn, axis, "reshuffled", index, f"{word}, reshuffled", x, *_columns(rows), float(dodge))


def _epoch(drawn: Drawn, axis: Any, view: View) -> None:
    """Risk in a reshuffled epoch of the small pool, from one recorded step to the next."""
    for index, case in enumerate(view.of(reshuffled.SMALL)):
        (model,), (seen,) = view.models(case), view.observed(case)
        b, n = case.spec.sampling.batch, model.pool_size or 1
        steps = np.asarray(case.run.steps)
        run = steps[: 1 + int(np.argmin(np.append(np.diff(steps) == 1, False)))]
        risks = seen.risk[:, : len(run)]
        style = look(index)
        position = run % (n // b)
        order = np.argsort(position)
        order = order[np.unique(position[order], return_index=True)[1]]
        value, error = risks.mean(axis=0), risks.std(axis=0, ddof=1) / np.sqrt(len(risks))
        expected = reshuffled.predicted(view, case)[0][: len(run)]
        pictures.series(
            drawn, axis, "epoch", index, f"b = {b}", position[order], b * value[order], b * error[order],
            b * expected[order],
        )  # fmt: skip
        level = b * float(reshuffled.anew(model, [1])[0])
        axis.axhline(level, color=style.color, linewidth=0.9, linestyle=":")
    axis.set_yscale("log")
    axis.set_xlabel("step of the epoch")
    axis.set_ylabel("b x risk")
    pictures.legend(axis)


def _columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value, error, expected = (
        np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
    )
    return value, error, expected


def _exact(view: View, case: Case, shares: np.ndarray, design: str) -> np.ndarray:
    """b times the exact plateau at batches `shares` x n."""
    from fastsgd.theory import least_squares_stationary

    (model,) = view.models(case)
    pool, n, metric = model.least_squares, model.pool_size or 1, _metric(model)
    assert pool is not None
    found = []
    for share in shares:
        b = share * n
        factor = 1 / b if design == "with-replacement" else (n - b) / (n - 1) / b
        found.append(b * float(np.sum(metric * least_squares_stationary.stationary(pool, model.schedule.size, factor))))
    return np.array(found)


def _metric(model: Any) -> np.ndarray:
    from fastsgd.theory.eigen import eigenbasis

    result: np.ndarray = eigenbasis(model.hessian).into(model.metric)
    return result


def _free(view: View) -> float | None:
    """b times the plateau with the noise of the optimum and an infinite pool; the same for every batch."""
    from fastsgd.theory import lyapunov

    for case in view.of(LINEAR):
        (model,) = view.models(case)
        return float(lyapunov.stationary_risk(model.metric, model.hessian, model.noise, model.schedule.size))
    return None


FROZEN = Control(
    "noise of the optimum",
    "least squares predicted with the noise that it has at the optimum, whatever the state",
    rows=lambda v: [*_linear(v, v.of(LINEAR), frozen=True), *reshuffled.rows(v, place, reshuffled.additive)],
)
ANEW = Control(
    "no epochs",
    "reshuffled epochs predicted as if every batch were drawn from the whole pool",
    rows=lambda v: list(reshuffled.rows(v, place, reshuffled.anew)),
)

ENTRY = Entry(
    name="reuse",
    title="Using a pool again",
    paper="Prop 4.5, Remark 4.4",
    claim="On a fixed pool the plateau has the finite-population factor of the batch and vanishes as b tends to n; drawn "
    "with replacement it has not. Batches of one epoch are negatively correlated, and their noise cancels over it.",
    ran="Least squares and logistic regression on fixed pools at many b/n, mini-batches without and with "
    "replacement. Least squares against its exact stationary risk with state-dependent noise, logistic at several step sizes "
    "on the same draws, extrapolated to 0. Epoch reshuffling: a contrast of two groups, in closed form for every b/n, and "
    "small pools, whose moments follow from a recursion over their subsets.",
    dear_plan=True,
    parts=(LINEAR, LOGISTIC, *reshuffled.PARTS),
    analyse=analyse,
    draw=draw,
    controls=(controls.infinite_pool(), FROZEN, ANEW),
)

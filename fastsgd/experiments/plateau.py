"""Experiment 3, Table 3: the Lyapunov plateau in 50 dimensions, anisotropic against isotropic noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import special

from fastsgd.analysis.prediction import Prediction
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Drawn, Entry, Part, Published, Row
from fastsgd.experiments.rows import published_threshold, risk_ratios, risk_rows, shape_rows
from fastsgd.experiments.view import View

PLATEAU = Part("plateau", {"quick": {"replicates": 320}})
TABLE_3 = {
    "anisotropic": {300: 0.991, 800: 1.002, 2000: 0.995, 5000: 1.010, 10000: 1.000},
    "isotropic": {300: 1.002, 800: 0.990, 2000: 0.992, 5000: 1.001, 10000: 0.987},
}
THEIRS = 2000  # replicates of the paper
DIGITS = 0.001  # to which its ratios are rounded
SETTING = (50, 8, 0.01)  # its d, b, eta: of another problem there are no published numbers


def table_3(prediction: Prediction) -> dict[int, float]:
    """Ratios of an arm by horizon; none where the spec is not the paper's setting."""
    model = prediction.model
    setting = model.dimension, model.spec.sampling.batch, model.spec.step.size
    return TABLE_3.get(model.arm, {}) if setting == SETTING else {}


def analyse(view: View) -> list[Row]:
    """Risk at every horizon, time averages, and the ratio of the arms."""
    return list(_rows(view))


def _rows(view: View) -> Iterator[Row]:
    case = view.case(PLATEAU)
    predictions, observed = view.predictions(case), view.observed(case)
    for prediction, seen in zip(predictions, observed, strict=True):
        for row, step in zip(risk_rows(prediction, seen), prediction.steps, strict=True):
            yield row.but(published=table_3(prediction).get(int(step)))
        yield from shape_rows(prediction, seen)
    leading = {p.model.arm: p.plateau()[1] for p in predictions}
    for row in view.averages(case):
        if row.quantity in ("time-averaged risk", "time-averaged covariance"):
            # On shared draws the second arm repeats the first; their ratio is tested.
            first = row.where == predictions[0].model.arm
            lead = leading[row.where] if row.quantity.endswith("risk") else None
            yield row.but(leading=lead, tested=row.tested and first)
        elif row.quantity.startswith("time-averaged risk ratio"):
            yield row.but(quantity="time-averaged risk ratio")
    if len(predictions) > 1:
        yield from risk_ratios(predictions, observed)


def published(view: View) -> Published | None:
    """Table 3 against the Monte Carlo error that 2000 replicates give."""
    case = view.case(PLATEAU)
    found = []
    for prediction in view.predictions(case):
        for s, step in enumerate(prediction.steps):
            value = table_3(prediction).get(int(step))
            if value is not None:
                error = prediction.risk_distribution(s).deviation / float(prediction.risk[s]) / math.sqrt(THEIRS)
                found.append((value - 1) / math.hypot(error, DIGITS / math.sqrt(12)))
    if not found:
        return None
    largest, squares = max(map(abs, found)), float(np.sum(np.square(found)))
    text = (
        f"The {len(found)} ratios of Table 3 lie within the predicted Monte Carlo error of their own {THEIRS} replicates: "
        f"largest |z| {largest:.2f}, limit {published_threshold(len(found)):.2f}; the sum of z squared is {squares:.1f} "
        f"where {len(found)} is expected (p = {special.chdtrc(len(found), squares):.2g}; the paper's noise matrix is not ours)."
    )
    if largest > published_threshold(len(found)):
        text = text.replace("lie within", "do not lie within")
    return Published(len(found), largest, published_threshold(len(found)), text)


def draw(view: View) -> Drawn:
    """Measured over predicted at every horizon, beside the paper's; the risk itself above."""
    case = view.case(PLATEAU)
    figure, axes = pictures.sheet(2, 1, (6.4, 5.6), sharex=True, height_ratios=(1.2, 1))
    top, below = axes[:, 0]
    drawn = Drawn(figure, "Risk at the plateau and its ratio to the exact prediction (bars: two standard errors).")
    last = int(case.run.steps[-1])
    line = np.unique(np.rint(np.geomspace(1, last, 120)).astype(np.int64))
    pairs = zip(view.predictions(case), view.predictions(case, line.tolist()), view.observed(case), strict=True)
    for index, (prediction, path, seen) in enumerate(pairs):
        rows = list(risk_rows(prediction, seen))
        steps = prediction.steps[prediction.random].astype(float)
        value, error = np.array([r.empirical for r in rows]), np.array([r.standard_error for r in rows])
        expected = np.array([r.predicted for r in rows])
        arm, dodge = prediction.model.arm, 1 + 0.05 * (2 * index - 1)
        pictures.series(drawn, top, "risk", index, arm, steps, value, error, expected, (line, path.risk), dodge)
        pictures.series(
            drawn, below, "ratio", index, arm, steps, value / expected, error / expected, np.ones(len(rows)),
            (steps, np.ones(len(rows))), dodge,
        )  # fmt: skip
        theirs = table_3(prediction)
        if theirs:
            below.plot(
                np.array(list(theirs)) * dodge * 1.1, list(theirs.values()), linestyle="none", color="black",
                marker="x+"[index % 2], label=f"{arm}, paper",
            )  # fmt: skip
        leading = prediction.plateau()[1]
        if leading is not None and index == 0:
            top.axhline(leading, color="grey", linewidth=0.8, linestyle=":", label="leading order")
    top.set_xscale("log")
    top.set_ylabel(r"risk  $\mathrm{E}\,\Delta' F \Delta$")
    below.set_xlabel("step k")
    below.set_ylabel("measured / predicted")
    pictures.legend(top, loc="lower right")
    pictures.legend(below, 2, loc="upper left", fontsize=7)
    low, high = below.get_ylim()
    below.set_ylim(low, high + 0.35 * (high - low))
    return drawn


ENTRY = Entry(
    name="plateau",
    title="The Lyapunov plateau",
    paper="Exp 3, Table 3",
    claim="With a constant step both noises settle at the risk that the discrete Lyapunov equation predicts, and "
    "trace-matched isotropic noise has nearly the same plateau.",
    ran="Direct SGD on the surrogate with constant step, both noises on the same draws; risk at every recorded horizon, "
    "time averages of risk and covariance after a burn-in.",
    parts=(PLATEAU,),
    analyse=analyse,
    draw=draw,
    controls=(controls.wrong_step(), controls.one_more(), controls.isotropic()),
    published=published,
)

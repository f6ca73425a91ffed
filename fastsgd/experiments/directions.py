"""Experiment 5, Figure 8: where the noise puts the risk, direction by direction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fastsgd.analysis.arms import paired_row
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import FALSE_ALARM, Case, Drawn, Entry, Row
from fastsgd.experiments.decay import RATE, late, limit
from fastsgd.experiments.rows import certain, from_analysis, slope_row
from fastsgd.experiments.view import View
from fastsgd.theory import transient
from fastsgd.theory.statistics import sidak_z

MOST = 5


def directions(case: Case) -> np.ndarray:
    """The top eigenvectors of G as it was simulated, columns, float64[d, <= 5]; G of the first arm, whatever is assumed."""
    values, vectors = np.linalg.eigh(case.run.problem(case.run.arms[0])["noise"])
    return np.asarray(vectors[:, np.argsort(values)[::-1][:MOST]])


def analyse(view: View) -> list[Row]:
    """E <v_j, Delta>^2 at steps far apart, its slope, and the ratio of the arms at the last step."""
    return list(_rows(view))


def _rows(view: View) -> Iterator[Row]:
    case = view.case(RATE)
    predictions, observed, vectors = view.predictions(case), view.observed(case), directions(case)
    ratios = []
    for j, v in enumerate(vectors.T):
        for arm, (prediction, seen) in enumerate(zip(predictions, observed, strict=True)):
            index = late(prediction)
            rows = [_moment(prediction, seen, s, v) for s in index]
            lead = float(v @ limit(prediction.model) @ v)
            for s, row in zip(index, rows, strict=True):
                where = f"v{j + 1}, {prediction.model.arm}, step {prediction.steps[s]}"
                # Arms on shared draws are nearly copies: of one the moments are tested, of the other the slope.
                yield row.but(where=where, leading=lead / float(prediction.steps[s]), tested=row.tested and arm == 0)
            if len(index) > 2:
                slope = _slope(prediction, seen, index, v, rows)
                yield slope.but(where=f"v{j + 1}, {prediction.model.arm}", tested=arm > 0)
        if len(predictions) > 1:
            ratios.append(_ratio(predictions, observed, v, j))
            yield ratios[-1]
    yield from _order(ratios)


def _order(ratios: Sequence[Row]) -> Iterator[Row]:
    """Ratios above 1, and below that along v1, among those whose prediction is far from it in standard errors."""
    if not ratios:
        return
    far, first = sidak_z(FALSE_ALARM / 10, len(ratios)), ratios[0]
    clear = [r for r in ratios if abs(r.predicted - 1) > far * r.standard_error]
    if clear:
        above = sum(r.empirical > 1 for r in clear), sum(r.predicted > 1 for r in clear)
        yield certain("directions with a ratio above 1", f"of {len(clear)} told from 1", *map(float, above))
    clear = [
        r for r in ratios[1:]
        if abs(first.predicted - r.predicted) > far * math.hypot(first.standard_error, r.standard_error)
    ]  # fmt: skip
    if clear:
        below = sum(r.empirical < first.empirical for r in clear), sum(r.predicted < first.predicted for r in clear)
        yield certain("directions with a ratio below that of v1", f"of {len(clear)} told from it", *map(float, below))


def _moment(prediction: Prediction, seen: Observed, s: int, v: np.ndarray) -> Row:
    """E <v, Delta>^2 at one recorded step: a scaled (noncentral) chi-square mean."""
    n = int(seen.count[s])
    along = float(seen.mean[s] @ v)
    value = float(v @ seen.covariance[s] @ v) * (n - 1) / n + along * along
    law = QuadraticForm.of(np.outer(v, v), prediction.mean[s], prediction.covariance[s])
    error = law.deviation / math.sqrt(n)
    return Row("E <v,Delta>^2", "", value, error, law.unit, law.z_of_mean(value, n), tested=seen.whole(s))


def _slope(prediction: Prediction, seen: Observed, index: Sequence[int], v: np.ndarray, rows: Sequence[Row]) -> Row:
    measured, expected = (np.array([getattr(r, n) for r in rows]) for n in ("empirical", "predicted"))
    at, path = np.asarray(index), prediction.path
    form = np.outer(u := path.basis.into_vector(v), u)
    covariance = transient.risk_covariance(
        form, path.hessian, prediction.model.etas, prediction.steps[at], path.mean[at], path.covariance[at]
    )
    relative = covariance / np.multiply.outer(expected, expected) / seen.replicates
    return slope_row("", np.log(prediction.steps[at].astype(float)), measured, expected, relative)


def _ratio(predictions: Sequence[Prediction], observed: Sequence[Observed], v: np.ndarray, j: int) -> Row:
    """First arm over the second at the last step, replicate by replicate; leading order v'V v / v'V_iso v."""
    squares = [(seen.final @ v) ** 2 for seen in observed[:2]]
    expected = [float(v @ (p.covariance[-1] + np.outer(p.mean[-1], p.mean[-1])) @ v) for p in predictions[:2]]
    lead = [float(v @ limit(p.model) @ v) for p in predictions[:2]]
    names = f"{predictions[0].model.arm}/{predictions[1].model.arm}"
    row = paired_row(names, "ratio", None, squares[0], squares[1], expected[0] / expected[1])
    return from_analysis(row, f"v{j + 1}", lead[0] / lead[1]).but(quantity="ratio of arms")


def draw(view: View) -> list[Drawn]:
    """The five directions of both arms against N; the ratio at the end beside its prediction."""
    case = view.case(RATE)
    predictions, observed, vectors = view.predictions(case), view.observed(case), directions(case)
    figure, axes = pictures.sheet(1, len(predictions) + 1, (3.6 * len(predictions) + 3.2, 4.0))
    right = axes[0, -1]
    drawn = Drawn(
        figure, "Second moment along the top eigenvectors of G, and the ratio of the arms at the largest budget."
    )
    last = int(case.run.steps[-1])
    line = np.unique(np.rint(np.geomspace(max(last // 1000, 1), last, 80)).astype(np.int64))
    paths = view.predictions(case, line.tolist())
    for a, (prediction, path, seen) in enumerate(zip(predictions, paths, observed, strict=True)):
        steps = [s for s in range(len(prediction.steps)) if prediction.steps[s] * 1000 >= last and prediction.random[s]]
        batch = float(prediction.model.spec.sampling.batch)
        calls = prediction.steps[steps] * batch
        left = axes[0, a]
        for j, v in enumerate(vectors.T):
            rows = [_moment(prediction, seen, s, v) for s in steps]
            along = path.mean @ v
            curve = np.einsum("i,sij,j->s", v, path.covariance, v) + along**2
            value, error, expected = (
                np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
            )
            pictures.series(
                drawn, left, prediction.model.arm, j, f"v{j + 1}", calls, value, error, expected, (line * batch, curve)
            )
        if a > 0:
            left.sharey(axes[0, 0])  # so that the arms can be compared
        left.set_title(prediction.model.arm)
        left.set_xscale("log")
        left.set_yscale("log")
        left.set_xlabel("oracle calls N")
        left.set_ylabel(r"$\mathrm{E}\,\langle v_j, \Delta\rangle^2$")
        pictures.legend(left, loc="lower left")
    if len(predictions) > 1:
        rows = [_ratio(predictions, observed, v, j) for j, v in enumerate(vectors.T)]
        x = np.arange(1, len(rows) + 1)
        value, error, expected = (
            np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
        )
        pictures.series(drawn, right, "ratio", 0, "measured, exact line", x, value, error, expected)
        right.plot(
            x,
            [r.leading for r in rows],
            linestyle="none",
            marker="_",
            markersize=14,
            color="black",
            label="Lyapunov limit",
        )
        right.axhline(1, color="black", linewidth=0.8)
        right.set_xticks(x, [f"v{k}" for k in x])
        right.set_ylabel("ratio of arms")
        right.set_ylim(bottom=0)
        pictures.legend(right, loc="lower left")
    return [drawn]


def _notes(view: View) -> list[str]:
    case = view.case(RATE)
    predictions, observed = view.predictions(case), view.observed(case)
    if len(predictions) < 2:
        return []
    rows = [_ratio(predictions, observed, v, j) for j, v in enumerate(directions(case).T)]
    measured, expected = [r.empirical for r in rows], [r.predicted for r in rows]
    return [
        f"Ratios along v1 ... v{len(rows)}: measured {', '.join(f'{m:.3f}' for m in measured)}, predicted "
        f"{', '.join(f'{e:.3f}' for e in expected)}; all above 1: measured {_word(min(measured) > 1)}, predicted "
        f"{_word(min(expected) > 1)}; largest along v{np.argmax(measured) + 1} (predicted v{np.argmax(expected) + 1})."
    ]


def _word(value: bool) -> str:
    return "yes" if value else "no"


ENTRY = Entry(
    name="directions",
    title="Directional amplification",
    paper="Exp 5, Fig 8",
    claim="Both noises decay as 1/N along the top eigenvectors of G; the anisotropic one keeps more there, most along v_1, in "
    "the ratio of the Lyapunov solutions, which trace-matched isotropic noise cannot show.",
    ran="The runs of Experiment 4; second moments along the top eigenvectors of G from the stored means and covariances, "
    "ratios replicate by replicate.",
    parts=(RATE,),
    analyse=analyse,
    draw=draw,
    controls=(controls.isotropic(),),
    notes=_notes,
)

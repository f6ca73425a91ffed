"""Theorem 6.5, Proposition 6.8: the risk of a decaying step between the van Trees line and the upper bound."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.analysis.zscores import z_sample_mean
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import FALSE_ALARM, Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.rows import certain
from fastsgd.experiments.view import View
from fastsgd.theory import bounds, geometry
from fastsgd.theory.statistics import sidak_z

Array = NDArray[np.float64]
PARTS = (Part("bounds-gaussian"), Part("bounds-rotated"), Part("bounds-logistic"))
NAMES = {"bounds-gaussian": "Gaussian", "bounds-rotated": "non-commuting pair", "bounds-logistic": "logistic"}
SAME = 1e-6  # relative difference up to which H is G: then the problem is a well-specified likelihood


@dataclass(frozen=True)
class Measured:
    """Risk in the metric F = G of one run at its recorded steps after the start.

    Attributes:
        index: int64[S], which recorded steps. N: oracle calls float64[S]. risk, error: float64[S]. lower, upper: float64[S],
            van Trees line (None where the problem is no likelihood) and drift bound.
    """

    index: NDArray[np.int64]
    N: Array
    risk: Array
    error: Array
    lower: Array | None
    upper: Array


def measured(view: View, case: Case, samples: float = 1.0, rate: float = 1.0) -> Measured:
    """`samples` and `rate` are what controls alter: N of the line is divided by `samples`, H of the bound times `rate`."""
    (model,), (seen,), (prediction,) = view.models(case), view.observed(case), view.predictions(case)
    F, index = model.noise, np.flatnonzero(prediction.random & (prediction.steps > 0))
    steps = prediction.steps[index]
    R = seen.count[index].astype(float)
    risk = np.array([_trace(F, seen.covariance[s], seen.mean[s], seen.count[s]) for s in index])
    laws = [QuadraticForm.of(F, prediction.mean[s], prediction.covariance[s]) for s in index]
    error = np.array([law.deviation for law in laws]) / np.sqrt(R)
    N = steps * float(case.spec.sampling.batch)
    mean, covariance = model.start(prediction.sigma)
    first = float(np.sum(F * covariance) + mean @ F @ mean)
    upper = bounds.drift_bound(F, model.hessian * rate, prediction.sigma, model.etas, steps, first)
    lower = None
    if _likelihood(model) and model.spec.start.kind == "gaussian":
        lower = bounds.van_trees(F, N / samples, np.linalg.inv(covariance))
    return Measured(index, np.asarray(N), risk, np.asarray(error), lower, upper)


def _trace(F: Array, covariance: Array, mean: Array, count: int) -> float:
    """Mean of Delta'F Delta over replicates."""
    return float(np.sum(F * covariance)) * (count - 1) / count + float(mean @ F @ mean)


def _likelihood(model: Any) -> bool:
    return bool(np.linalg.norm(model.hessian - model.noise) <= SAME * np.linalg.norm(model.hessian))


def analyse(view: View) -> list[Row]:
    """Risk against its exact value; no step below the lower line or above the bound beyond the error."""
    return list(_rows(view))


def _rows(view: View, samples: float = 1.0, rate: float = 1.0) -> Iterator[Row]:
    for case in view.cases:
        (model,), (prediction,), where = view.models(case), view.predictions(case), NAMES[case.part]
        found = measured(view, case, samples, rate)
        b, scale = case.spec.sampling.batch, float(model.schedule.size)
        if prediction.gaussian:
            yield from _exact_rows(view, case, found, where)
        else:
            yield _limit_row(view, case, where)
        far = sidak_z(FALSE_ALARM / 10, len(found.N))
        if found.lower is not None:
            below = (found.lower - found.risk) / found.error > far
            yield certain("steps below the van Trees line", where, float(np.sum(below)), 0.0)
            ratio = float(found.risk[-1] / found.lower[-1])
            error = float(found.error[-1] / found.lower[-1])
            yield Row("risk / van Trees line", f"{where}, last step", ratio, error, 1.0, 0.0, tested=False)
        above = (found.risk - found.upper) / found.error > far
        yield certain("steps above the upper bound", where, float(np.sum(above)), 0.0)
        ratio, error = float(found.risk[-1] / found.upper[-1]), float(found.error[-1] / found.upper[-1])
        leading = None
        if geometry.contraction_rate(model.noise, model.hessian).mu_F * 2 * scale > 1:
            last = float(prediction.steps[-1])
            lead = float(bounds.upper_bound(model.noise, model.hessian, model.noise, b, scale, [last])[0])
            leading = float(found.upper[-1] / lead)
        yield Row("risk / upper bound", f"{where}, last step", ratio, error, 1.0, 0.0, leading, tested=False)


def _exact_rows(view: View, case: Case, found: Measured, where: str) -> Iterator[Row]:
    """Mean risk at a few steps, far enough apart to be nearly independent, against the exact recursion."""
    (model,), (prediction,), (seen,) = view.models(case), view.predictions(case), view.observed(case)
    for place, s in list(enumerate(found.index))[::-4]:
        law = QuadraticForm.of(model.noise, prediction.mean[s], prediction.covariance[s])
        n, step = int(seen.count[s]), int(prediction.steps[s])
        value, b = float(found.risk[place]), case.spec.sampling.batch
        z = law.z_of_mean(value, n)
        leading = None
        if 2 * model.schedule.size * float(np.linalg.eigvalsh(model.hessian)[0]) > 1:
            from fastsgd.theory import rates

            limit = rates.scaled_risk_limit(model.noise, model.hessian, model.noise, model.schedule.size, b)
            leading = limit / (b * step)
        error = law.deviation / math.sqrt(n)
        yield Row("risk", f"{where}, N = {b * step}", value, error, law.unit, z, leading)


def _limit_row(view: View, case: Case, where: str) -> Row:
    """Measured over leading-order risk, its 1/k term removed with the step nearest to half the last one."""
    (prediction,), (seen,) = view.predictions(case), view.observed(case)
    last = len(prediction.steps) - 1
    half = int(np.argmin(np.abs(prediction.steps - prediction.steps[-1] / 2)))
    ratio = prediction.steps[last] / prediction.steps[half]
    w = ratio / (ratio - 1)
    each = w * seen.risk[:, last] / prediction.risk[last] - (w - 1) * seen.risk[:, half] / prediction.risk[half]
    error, z = z_sample_mean(each, 1.0)
    return Row("risk / prediction (k -> infinity)", where, float(np.mean(each)), error, 1.0, z)


def notes(view: View) -> Sequence[str]:
    """mu_F, kappa, d_eff of each problem, F = G."""
    found = []
    for case in view.cases:
        (model,) = view.models(case)
        rate, c = geometry.contraction_rate(model.noise, model.hessian), float(model.schedule.size)
        found.append(
            f"{NAMES[case.part]}: mu_F = {rate.mu_F:.4f}, lambda_min(H) = {np.linalg.eigvalsh(model.hessian)[0]:.4f}, "
            f"2 c mu_F = {2 * c * rate.mu_F:.3f}; kappa = {geometry.condition_number(model.noise):.3f}, d_eff = "
            f"{geometry.effective_dimension(model.noise):.3f}."
        )
    return found


def draw(view: View) -> Drawn:
    """Scaled risk N E r with its exact value, the van Trees line and the bound."""
    figure, axes = pictures.sheet(1, len(view.cases), (3.3 * len(view.cases), 3.6))
    drawn = Drawn(
        figure,
        "Risk times oracle calls, N E r, with F = G: measured, exact (for logistic: leading order), the upper bound of the "
        "drift and, for likelihoods, the van Trees line with the start as prior.",
    )
    for index, case in enumerate(view.cases):
        axis, found = axes[0, index], measured(view, case)
        (prediction,), (model,) = view.predictions(case), view.models(case)
        exact = np.array(
            [_trace(model.noise, prediction.covariance[s], prediction.mean[s], 10**15) for s in found.index]
        )
        pictures.series(
            drawn,
            axis,
            NAMES[case.part],
            index,
            "risk",
            found.N,
            found.N * found.risk,
            found.N * found.error,
            found.N * exact,
        )
        axis.plot(found.N, found.N * found.upper, color="black", linestyle="--", linewidth=1.0, label="upper bound")
        if found.lower is not None:
            axis.plot(found.N, found.N * found.lower, color="black", linestyle=":", linewidth=1.2, label="van Trees")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(NAMES[case.part])
        axis.set_xlabel("oracle calls N")
        axis.set_ylabel("N x risk")
        pictures.legend(axis, fontsize=7)
    return drawn


CONTROLS = (
    controls.one_more(),
    Control("half the samples", "van Trees line of half the samples", rows=lambda v: list(_rows(v, samples=2.0))),
    Control("mu_F twice as large", "upper bound with twice the contraction", rows=lambda v: list(_rows(v, rate=2.0))),
)

ENTRY = Entry(
    name="bounds",
    title="Between the van Trees line and the upper bound",
    paper="Thm 6.5, Prop 6.8",
    claim="With a decaying step the risk of a likelihood problem stays between the van Trees lower bound and the drift bound "
    "c^2 tr(F G)/(b (2 c mu_F - 1) k).",
    ran="Decaying step on a Gaussian location problem, on a pair (H, G) that does not commute and on well-specified logistic "
    "regression; risk in the metric F = G over the whole range, against the exact recursion and both bounds.",
    dear_plan=True,
    parts=PARTS,
    analyse=analyse,
    draw=draw,
    controls=CONTROLS,
    notes=notes,
)

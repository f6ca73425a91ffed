"""Measured against predicted, with error bars and a verdict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastsgd.analysis import notes
from fastsgd.analysis.arms import extrapolated_rows, ratio_rows, step_size_groups
from fastsgd.analysis.assume import assumed_models
from fastsgd.analysis.combined import combined_rows
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.pilot_errors import widened_steps
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.report import CONSISTENT, INCONSISTENT, UNTESTED, RatioReport
from fastsgd.analysis.rows import Row
from fastsgd.analysis.source import opened
from fastsgd.analysis.steps import FROZEN, step_rows
from fastsgd.analysis.time_averages import time_average_notes, time_average_rows
from fastsgd.errors import InputError
from fastsgd.theory.statistics import sidak_z

FALSE_ALARM = 1e-4


@dataclass(frozen=True)
class Evaluation:
    """A run, its predictions and what it holds (both in the order of its arms), and the report on them."""

    run: Any
    predictions: tuple[Prediction, ...]
    observed: tuple[Observed, ...]
    report: RatioReport


def ratio(run: Any, assume: Sequence[str] = (), *, false_alarm: float = FALSE_ALARM) -> RatioReport:
    """Compare a stored run with the theory: empirical, standard error, predicted, ratio, z, and a verdict.

    Args:
        run: an open run or the path of one; only this file is read, also when the run is unfinished or still going.
        assume: KEY=VALUE as for `run --set`, altering the prediction only (arms.NAME.KEY=VALUE for one arm).
        false_alarm: chance that the verdict is "inconsistent" although every prediction holds.

    Raises:
        InputError: nothing recorded yet, a nonlinear run of one replicate, or an assumption that cannot be.
    """
    return evaluate(run, assume, false_alarm=false_alarm).report


def ratio_of_runs(
    runs: Sequence[str | os.PathLike[str]], assume: Sequence[str] = (), *, false_alarm: float = FALSE_ALARM
) -> list[RatioReport]:
    """Reports of several runs, judged so that `false_alarm` holds for all of them together."""
    each = 1 - (1 - false_alarm) ** (1 / len(runs)) if len(runs) > 1 else false_alarm
    return [ratio(run, assume, false_alarm=each) for run in runs]


def evaluate(run: Any, assume: Sequence[str] = (), *, false_alarm: float = FALSE_ALARM) -> Evaluation:
    """What `ratio` does, keeping the predictions and the data for figures."""
    run = opened(run)
    observed = tuple(Observed.of(run, arm) for arm in run.arms)
    if not observed[0].replicates:
        raise InputError(f"{run.path} has no finished replicates yet; go on with `fastsgd run`, then ask again")
    models, remarks = assumed_models(run, assume)
    predictions = tuple(Prediction.of(model, run.steps) for model in models)
    if observed[0].replicates < 2 and not all(p.gaussian for p in predictions):
        raise InputError(
            f"{run.path} has 1 replicate of a problem on data, which gives no standard error; give replicates >= 2"
        )
    rows = [*compare(predictions, observed), *time_average_rows(run, predictions)]
    tested = [row for row in rows if row.in_verdict]
    threshold = sidak_z(false_alarm, max(len(tested), 1))
    pairs = tuple(zip(predictions, observed, strict=True))
    failed = any(not abs(row.z) <= threshold for row in tested) or any(p.stable and o.diverged for p, o in pairs)
    untested = not failed and not all(p.testable for p in predictions)
    if not tested and not failed and not untested:
        raise InputError(f"{run.path} has no row that could be tested; record steps at which the risk is random")
    lost = [notes.lost_note(p, o) for p, o in pairs]
    report = RatioReport(
        run=str(run.path),
        identity=run.identity,
        replicates=observed[0].replicates,
        planned=int(run.replicates),
        assumed=tuple(assume),
        rows=tuple(rows),
        verdict=INCONSISTENT if failed else CONSISTENT if tested else UNTESTED,
        threshold=threshold,
        tests=len(tested),
        false_alarm=false_alarm,
        errors=notes.errors_text(predictions),
        notes=(
            *notes.progress_note(run),
            *notes.single_note(observed[0]),
            *remarks,
            *(line for line in lost if line),
            *(line for p, o in pairs for line in notes.singular_note(p, o)),
            *notes.nonlinear_notes(predictions, rows),
            *time_average_notes(run, predictions),
        ),
        corrections=tuple(corrections(predictions, rows)),
    )
    return Evaluation(run, predictions, observed, report)


def compare(predictions: Sequence[Prediction], observed: Sequence[Observed]) -> list[Row]:
    """All rows. Nonlinear arms that differ in their step size only are tested by their extrapolation alone.

    Other arms may stand beside them: every group of such arms is extrapolated by itself.
    """
    rows: list[Row] = []
    for prediction, seen in zip(predictions, observed, strict=True):
        steps = widened_steps(list(step_rows(prediction, seen)), prediction)
        found = grouped([*steps, *combined_rows(prediction, seen)])
        rows += found if prediction.testable else [replace(row, in_verdict=False) for row in found]
    if all(p.exact for p in predictions):
        return rows + list(ratio_rows(predictions, observed))
    for group in step_size_groups(predictions):
        of, seen_of = [predictions[a] for a in group], [observed[a] for a in group]
        names = {p.model.arm for p in of}
        limits = list(extrapolated_rows(of, seen_of))
        if limits:
            rows = [replace(row, in_verdict=False) if row.arm in names else row for row in rows]
            whole = len(group) == len(predictions)
            rows += [row if whole else replace(row, arm=",".join(p.model.arm for p in of)) for row in limits]
    return rows


def grouped(rows: Sequence[Row]) -> list[Row]:
    """Rows of one arm by quantity, each in the order of the steps and then all steps together."""
    order = ("risk", FROZEN, "covariance", "covariance shape", "mean")
    return sorted(rows, key=lambda row: order.index(row.quantity.removesuffix(" (all steps)")))


def corrections(predictions: Sequence[Prediction], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Relative deviation of the risk from its frozen-noise value at the last step, an entry for each arm on data."""
    found = []
    for p in predictions:
        last = int(p.steps[-1])
        row = next((r for r in rows if (r.arm, r.quantity, r.step) == (p.model.arm, "risk", last)), None)
        base = p.risk[-1] if p.frozen_risk is None else p.frozen_risk[-1]
        if p.gaussian or row is None or not base:
            continue
        found.append(
            {
                "arm": p.model.arm,
                "step": last,
                "step_size": p.model.schedule.largest(),
                "correction": row.empirical / base - 1,
                "standard_error": row.standard_error / base,
                "predicted": p.risk[-1] / base - 1 if p.exact else None,
            }
        )
    return found

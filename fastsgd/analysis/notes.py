"""What a reader of a comparison must know beside its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.arms import LIMIT
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.scatter import FEWEST_KEPT, FEWEST_REPLICATES


def progress_note(run: Any) -> list[str]:
    if run.finished:
        return []
    done = int(run.progress.replicates_done)
    return [f"the run is unfinished: {done} of {run.replicates} replicates are committed and used"]


def single_note(observed: Observed) -> list[str]:
    if observed.replicates > 1:
        return []
    return ["1 replicate gives no standard error of its own: those shown are of the predicted law"]


def lost_note(prediction: Prediction, observed: Observed) -> str | None:
    if not observed.diverged:
        return None
    at = observed.diverged_at[observed.diverged_at >= 0]
    counts = ", ".join(f"{n} at step {k}" for k, n in zip(prediction.steps, observed.count, strict=True))
    cause = "although the step is predicted stable: inconsistent" if prediction.stable else "as an unstable step does"
    return (
        f"arm {prediction.model.arm}: {observed.diverged} of {observed.replicates} replicates diverged (first at step "
        f"{int(at.min())}) {cause}; values are over the survivors ({counts}) and not tested where some are missing"
    )


def singular_note(prediction: Prediction, observed: Observed) -> list[str]:
    """How many directions the rows of covariances and means leave out, and why."""
    d, steps = prediction.model.dimension, np.flatnonzero(prediction.random)
    ranks = [prediction.whitener(int(s)).shape[1] for s in steps if observed.count[s]]
    if not ranks or min(ranks) == d:
        return []
    fewest, most = d - max(ranks), d - min(ranks)
    left = f"{most}" if fewest == most else f"{fewest} to {most} (by step)"
    what, within = "prediction of their variance is zero", "rounding"
    if prediction.floors is not None:
        what = f"first-order {what}"
        largest = float(np.max(np.diagonal(prediction.path.covariance[steps[-1]])))
        pilot = " and the error of the pilot" if "hessian_parts" in prediction.model.estimates else ""
        within += (
            f"{pilot} (at the last step below some {np.max(prediction.floors[steps[-1]]) / largest:.1g} of the largest)"
        )
    arm = prediction.model.arm
    return [f"arm {arm}: {left} of {d} directions are not tested in covariances and means: the {what} within {within}"]


def errors_text(predictions: Sequence[Prediction]) -> str:
    """How the errors of the rows were found."""
    pilot = (
        "; with the error of the pilot that H, G or the covariance of the design come from"
        if any(p.pilot for p in predictions)
        else ""
    )
    return _scatter_text(predictions) + pilot


def _scatter_text(predictions: Sequence[Prediction]) -> str:
    if all(p.gaussian for p in predictions):
        text = "from the predicted Gaussian law, skewness included (saddlepoint for risks, gamma for covariances)"
        paired = "; risk ratios of arms from paired differences between replicates" if len(predictions) > 1 else ""
        return text + paired
    if all(p.exact for p in predictions):
        return "from the scatter between replicates, skewness corrected (means: their Gaussian limit)"
    return "from the scatter between replicates, skewness corrected; of means, and shapes of covariances, as in many samples"


def nonlinear_notes(predictions: Sequence[Prediction], rows: Sequence[Row]) -> list[str]:
    notes = [*reshuffled_notes(predictions), *_unknown_scatter(predictions, rows)]
    if all(p.exact or not p.testable or not p.random.any() for p in predictions):
        return notes
    if any(p.model.least_squares is not None and not p.path.state_dependent for p in predictions):
        notes.append("the exact prediction with state-dependent noise is too much work for this pool and these steps")
    if any(row.quantity.endswith(LIMIT) for row in rows):
        notes.append(
            "predictions are frozen-noise (leading order in the step size); the verdict stands on measured/predicted "
            "extrapolated to step size 0, the rows of single arms are shown only"
        )
        notes += _far_from_plateau(predictions)
    else:
        size = max(p.model.schedule.largest() for p in predictions)
        notes.append(
            "the prediction is frozen-noise, with a relative bias of the order of the step size that enough replicates "
            f'reveal; to extrapolate it away add arms with smaller steps: [arms.half] "step.size" = {size / 2:g}'
        )
    return notes


def _unknown_scatter(predictions: Sequence[Prediction], rows: Sequence[Row]) -> list[str]:
    """Steps whose covariance is not tested because nothing in the run tells its error."""
    arms = {p.model.arm for p in predictions if not p.gaussian and p.testable}
    steps = sorted(
        {
            row.step
            for row in rows
            if row.arm in arms and row.quantity == "covariance" and row.step is not None
            if row.standard_error_sample is None and row.replicates >= FEWEST_REPLICATES
        }
    )
    if not steps:
        return []
    shown = ", ".join(map(str, steps[:6])) + (", ..." if len(steps) > 6 else "")
    return [
        f"the mean is still on its way at step {shown}, where risks do not tell how a covariance scatters: not tested there; "
        f"record.trajectories = {FEWEST_KEPT} gives its error"
    ]


def reshuffled_notes(predictions: Sequence[Prediction]) -> list[str]:
    arms = [p.model.arm for p in predictions if not p.testable]
    if not arms:
        return []
    return [
        f"arm {', '.join(arms)}: SGD on reshuffled epochs has no closed form; its rows are shown beside a prediction with "
        "noise that does not depend on the state (exact within that: correlation inside an epoch included), not tested"
    ]


def _far_from_plateau(predictions: Sequence[Prediction]) -> list[str]:
    far = [p.model.arm for p in predictions if not p.at_plateau(0.05)[-1]]
    if not far:
        return []
    return [f"at the last recorded step {', '.join(far)} are more than 5 % away from their plateau; record later steps"]

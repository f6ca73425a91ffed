"""Comparisons between arms, replicate by replicate: they share their draws, so differences have small errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.combined import scale_factors
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.steps import final_sizes
from fastsgd.analysis.zscores import z_exact, z_sample_mean
from fastsgd.theory import richardson

Array = NDArray[np.float64]

LIMIT = "(step size -> 0)"
ROUNDING = 1e-9
FEWEST_REPLICATES = (
    256  # from here on 95 % intervals from the scatter of such differences cover 94 to 95 %; 64 give 93 %
)


def ratio_rows(predictions: Sequence[Prediction], observed: Sequence[Observed]) -> Iterator[Row]:
    """Rows "risk ratio A/B" of every later arm B against the first arm A, at each step both are random and whole.

    Tested is the mean over replicates of r_A - rho r_B, rho the predicted ratio, which is 0 under the prediction.
    """
    if len(predictions) < 2 or observed[0].replicates < 2:
        return
    first, top = predictions[0], observed[0]
    for other, bottom in zip(predictions[1:], observed[1:], strict=True):
        for s, step in enumerate(first.steps):
            both = first.random[s] and other.random[s] and top.whole(s) and bottom.whole(s)
            if not both:
                continue
            names = f"{first.model.arm}/{other.model.arm}"
            rho = float(first.risk[s] / other.risk[s])
            yield paired_row(names, "risk ratio", int(step), top.risk[:, s], bottom.risk[:, s], rho)


def paired_row(names: str, what: str, step: int | None, top: Array, bottom: Array, rho: float) -> Row:
    """Ratio of the means of top[R] and bottom[R], of the same replicates of two arms, against its prediction rho."""
    below, n = float(np.mean(bottom)), len(top)
    differences = (top - rho * bottom) / below
    value = float(np.mean(top)) / below
    error, z = z_sample_mean(differences, 0.0)
    if np.max(np.abs(differences)) <= ROUNDING * rho:
        z = z_exact(value, rho)  # arms that differ by a factor only, as by their batch
    return Row(names, f"{what} {names}", step, value, error, rho, z, n, error, n >= FEWEST_REPLICATES)


def differ_in_step_size_only(predictions: Sequence[Prediction]) -> bool:
    """True for several nonlinear arms with constant, pairwise different steps and everything else the same."""
    models = [p.model for p in predictions]
    if len(models) < 2 or any(p.exact or not p.testable or not p.model.schedule.constant for p in predictions):
        return False
    if len({m.schedule.size for m in models}) < len(models):
        return False
    return all(np.array_equal(p.sigma, predictions[0].sigma) for p in predictions)


def extrapolated_rows(predictions: Sequence[Prediction], observed: Sequence[Observed]) -> Iterator[Row]:
    """Rows "risk (step size -> 0)" and "covariance (step size -> 0)": measured/predicted in the limit of step size 0.

    Richardson: with J arms the terms of order eta .. eta^(J-1) cancel. At the last recorded step; for the risk also
    over all steps at which every arm is on its plateau (within 1 %) and has forgotten its start, if there are several:
    before that the ratio is no polynomial of the step size. The error comes from sum_j w_j (ratio of replicate i in
    arm j) over the replicates i, which share their draws across the arms. No rows where a replicate diverged or with
    one replicate.
    """
    if observed[0].replicates < 2:
        return
    usable = [
        s
        for s in range(len(predictions[0].steps))
        if all(p.random[s] for p in predictions) and all(o.whole(s) for o in observed)
    ]
    last = len(predictions[0].steps) - 1
    settled = np.all([p.at_plateau(0.01) & p.forgotten() for p in predictions], axis=0)
    level = [s for s in usable if settled[s]]
    if last in usable:
        step = int(predictions[0].steps[last])
        yield limit_row(predictions, _risks(predictions, observed, [last]), "risk", step)
        sizes = np.stack([final_sizes(p, o) for p, o in zip(predictions, observed, strict=True)])
        yield limit_row(predictions, sizes, "covariance", step)
    if len(level) > 1:
        yield limit_row(predictions, _risks(predictions, observed, level), "risk", None)


def _risks(predictions: Sequence[Prediction], observed: Sequence[Observed], steps: Sequence[int]) -> Array:
    """Measured/predicted risk of each replicate in each arm, float64[J, R]."""
    index = np.asarray(steps)
    return np.stack([scale_factors(p, o, index)[0] for p, o in zip(predictions, observed, strict=True)])


def limit_row(predictions: Sequence[Prediction], ratios: Array, what: str, step: int | None) -> Row:
    """Measured/predicted of each replicate in each arm, float64[J, R], extrapolated to step size 0."""
    each = richardson.weights([p.model.schedule.size for p in predictions]) @ ratios
    error, z = z_sample_mean(each, 1.0)
    return Row("all", f"{what} {LIMIT}", step, float(np.mean(each)), error, 1.0, z, len(each), error)

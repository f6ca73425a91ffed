"""Comparisons between arms, replicate by replicate: they share their draws, so differences have small errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.combined import scale_factors
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.pilot_errors import scatter, widened
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.scatter import sizes
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


def step_size_groups(predictions: Sequence[Prediction]) -> list[list[int]]:
    """Places of nonlinear arms with constant, pairwise different steps and all else the same; groups of two or more."""
    found: dict[tuple[bytes, bytes, str], list[int]] = {}
    for place, p in enumerate(predictions):
        if not p.exact and p.testable and p.model.schedule.constant:
            key = p.sigma.tobytes(), p.model.hessian.tobytes(), repr(p.model.spec.start)
            found.setdefault(key, []).append(place)
    sizes = {place: p.model.schedule.size for place, p in enumerate(predictions) if p.model.schedule.constant}
    return [group for group in found.values() if 1 < len(group) == len({sizes[place] for place in group})]


def differ_in_step_size_only(predictions: Sequence[Prediction]) -> bool:
    """True for several nonlinear arms with constant, pairwise different steps and everything else the same."""
    return step_size_groups(predictions) == [list(range(len(predictions)))]


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
        yield _risk_row(predictions, observed, [last], step)
        each = np.stack([sizes(p, o, last, o.final) for p, o in zip(predictions, observed, strict=True)])
        errors = _errors([None if p.pilot is None else p.pilot.size[:, last] for p in predictions])
        yield limit_row(predictions, each, errors, "covariance", step)
    if len(level) > 1:
        yield _risk_row(predictions, observed, level, None)


def _risk_row(
    predictions: Sequence[Prediction], observed: Sequence[Observed], steps: Sequence[int], step: int | None
) -> Row:
    ratios, errors = measured_risks(predictions, observed, steps)
    return limit_row(predictions, np.stack(ratios), errors, "risk", step)


def measured_risks(
    predictions: Sequence[Prediction], observed: Sequence[Observed], steps: Sequence[int]
) -> tuple[list[Array], Array]:
    """Measured/predicted risk of each replicate, float64[R] for each arm, and `_errors` of what is predicted."""
    index = np.asarray(steps)
    found = [scale_factors(p, o, index)[:2] for p, o in zip(predictions, observed, strict=True)]
    errors = _errors(
        [None if p.pilot is None else p.pilot.risk[:, index] @ w for p, (_, w) in zip(predictions, found, strict=True)]
    )
    return [ratios for ratios, _ in found], errors


def _errors(given: Sequence[Array | None]) -> Array:
    """Derivatives of each arm's prediction towards the parts of a pilot that all arms share, float64[J, C]; or [J, 0]."""
    parts = [one for one in given if one is not None]
    return np.stack(parts) if len(parts) == len(given) else np.zeros((len(given), 0))


def last_errors(predictions: Sequence[Prediction]) -> Array:
    """`_errors` of the risk at the last step, relative."""
    return _errors([None if p.pilot is None else p.pilot.risk[:, -1] / p.risk[-1] for p in predictions])


def limit_row(predictions: Sequence[Prediction], ratios: Array, errors: Array, what: str, step: int | None) -> Row:
    """Measured/predicted of each replicate in each arm, float64[J, R], extrapolated to step size 0."""
    weights = richardson.weights([p.model.schedule.size for p in predictions])
    each = weights @ ratios
    error, z = z_sample_mean(each, 1.0)
    row = Row("all", f"{what} {LIMIT}", step, float(np.mean(each)), error, 1.0, z, len(each), error)
    return widened(row, scatter(weights @ errors))

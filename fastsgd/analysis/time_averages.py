"""Time averages of a run against their exact expectations, with errors from the autocovariance or from replicates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis import singular
from fastsgd.analysis.arms import differ_in_step_size_only, last_errors, limit_row, paired_row
from fastsgd.analysis.pilot_errors import widened
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.zscores import z_exact, z_gamma, z_pearson3, z_sample_mean, z_student
from fastsgd.theory import least_squares_stationary, transient
from fastsgd.theory import time_averages as theory
from fastsgd.theory.eigen import eigenbasis

Array = NDArray[np.float64]

RISK = "time-averaged risk"
LARGEST_ERROR = 0.1  # relative; above it the three-moment law of an average is too rough to test
MOST_LISTED = 3  # dimensions up to which every second moment has its row
FEW_REPLICATES = 8  # below, the scatter of batches within replicates says more than that between them
LARGEST_LOOP = 30_000  # samples of a varying step that are summed one by one, 0.1 ms each
STATIONARY = 1e-4  # part of the plateau by which the first sample may differ from it


@dataclass(frozen=True)
class Averages:
    """Time averages of one arm.

    Attributes:
        replicates: R that are committed; samples: K of each.
        mean, second: float64[d], float64[d, d], of Delta and of Delta Delta' over samples and replicates.
        risk: float64[R]; batch: float64[R, B], the same over B batches of successive samples; NaN where one diverged.
        counted: replicates whose samples are in mean and second.
    """

    replicates: int
    samples: int
    mean: Array
    second: Array
    risk: Array
    batch: Array
    counted: float

    @classmethod
    def of(cls, run: Any, arm: str) -> Averages | None:
        """Read one arm; None if the run takes no averages or has no complete wave."""
        found = run.averages(arm)
        if found is None or not run.progress.replicates_done:
            return None
        count, mean, second = found
        risk, batch = run.rows("average_risk", arm), run.rows("average_risk_batch", arm)
        plan = sampling(run.spec)
        return cls(len(risk), plan.count, mean, second, risk, batch, count / plan.count)

    @property
    def whole(self) -> bool:
        """True if no replicate diverged."""
        return bool(np.all(np.isfinite(self.risk))) and self.counted == self.replicates


def sampling(spec: Any) -> theory.Sampling:
    """Which steps a spec samples."""
    average = spec.record.average
    return theory.Sampling(average.burn_in, average.thin, (spec.horizon - average.burn_in) // average.thin)


def predicted_average(prediction: Prediction) -> dict[str, Any] | None:
    """Time-averaged risk of one replicate: samples, expectation and standard deviation (Gaussian); None without one."""
    spec = prediction.model.spec
    law = None if spec.record.average is None else _law(prediction, sampling(spec))
    if law is None:
        return None
    value, deviation = float(law.value[0]), math.sqrt(float(law.variance[0]))
    return {"samples": sampling(spec).count, "risk": value, "standard_deviation": deviation}


def time_average_rows(run: Any, predictions: Sequence[Prediction]) -> list[Row]:
    """Rows of all arms; of nonlinear arms that differ in their step size only the extrapolation alone is tested."""
    if run.spec.record.average is None:
        return []
    if not all(p.model.design.independent for p in predictions):
        return []  # neighbouring steps are correlated
    observed = [Averages.of(run, arm) for arm in run.arms]
    rows: list[Row] = []
    expected: list[float] = []
    for prediction, seen in zip(predictions, observed, strict=True):
        plan = sampling(run.spec)
        law = None if seen is None else prediction.once(("averages", plan), partial(_law, prediction, plan))
        if seen is None or law is None:
            return []
        expected.append(float(law.value[0]))
        relative = prediction.pilot.relative(prediction) if prediction.pilot is not None else 0.0
        found = _rows_of_arm(prediction, seen, law, plan)
        rows += [widened(row, relative * abs(row.predicted)) for row in found]
    if all(p.exact for p in predictions):
        return [*rows, *_paired_rows(predictions, observed, expected)]
    if not differ_in_step_size_only(predictions):
        return rows
    rows = [replace(row, in_verdict=False) for row in rows]
    if observed[0] is not None and observed[0].replicates > 1 and all(o is not None and o.whole for o in observed):
        ratios = np.stack([o.risk / e for o, e in zip(observed, expected, strict=True) if o is not None])
        rows.append(limit_row(predictions, ratios, last_errors(predictions), RISK, None))
    return rows


def time_average_notes(run: Any, predictions: Sequence[Prediction]) -> list[str]:
    """Why there are averages that are not compared."""
    if run.spec.record.average is None or all(p.model.schedule.constant for p in predictions):
        return []
    plan = sampling(run.spec)
    if plan.count <= LARGEST_LOOP:
        return []
    thin = -(-plan.thin * plan.count // LARGEST_LOOP)
    return [
        f"time averages of a decaying step are compared up to {LARGEST_LOOP} samples, got {plan.count}; "
        f"give record.average.thin >= {thin}"
    ]


def _paired_rows(
    predictions: Sequence[Prediction], observed: Sequence[Averages | None], expected: Sequence[float]
) -> Iterator[Row]:
    """Ratios of the first arm to every later one, replicate by replicate."""
    first, *others = (o.risk if o is not None and o.whole and o.replicates > 1 else None for o in observed)
    for prediction, risk, level in zip(predictions[1:], others, expected[1:], strict=True):
        if first is not None and risk is not None:
            names = f"{predictions[0].model.arm}/{prediction.model.arm}"
            yield paired_row(names, f"{RISK} ratio", None, first, risk, expected[0] / level)


def _law(prediction: Prediction, plan: theory.Sampling) -> theory.Averages | None:
    """Law of the averages of one replicate; forms: F, W/rank with W the inverse of the second moment, then entries.

    None where it cannot be told: too many samples of a varying step, an overflow, no noise at all.
    """
    model = prediction.model
    if not model.schedule.constant and plan.count > LARGEST_LOOP:
        return None
    found = _arguments(prediction, plan)
    if found is None:
        return None
    second = theory.averages(*found).second
    if not np.all(np.isfinite(second)) or not np.any(second):
        return None
    whiten = singular.restricted(prediction, second)
    forms = [model.metric, whiten @ whiten.T / whiten.shape[1], *_entries(model.dimension)]
    law = theory.averages(*found, np.stack(forms))
    return law if np.all(np.isfinite(law.variance)) and law.variance[0] > 0.0 else None


def _entries(d: int) -> list[Array]:
    """Forms whose averages are the entries i >= j of the second moment."""
    found = []
    for i, j in zip(*np.tril_indices(d if d <= MOST_LISTED else 0), strict=True):
        form = np.zeros((d, d))
        form[i, j] += 0.5
        form[j, i] += 0.5
        found.append(form)
    return found


def _arguments(prediction: Prediction, plan: theory.Sampling) -> tuple[Any, Any, Any, Any, Any, Any] | None:
    """What `theory.averages` is given; None where the moments of the samples cannot be told.

    With the state-dependent noise of least squares the recursion has the second moments, autocovariances included, of
    one with independent noise of covariance E Cov(noise | Delta) = (H S + S H)/eta - H S H, S the stationary second
    moment: what the noise adds at a step is uncorrelated with everything before it. The burn-in must forget the start.
    """
    model = prediction.model
    basis, constant = eigenbasis(model.drift), model.schedule.constant
    frozen = (basis, prediction.sigma, model.etas, plan, *model.start(prediction.sigma))
    if not prediction.path.state_dependent:
        return frozen
    pool, plateau = model.least_squares, prediction.frozen_plateau()
    if pool is None or not constant or not prediction.stable or not plateau:
        return None
    first = theory.averages(*frozen).second
    if abs(float(np.sum(model.metric * first)) / plateau - 1.0) > STATIONARY:
        return None
    eta, values = model.schedule.size, basis.values
    moment = least_squares_stationary.stationary(pool, eta, model.factor)  # in the eigenbasis of H
    noise = moment * (np.add.outer(values, values) / eta - np.multiply.outer(values, values))
    return basis, basis.back(noise), model.etas, plan, np.zeros(len(values)), basis.back(moment)


def _rows_of_arm(prediction: Prediction, seen: Averages, law: theory.Averages, plan: theory.Sampling) -> Iterator[Row]:
    arm, n, whole = prediction.model.arm, seen.replicates, seen.whole
    yield _risk_row(prediction, seen, law)
    if seen.counted < 1:
        return
    whiten = prediction.once(("averages", "whitener", plan), partial(singular.restricted, prediction, law.second))
    rank = whiten.shape[1]
    size = float(np.sum((whiten @ whiten.T) * seen.second)) / rank
    yield _form_row(f"{arm}", "time-averaged covariance", size, law, 1, seen)
    apart = seen.mean - law.mean
    root = prediction.once(("averages", "root", plan), partial(singular.restricted, prediction, law.mean_covariance))
    distance = seen.counted * float(np.sum((root.T @ apart) ** 2)) / root.shape[1]
    z = z_gamma(root.shape[1] / 2, distance)
    yield Row(arm, "time-averaged mean", None, distance, math.sqrt(2 / root.shape[1]), 1.0, z, n, in_verdict=whole)
    names = prediction.model.dimension if prediction.model.dimension <= MOST_LISTED else 0
    tested = singular.tested_coordinates(prediction)
    for k, (i, j) in enumerate(zip(*np.tril_indices(names), strict=True)):
        quantity = f"time-averaged second moment {i},{j}"
        row = _form_row(arm, quantity, float(seen.second[i, j]), law, 2 + k, seen)
        yield row if tested[i] and tested[j] else replace(row, in_verdict=False)
    yield from _correlation_row(prediction, seen, law, plan)


def _form_row(arm: str, quantity: str, value: float, law: theory.Averages, index: int, seen: Averages) -> Row:
    """A quadratic form averaged over samples and replicates, its error from the predicted autocovariance."""
    expected, error = float(law.value[index]), math.sqrt(float(law.variance[index]) / seen.counted)
    z = z_exact(value, expected)
    if error > 0.0:
        z = z_pearson3((value - expected) / error, float(law.skewness[index]) / math.sqrt(seen.counted))
    tested = seen.whole and error < LARGEST_ERROR * math.sqrt(abs(_scale(law, index)))
    return Row(arm, quantity, None, value, error, expected, z, seen.replicates, in_verdict=tested)


def _scale(law: theory.Averages, index: int) -> float:
    """Square of what an error of a form is compared with: its value, for an entry the product of the variances."""
    if index < 2:
        return float(law.value[index]) ** 2
    i, j = (int(k[index - 2]) for k in np.tril_indices(len(law.second)))
    return float(law.second[i, i] * law.second[j, j])


def _risk_row(prediction: Prediction, seen: Averages, law: theory.Averages) -> Row:
    """The average of the risk: error from the autocovariance if Gaussian, else between replicates or batches."""
    values = seen.risk[np.isfinite(seen.risk)]
    arm, n, expected = prediction.model.arm, len(values), float(law.value[0])
    if not n:
        return Row(arm, RISK, None, math.nan, math.nan, expected, 0.0, 0, in_verdict=False)
    mean = float(np.mean(values))
    sample, z = z_sample_mean(values, expected) if n > 1 else (None, 0.0)
    if prediction.gaussian:
        row = _form_row(arm, RISK, mean, law, 0, seen)
        return replace(row, standard_error_sample=sample)
    if n < FEW_REPLICATES:
        error, degrees, settled = batch_error(seen.batch[np.isfinite(seen.risk)])
        z = z_student((mean - expected) / error, degrees)
        return Row(arm, RISK, None, mean, error, expected, z, n, sample, seen.whole and settled)
    assert sample is not None
    return Row(arm, RISK, None, mean, sample, expected, z, n, sample, seen.whole)


def batch_error(batch: Array) -> tuple[float, float, bool]:
    """(standard error of the mean of all, degrees of freedom, whether batches are long enough) from batches[R, B].

    Replicates are independent, batches of one replicate nearly so; what is left of their correlation, that of
    neighbours, is added to the variance. Batches are called long enough where it is below 0.3.
    """
    n, b = batch.shape
    apart = batch - np.mean(batch, axis=1, keepdims=True)
    degrees = n * (b - 1)
    variance = float(np.sum(apart * apart)) / degrees
    neighbours = float(np.sum(apart[:, 1:] * apart[:, :-1])) / degrees / variance if variance > 0 else 0.0
    error = math.sqrt(variance * (1 + 2 * max(neighbours, 0.0)) / (n * b))
    return error, float(degrees), neighbours < 0.3


def _correlation_row(
    prediction: Prediction, seen: Averages, law: theory.Averages, plan: theory.Sampling
) -> Iterator[Row]:
    """Integrated autocorrelation time of the risk in steps, 1 + 2 sum of correlations at lags of `thin`, times `thin`.

    Measured by the variance of batches within a replicate, predicted for that estimate; a constant step whose start is
    forgotten after the burn-in, only.
    """
    model, plateau = prediction.model, prediction.frozen_plateau()
    if plateau is None or plateau <= 0 or not seen.whole or abs(law.value[0] / plateau - 1) > 0.01:
        return
    n, b = seen.batch.shape
    length = max(1, seen.samples // b)
    arguments = (model.metric, model.drift, prediction.sigma, model.etas)
    one, short, long = prediction.once(
        ("averages", "variances", plan, length),
        lambda: [transient.time_average_variance(*arguments, k, plan.thin) for k in (1, length, seen.samples)],
    )
    apart = seen.batch - np.mean(seen.batch, axis=1, keepdims=True)
    unit = plan.thin * length / one
    values = unit * np.sum(apart * apart, axis=1) / (b - 1)
    expected = unit * (short - long) * b / (b - 1)
    value, error = float(np.mean(values)), expected * math.sqrt(2 / (n * (b - 1)))  # of normal batches
    z = (value - expected) / error
    if n > 1:
        error, z = z_sample_mean(values, expected)
    yield Row(model.arm, "autocorrelation time of the risk", None, value, error, expected, z, n, in_verdict=False)

"""Comparisons at each recorded step: risk, mean, size and shape of the covariance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import LARGEST_RISK, Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.scatter import SizeScatter, size_scatter
from fastsgd.analysis.zscores import Z_LIMIT, z_exact, z_gamma, z_pearson3, z_sample_mean

Array = NDArray[np.float64]

FROZEN = "risk (frozen noise)"
# Of the statistic of the shape: beyond them its law is too far from that of many Gaussian samples.
LARGEST_KURTOSIS, FEWEST_REPLICATES = 0.1, 64


def step_rows(prediction: Prediction, observed: Observed) -> Iterator[Row]:
    """Rows of one arm at every recorded step whose risk is random, in the order of the steps.

    Steps at which replicates had diverged are shown over the survivors but not tested: survival selects. Nor are steps
    whose predicted variance overflows.
    """
    scatter = size_scatter(prediction, observed)
    for s in range(len(prediction.steps)):
        if observed.count[s] < 1:
            continue
        if not np.isfinite(prediction.risk[s]):
            yield unbounded_row(prediction, observed, s)
        elif prediction.random[s]:
            yield risk_row(prediction, observed, s)
            if prediction.frozen_risk is not None and observed.replicates > 1:
                yield frozen_row(prediction, observed, s)
            yield from moment_rows(prediction, observed, s, scatter[s])
        elif prediction.risk[s] >= LARGEST_RISK:
            row = unbounded_row(prediction, observed, s)
            yield replace(row, predicted=float(prediction.risk[s]), z=0.0, in_verdict=False)
        elif prediction.steps[s] > 0:
            yield certain_row(prediction, observed, s)


def risk_row(prediction: Prediction, observed: Observed, s: int) -> Row:
    """Mean risk at one step: standard error from the predicted law if Gaussian, else from the replicates."""
    values = observed.survivors(s)
    n, mean, expected = len(values), float(np.mean(values)), float(prediction.risk[s])
    sample, z = z_sample_mean(values, expected) if n > 1 else (None, 0.0)
    error = sample if sample is not None else math.nan
    if prediction.gaussian:
        law = prediction.risk_distribution(s)
        error, z = law.deviation / math.sqrt(n), law.z_of_mean(mean, n)
    arm, step, whole = prediction.model.arm, int(prediction.steps[s]), observed.whole(s)
    return Row(arm, "risk", step, mean, error, expected, z, n, sample, whole)


def frozen_row(prediction: Prediction, observed: Observed, s: int) -> Row:
    """Mean risk against the prediction with the noise of the optimum at every state: shown beside the exact one."""
    assert prediction.frozen_risk is not None
    values, expected = observed.survivors(s), float(prediction.frozen_risk[s])
    error, z = z_sample_mean(values, expected) if len(values) > 1 else (math.nan, 0.0)
    arm, step, mean = prediction.model.arm, int(prediction.steps[s]), float(np.mean(values))
    return Row(arm, FROZEN, step, mean, error, expected, z, len(values), error, in_verdict=False)


def certain_row(prediction: Prediction, observed: Observed, s: int) -> Row:
    """Mean risk at a step where the prediction leaves no randomness (no noise at all)."""
    values, expected, model = observed.survivors(s), float(prediction.risk[s]), prediction.model
    mean = float(np.mean(values))
    # What rounding of theta alone leaves: (1e-12)^2 of the risk of theta* and of the start.
    floor = 1e-24 * (float(prediction.risk[0]) + float(np.trace(model.metric)) * float(np.max(model.optimum**2)))
    z = z_exact(mean, expected, floor)
    tested = prediction.exact or expected == 0
    return Row(model.arm, "risk", int(prediction.steps[s]), mean, 0.0, expected, z, len(values), in_verdict=tested)


def unbounded_row(prediction: Prediction, observed: Observed, s: int) -> Row:
    """Mean risk at a step where the prediction has overflowed: finite risks contradict it."""
    values = observed.survivors(s)
    with np.errstate(over="ignore"):
        arm, step, mean = prediction.model.arm, int(prediction.steps[s]), float(np.mean(values))
    return Row(arm, "risk", step, mean, math.inf, math.inf, -Z_LIMIT, len(values), None, observed.whole(s))


def moment_rows(
    prediction: Prediction, observed: Observed, s: int, scatter: SizeScatter | None = None
) -> Iterator[Row]:
    """Covariance (size and shape) and mean at one step, as ratios to what samples of the predicted law give on average.

    scatter: of the size, where the law is not Gaussian; the shape is then that of samples of its kurtosis.
    """
    arm, step, n, whole = prediction.model.arm, int(prediction.steps[s]), int(observed.count[s]), observed.whole(s)
    whiten = prediction.whitener(s)
    rank = whiten.shape[1]
    if n > 1:
        white = whiten.T @ observed.covariance[s] @ whiten
        size = float(np.trace(white)) / rank
        degrees, kurtosis = rank * (n - 1), 0.0
        z, error, sampled, known = z_gamma(degrees / 2, size), math.sqrt(2 / degrees), None, whole
        if scatter is not None:
            error, z, kurtosis = scatter.error(n), scatter.z(size, n), scatter.kurtosis
            sampled = error if scatter.known else None
        if not prediction.gaussian:
            known = whole and sampled is not None
        yield Row(arm, "covariance", step, size, error, 1.0, z, n, sampled, in_verdict=known)
        if n > rank > 1:
            value, error, z = sphericity(white, n - 1, 1 + kurtosis)
            fits = known and (prediction.gaussian or (kurtosis <= LARGEST_KURTOSIS and n >= FEWEST_REPLICATES))
            yield Row(arm, "covariance shape", step, value, error, 1.0, z, n, in_verdict=fits)
    distance = n * float(np.sum((whiten.T @ (observed.mean[s] - prediction.mean[s])) ** 2)) / rank
    z = z_gamma(rank / 2, distance)
    yield Row(arm, "mean", step, distance, math.sqrt(2 / rank), 1.0, z, n, in_verdict=whole)


def sphericity(white: Array, degrees: int, inflation: float = 1.0) -> tuple[float, float, float]:
    """(value, standard error, z) of Mauchly's statistic u = d log(tr W/d) - log det W against its expectation.

    inflation: 1 + Mardia's kurtosis, the factor of the expectation of u to leading order in 1/degrees.

    W float64[d, d] is a sample covariance of whitened data with `degrees` >= d degrees of freedom. u >= 0 measures
    the shape alone (a common factor cancels). log det W = d log tr W + (independent of tr W), and log det of a Wishart
    matrix is a sum of log chi-squares, so the first three cumulants are exact polygamma sums; z by a matched gamma.
    """
    d = len(white)
    sign, logdet = np.linalg.slogdet(white)
    halves = (degrees - np.arange(d)) / 2
    total = degrees * d / 2
    mean = d * (float(special.digamma(total)) - math.log(d)) - float(np.sum(special.digamma(halves)))
    variance = float(np.sum(special.polygamma(1, halves))) - d**2 * float(special.polygamma(1, total))
    third = d**3 * float(special.polygamma(2, total)) - float(np.sum(special.polygamma(2, halves)))
    value = d * math.log(float(np.trace(white)) / d) - float(logdet) if sign > 0 else math.inf
    deviation = math.sqrt(variance)
    value = min(value, 1e300) / inflation
    return value / mean, deviation / mean, z_pearson3((value - mean) / deviation, third / deviation**3)

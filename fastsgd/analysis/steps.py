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
from fastsgd.analysis.zscores import Z_LIMIT, z_exact, z_gamma, z_pearson3, z_sample_mean

Array = NDArray[np.float64]

FROZEN = "risk (frozen noise)"


def step_rows(prediction: Prediction, observed: Observed) -> Iterator[Row]:
    """Rows of one arm at every recorded step whose risk is random, in the order of the steps.

    Steps at which replicates had diverged are shown over the survivors but not tested: survival selects. Nor are steps
    whose predicted variance overflows.
    """
    for s in range(len(prediction.steps)):
        if observed.count[s] < 1:
            continue
        if not np.isfinite(prediction.risk[s]):
            yield unbounded_row(prediction, observed, s)
        elif prediction.random[s]:
            yield risk_row(prediction, observed, s)
            if prediction.frozen_risk is not None and observed.replicates > 1:
                yield frozen_row(prediction, observed, s)
            yield from moment_rows(prediction, observed, s)
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


def moment_rows(prediction: Prediction, observed: Observed, s: int) -> Iterator[Row]:
    """Covariance (size and shape) and mean at one step, as ratios to what Gaussian samples give on average."""
    arm, step, n, whole = prediction.model.arm, int(prediction.steps[s]), int(observed.count[s]), observed.whole(s)
    # With state-dependent noise the fourth moments, and so the errors of a covariance, are not known.
    known = whole and not prediction.path.known
    whiten = prediction.whitener(s)
    rank = whiten.shape[1]
    if n > 1:
        white = whiten.T @ observed.covariance[s] @ whiten
        size = float(np.trace(white)) / rank
        degrees = rank * (n - 1)
        z, error, sampled = z_gamma(degrees / 2, size), math.sqrt(2 / degrees), None
        if not prediction.gaussian and whole and s == len(prediction.steps) - 1 and n == observed.replicates:
            error, z = z_sample_mean(final_sizes(prediction, observed), 1.0)
            sampled = error
        yield Row(arm, "covariance", step, size, error, 1.0, z, n, sampled, in_verdict=known or sampled is not None)
        if n > rank > 1:
            value, error, z = sphericity(white, n - 1)
            yield Row(arm, "covariance shape", step, value, error, 1.0, z, n, in_verdict=known)
    distance = n * float(np.sum((whiten.T @ (observed.mean[s] - prediction.mean[s])) ** 2)) / rank
    z = z_gamma(rank / 2, distance)
    yield Row(arm, "mean", step, distance, math.sqrt(2 / rank), 1.0, z, n, in_verdict=whole)


def final_sizes(prediction: Prediction, observed: Observed) -> Array:
    """(x_i - mean)' S^+ (x_i - mean) / rank at the last step, float64[R]; their mean is tr(S^+ Chat) / rank."""
    whiten, n = prediction.whitener(len(prediction.steps) - 1), observed.replicates
    white = (observed.final - np.mean(observed.final, axis=0)) @ whiten
    sizes: Array = np.sum(white * white, axis=1) * (n / (n - 1) / whiten.shape[1])
    return sizes


def sphericity(white: Array, degrees: int) -> tuple[float, float, float]:
    """(value, standard error, z) of Mauchly's statistic u = d log(tr W/d) - log det W against its expectation.

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
    value = min(value, 1e300)
    return value / mean, deviation / mean, z_pearson3((value - mean) / deviation, third / deviation**3)

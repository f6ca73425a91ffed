"""All recorded steps of an arm in one scale factor: what makes an error of a few per cent visible."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.observed import Observed
from fastsgd.analysis.pilot_errors import widened
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.scatter import covariance_of_sizes, size_scatter
from fastsgd.analysis.zscores import z_pearson3, z_sample_mean, z_studentised
from fastsgd.theory import paths
from fastsgd.theory.eigen import eigenbasis

Array = NDArray[np.float64]

LARGEST_ERROR = 0.3  # relative; above it the three-moment law of a combined row is too rough to test


def combined_rows(prediction: Prediction, observed: Observed) -> Iterator[Row]:
    """Rows "risk (all steps)" and "covariance (all steps)" of one arm; none where they could not be formed."""
    steps = [s for s in np.flatnonzero(prediction.random) if observed.whole(int(s))]
    if not steps or observed.replicates < 1:
        return
    index = np.asarray(steps)
    risk = exact_risk_row if prediction.gaussian else sample_risk_row
    if prediction.gaussian or observed.replicates > 1:
        yield risk(prediction, observed, index)
    if observed.replicates > 1:
        yield covariance_row(prediction, observed, index)


def scale_weights(predicted: Array, covariance: Array) -> tuple[Array, float]:
    """Generalised least squares for alpha in E y = alpha predicted, Cov y = covariance: (w, Var alpha), alpha = w'y.

    predicted float64[s], covariance float64[s, s]; directions of the correlation matrix below 1e-10 are left out, as
    densely recorded steps make it nearly singular.
    """
    deviation = np.sqrt(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    inside = values > 1e-10 * values[-1]
    root = (vectors[:, inside] / np.sqrt(values[inside])).T / deviation
    target = root @ predicted
    information = float(target @ target)
    return (target @ root) / information, 1 / information


def scale_factors(prediction: Prediction, observed: Observed, index: NDArray[np.int64]) -> tuple[Array, Array, float]:
    """Each replicate's estimate of measured/predicted risk over steps[index], float64[R], the weights and its variance.

    Weights and variance come from the predicted Gaussian covariance between steps: they do not depend on the data, so
    the mean of the estimates is unbiased also where that covariance is only leading order.
    """
    weights, variance = prediction.once(
        ("risk weights", *index.tolist()),
        lambda: scale_weights(prediction.risk[index], prediction.risk_covariance(index)),
    )
    return observed.risk[:, index] @ weights, weights, variance


def exact_risk_row(prediction: Prediction, observed: Observed, index: NDArray[np.int64]) -> Row:
    """Scale factor of the recorded risks, its error from the prediction.

    The skewness of the estimate is that of a gamma variable of its variance, times the weighted mean over the steps of
    (skewness of the risk) / (twice its coefficient of variation): exact for a single step.
    """
    n, expected = observed.replicates, prediction.risk[index]
    each, weights, variance = scale_factors(prediction, observed, index)
    error, value = math.sqrt(variance / n), float(np.mean(each))
    share = np.abs(weights * expected)
    relative = np.sqrt(prediction.risk_variance[index]) / expected
    shape = np.asarray([prediction.risk_distribution(int(s)).skewness for s in index]) / (2 * relative)
    skewness = 2 * error * float(np.average(shape, weights=share))
    z = z_pearson3((value - 1) / error, skewness)
    sample = z_sample_mean(each, 1.0)[0] if n > 1 else None
    row = Row(prediction.model.arm, "risk (all steps)", None, value, error, 1.0, z, n, sample, error < LARGEST_ERROR)
    return row if prediction.pilot is None else widened(row, prediction.pilot.of_risk(index, weights))


def sample_risk_row(prediction: Prediction, observed: Observed, index: NDArray[np.int64]) -> Row:
    """Scale factor of the recorded risks, its error from the scatter between replicates."""
    each, weights, _ = scale_factors(prediction, observed, index)
    error, z = z_sample_mean(each, 1.0)
    row = Row(prediction.model.arm, "risk (all steps)", None, float(np.mean(each)), error, 1.0, z, len(each), error)
    return row if prediction.pilot is None else widened(row, prediction.pilot.of_risk(index, weights))


def covariance_row(prediction: Prediction, observed: Observed, index: NDArray[np.int64]) -> Row:
    """Scale factor of the whitened covariances, correlation between steps included (Gaussian; exact for one step).

    Where the law is not Gaussian: over the steps whose scatter is known, with their variances from the scatter.
    """
    scatter = size_scatter(prediction, observed)
    measured = [s for s in index if (one := scatter[s]) is not None and one.known]
    if not prediction.gaussian and measured:
        index = np.asarray(measured)
    whiten = [prediction.whitener(int(s)) for s in index]
    pairs = zip(index, whiten, strict=True)
    sizes = np.asarray([np.einsum("ia,ij,ja->", B, observed.covariance[s], B) for s, B in pairs])
    ranks = np.asarray([float(B.shape[1]) for B in whiten])
    # While a run goes on its earlier steps have more replicates, among them all those of the later ones.
    n = observed.count[index]
    each = prediction.once(("sizes", *index.tolist()), lambda: size_covariance(prediction, index, whiten))
    degrees = np.maximum.outer(n, n) - 1
    weights, variance = scale_weights(ranks, each / degrees)
    value, tested = float(weights @ sizes), prediction.gaussian or bool(measured)
    known = [one for s in index if (one := scatter[s]) is not None]
    if prediction.gaussian or len(known) < len(index):
        error, sample = math.sqrt(variance), None
        z = z_pearson3((value - 1) / error, 2 * error)
    else:
        root = weights * ranks
        spread = covariance_of_sizes(known, each / np.outer(ranks, ranks)) / degrees
        error = sample = math.sqrt(max(float(root @ spread @ root), 0.1 * variance))
        # As of a gamma law: skewness in units of the coefficient of variation.
        shape = np.average([one.skewness / math.sqrt(one.variance) for one in known], weights=np.abs(weights * ranks))
        z = z_studentised((value - 1) / error, float(shape) * error, min(one.degrees for one in known))
    arm, what = prediction.model.arm, "covariance (all steps)"
    row = Row(arm, what, None, value, error, 1.0, z, int(n.min()), sample, in_verdict=tested and error < LARGEST_ERROR)
    return row if prediction.pilot is None else widened(row, prediction.pilot.of_size(index, weights * ranks))


def size_covariance(prediction: Prediction, index: NDArray[np.int64], whiten: list[Array]) -> Array:
    """Cov(|B_s' x_s|^2, |B_t' x_t|^2) = 2 |B_t' P_st C_s B_s|^2 (Frobenius), x_s = Delta_s - m_s, float64[s, s].

    P_st is the product of the contractions I - eta_k H between the two steps.
    """
    basis = eigenbasis(prediction.model.drift)
    factors = paths.contraction_products(basis, prediction.model.etas, prediction.steps[index])
    left = [basis.into_vector(B.T) for B in whiten]
    right = [basis.into_vector((prediction.covariance[s] @ B).T).T for s, B in zip(index, whiten, strict=True)]
    result = np.empty((len(index), len(index)))
    for s in range(len(index)):
        moved = right[s]
        for t in range(s, len(index)):
            if t > s:
                moved = factors[t - 1][:, None] * moved
            result[s, t] = result[t, s] = 2 * float(np.sum((left[t] @ moved) ** 2))
    return result

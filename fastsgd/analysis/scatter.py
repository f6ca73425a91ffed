"""How much the size of a covariance scatters where no Gaussian law says it: at every recorded step, from what a run keeps.

The size of a sample covariance is the mean over the replicates of q = (x - m)' S^+ (x - m) / rank. Its variance and the mean of
Mauchly's statistic of the shape depend on one number beside the covariance, Mardia's kurtosis

    kappa = (Var(rank q) - 2 tr(WW)) / (tr(W)^2 + 2 tr(WW)),        W the whitened covariance; 0 for a Gaussian law.

The last step has every replicate, so q itself. Other steps have q of the kept trajectories, or the risk of every replicate: the
same number in the metric F, equal to kappa for elliptical laws. Its change from the last step on is taken for that of kappa,
where the risk scatters by its square and not by the way that the mean has still to go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.zscores import z_studentised

Array = NDArray[np.float64]

FEWEST_KEPT = 256  # trajectories: their kurtosis is as good as that of the risks of all replicates
LARGEST_LINEAR = 0.25  # share of the linear part in the variance of the risk beside that of its square
LEAST = 0.1  # of the Gaussian variance
FEWEST_REPLICATES = (
    32  # from here on 95 % intervals cover 95 to 96 % for laws of kurtosis up to 7; 8 give 94 % and long tails
)


@dataclass(frozen=True)
class SizeScatter:
    """Scatter of the size q of one replicate at one step.

    Attributes:
        variance, skewness: of q. kurtosis: kappa. gaussian: variance of q by its covariance alone, 2 tr(WW) / rank^2.
        degrees: replicates that the variance comes from, less one.
        known: False where nothing that a run keeps tells the kurtosis of this step (that of the last one is taken), or
            where the replicates are too few.
    """

    variance: float
    gaussian: float
    skewness: float
    kurtosis: float
    degrees: int
    known: bool

    def error(self, n: int) -> float:
        """Standard error of the size of the covariance of n replicates."""
        return math.sqrt(self.variance / n)

    def z(self, size: float, n: int) -> float:
        """z of a measured size against 1."""
        root = math.sqrt(n)
        return z_studentised((size - 1) / self.error(n), self.skewness / root, self.degrees)


def size_scatter(prediction: Prediction, observed: Observed) -> list[SizeScatter | None]:
    """Scatter at each of the S steps; None where the law is Gaussian, a replicate diverged or there are too few."""
    steps = len(prediction.steps)
    found: list[SizeScatter | None] = [None] * steps
    if prediction.gaussian or observed.replicates < 2:
        return found
    end = prediction.random[-1] and observed.whole(steps - 1) and observed.count[-1] == observed.replicates
    last = _of_sizes(prediction, observed, steps - 1, observed.final) if end else None
    kept = observed.trajectories()
    with np.errstate(over="ignore", invalid="ignore"):
        for s in range(steps):
            if not prediction.random[s] or not observed.whole(s) or observed.count[s] < 2:
                continue
            if last is not None and s == steps - 1:
                one = last
            elif len(kept) >= FEWEST_KEPT:
                one = _of_sizes(prediction, observed, s, kept[:, s])
            else:
                one = _of_risks(prediction, observed, s, last)
            found[s] = one if 0.0 < one.variance < math.inf and math.isfinite(one.skewness) else None
    return found


def sizes(prediction: Prediction, observed: Observed, s: int, states: Array) -> Array:
    """q of each of the states float64[K, d] at steps[s], float64[K]; of all replicates their mean is tr(S^+ Chat) / rank."""
    whiten, n = prediction.whitener(s), int(observed.count[s])
    white = (states - observed.mean[s]) @ whiten
    found: Array = np.sum(white * white, axis=1) * (n / (n - 1) / whiten.shape[1])
    return found


def covariance_of_sizes(scatter: Sequence[SizeScatter], gaussian: Array) -> Array:
    """Covariance of q between steps from the Gaussian one of the predicted law, float64[s, s] both.

    What a variance has beyond the Gaussian one comes from the noise up to that step. Of it as much is left at a later step
    as of the Gaussian variance: exact for independent noise.
    """
    own = np.diagonal(gaussian)
    scale = np.sqrt([one.gaussian for one in scatter]) / np.sqrt(own)
    excess = np.array([one.variance - one.gaussian for one in scatter]) / (own * scale**2)
    first = np.minimum.outer(np.arange(len(own)), np.arange(len(own)))
    found: Array = gaussian * np.outer(scale, scale) * (1 + excess[first])
    return found


def _of_sizes(prediction: Prediction, observed: Observed, s: int, states: Array) -> SizeScatter:
    q = sizes(prediction, observed, s, states)
    trace, square = _traces(prediction, observed, s)
    rank, variance = prediction.whitener(s).shape[1], float(np.var(q, ddof=1))
    kurtosis = (variance * rank**2 - 2 * square) / (trace**2 + 2 * square)
    plain = 2 * square / rank**2
    return SizeScatter(max(variance, LEAST * plain), plain, _skewness(q), kurtosis, len(q) - 1, _enough(observed))


def _of_risks(prediction: Prediction, observed: Observed, s: int, last: SizeScatter | None) -> SizeScatter:
    trace, square = _traces(prediction, observed, s)
    rank = prediction.whitener(s).shape[1]
    own, linear = _risk_kurtosis(prediction, observed, s)
    kurtosis, known = 0.0 if last is None else last.kurtosis, linear <= LARGEST_LINEAR and _enough(observed)
    if known and last is not None:
        end = len(prediction.steps) - 1
        there, far = _risk_kurtosis(prediction, observed, end)
        beside = kurtosis - there if far <= LARGEST_LINEAR else 0.0
        own += beside * (1.0 if beside > 0 else min(1.0, _grown(prediction, observed, s)))
    if known:
        kurtosis = max(own, min(kurtosis, 0.0))
    plain = 2 * square / rank**2
    variance = max(plain * (1 + kurtosis) + kurtosis * (trace / rank) ** 2, LEAST * plain)
    # As of a gamma law, skewness and coefficient of variation go together.
    values = observed.risk[:, s]
    trace_risk = float(np.sum(prediction.model.metric * observed.covariance[s]))
    gamma = _skewness(values) / float(np.std(values)) * trace_risk if known and np.ptp(values) > 0 else 2.0
    return SizeScatter(variance, plain, gamma * math.sqrt(variance) * rank / trace, kurtosis, len(values) - 1, known)


def _grown(prediction: Prediction, observed: Observed, s: int) -> float:
    """Size of the covariance at steps[s] beside the last one, in the coordinates of that."""
    whiten = prediction.whitener(len(prediction.steps) - 1)
    here, there = (float(np.trace(whiten.T @ observed.covariance[at] @ whiten)) for at in (s, -1))
    return here / there if there > 0 else 0.0


def _enough(observed: Observed) -> bool:
    return observed.replicates >= FEWEST_REPLICATES


def _traces(prediction: Prediction, observed: Observed, s: int) -> tuple[float, float]:
    """tr W and tr(WW) of the whitened covariance."""
    whiten = prediction.whitener(s)
    white = whiten.T @ observed.covariance[s] @ whiten
    return float(np.trace(white)), float(np.sum(white * white))


def _risk_kurtosis(prediction: Prediction, observed: Observed, s: int) -> tuple[float, float]:
    """Kurtosis in the metric F, and the variance of the linear part of the risk in units of that of its square."""
    F, C, m = prediction.model.metric, observed.covariance[s], observed.mean[s]
    FC = F @ C
    trace, square = float(np.trace(FC)), float(np.sum(FC * FC.T))
    linear = 4 * float(m @ FC @ F @ m)
    if square <= 0.0:
        return 0.0, math.inf
    unit = trace * trace
    spread = float(np.var(observed.risk[:, s] / trace, ddof=1)) * unit
    return (spread - 2 * square - linear) / (unit + 2 * square), linear / (2 * square)


def _skewness(values: Array) -> float:
    centred = values - np.mean(values)
    deviation = float(np.std(centred, ddof=1))
    return float(np.mean((centred / deviation) ** 3)) if deviation > 0 else 0.0

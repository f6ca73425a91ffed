"""The standard errors that a spec's replicates will give, before anything is simulated."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fastsgd.analysis.combined import scale_weights
from fastsgd.analysis.model import from_spec
from fastsgd.analysis.prediction import Prediction
from fastsgd.theory.statistics import sidak_z

FALSE_ALARM = 1e-4


@dataclass(frozen=True)
class Expected:
    """One row that `ratio` will have.

    Attributes:
        standard_error: of the ratio measured/predicted with the asked replicates, Gaussian.
        detectable: relative error of a prediction that the verdict finds half of the time.
        for_one_percent: replicates that give a standard error of 1 %.
    """

    arm: str
    quantity: str
    step: int | None
    predicted: float
    standard_error: float
    detectable: float
    for_one_percent: int

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def expected_errors(spec: Any, replicates: int | None = None) -> list[Expected]:
    """Rows "risk" and "covariance" at every recorded step, "risk (all steps)", and ratios of arms, R replicates.

    The risk ratio of two arms is an upper bound: arms share their draws, and their difference varies less than this.
    """
    count = replicates or spec.replicates
    steps = np.asarray(spec.record_steps(), dtype=np.int64)
    predictions = [Prediction.of(model, steps) for model in from_spec(spec)]
    found: list[tuple[str, str, int | None, float, float]] = []
    for p in predictions:
        index = np.flatnonzero(p.random)
        relative = np.sqrt(p.risk_variance[index]) / p.risk[index]
        for s, r in zip(index, relative, strict=True):
            found.append((p.model.arm, "risk", int(steps[s]), float(p.risk[s]), float(r)))
            rank = p.whitener(int(s)).shape[1]
            found.append((p.model.arm, "covariance", int(steps[s]), 1.0, math.sqrt(2 / rank)))
        if len(index):
            _, variance = scale_weights(p.risk[index], p.risk_covariance(index))
            found.append((p.model.arm, "risk (all steps)", None, 1.0, math.sqrt(variance)))
    first = predictions[0]
    for other in predictions[1:]:
        for s in np.flatnonzero(first.random & other.random):
            both = sum(float(p.risk_variance[s] / p.risk[s] ** 2) for p in (first, other))
            names = f"{first.model.arm}/{other.model.arm}"
            rho = float(first.risk[s] / other.risk[s])
            found.append((names, "risk ratio (at most)", int(steps[s]), rho, math.sqrt(both)))
    threshold = sidak_z(FALSE_ALARM, max(len(found), 1))
    return [
        Expected(arm, what, step, value, one / math.sqrt(count), threshold * one / math.sqrt(count), _replicates(one))
        for arm, what, step, value, one in found
    ]


def _replicates(one: float) -> int:
    """Replicates for a relative error of 1 %, from that of one replicate."""
    return math.ceil((one / 0.01) ** 2)

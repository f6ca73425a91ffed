"""One comparison of a measured quantity with its prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

COLUMNS = (
    "arm",
    "quantity",
    "step",
    "empirical",
    "standard_error",
    "standard_error_sample",
    "predicted",
    "ratio",
    "z",
    "replicates",
    "in_verdict",
)


@dataclass(frozen=True)
class Row:
    """A measured value, its prediction and the normal z of the difference.

    Attributes:
        arm: name of the arm (two names joined by "/", or "all", where arms are compared).
        quantity: what was measured.
        step: step number; None where all recorded steps are combined.
        standard_error: from the predicted distribution (Gaussian problems) or from the replicates (problems on data).
        standard_error_sample: from the scatter between replicates; None with one replicate or where not recorded.
        z: equivalent normal deviate, skewness included; a z above 0 means larger than predicted.
        replicates: how many replicates entered.
        in_verdict: False for a row that is shown but not tested.
    """

    arm: str
    quantity: str
    step: int | None
    empirical: float
    standard_error: float
    predicted: float
    z: float
    replicates: int
    standard_error_sample: float | None = None
    in_verdict: bool = True

    @property
    def ratio(self) -> float | None:
        """empirical / predicted; None where the prediction is 0."""
        return self.empirical / self.predicted if self.predicted else None

    def as_dict(self) -> dict[str, Any]:
        """The fields named in `COLUMNS`."""
        fields = {**asdict(self), "ratio": self.ratio}
        return {column: fields[column] for column in COLUMNS}

"""What a design of one arm gains over that of the first arm: Loewner order of the noise, and the plateau. Remark 9.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsgd.analysis.prediction import Prediction
from fastsgd.theory import comparison


def reductions(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Each later arm against the first: of the covariance Sigma of the mini-batch gradient and of the plateau.

    Returns a mapping an arm: {"arm", "against", "below", "smallest_gap", "largest_gap", "plateau_factor",
    "frozen_noise_factor"}: below is True when Sigma <= Sigma_first in Loewner order (then the frozen-noise plateau is not
    above either); the gaps are the extreme eigenvalues of Sigma_first - Sigma; factors are of the plateau risks, None
    without a plateau.
    """
    first, *others = predictions
    found = []
    for other in others:
        smallest = comparison.loewner_gap(other.sigma, first.sigma)
        found.append(
            {
                "arm": other.model.arm,
                "against": first.model.arm,
                "below": comparison.loewner_below(other.sigma, first.sigma),
                "smallest_gap": smallest,
                "largest_gap": -comparison.loewner_gap(first.sigma, other.sigma),
                "plateau_factor": _factor(other.plateau()[0], first.plateau()[0]),
                "frozen_noise_factor": _factor(other.frozen_plateau(), first.frozen_plateau()),
            }
        )
    return found


def _factor(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other

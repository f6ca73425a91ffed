"""Coordinates in which a predicted covariance is the identity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANK_TOLERANCE = 1e-12


def whitener(covariance: Array) -> Array:
    """B float64[d, r] with B'SB = I on the range of S and BB' a generalised inverse of S; r is the rank.

    S is scaled to a correlation matrix first, so that coordinates of very different sizes lose no digits; eigenvalues
    of the correlation matrix below 1e-12 of the largest count as zero.
    """
    deviation = np.sqrt(np.diagonal(covariance))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
    inside = values > RANK_TOLERANCE * max(float(np.max(values)), 1e-300)
    return scale[:, None] * vectors[:, inside] / np.sqrt(values[inside])

"""Checks of arguments: each failure is a ValueError of one line that names what was given and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SYMMETRY_TOLERANCE = 1e-10  # relative to the largest entry; what a file written with 12 digits still satisfies


def array(name: str, value: ArrayLike, shape: tuple[int | None, ...] | None = None) -> Array:
    """float64 array with finite entries and, if given, this shape (None: any length)."""
    try:
        result = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array of real numbers, got {type(value).__name__}") from None
    if shape is not None:
        wrong = result.ndim != len(shape) or any(
            want is not None and want != got for want, got in zip(shape, result.shape, strict=True)
        )
        if wrong:
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
            raise ValueError(f"{name} must have shape {wanted}, got {result.shape}")
    if not np.all(np.isfinite(result)):
        raise ValueError(f"{name} must be finite, got NaN or infinity; remove them from the input")
    return result


def symmetric(name: str, value: ArrayLike, dimension: int | None = None) -> Array:
    """Symmetric float64[d, d]: symmetric to 1e-10 of its largest entry, returned exactly symmetric."""
    matrix = array(name, value, (dimension, dimension))
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be square, got shape {matrix.shape}")
    if matrix.shape[0] == 0:
        raise ValueError(f"{name} must not be empty, got shape {matrix.shape}")
    asymmetry = float(np.max(np.abs(matrix - matrix.T)))
    if asymmetry == 0.0:
        return matrix
    if asymmetry > SYMMETRY_TOLERANCE * float(np.max(np.abs(matrix))):
        raise ValueError(f"{name} must be symmetric, got |M - M'| up to {asymmetry:.3g}; give (M + M')/2")
    return 0.5 * (matrix + matrix.T)


def covariance(name: str, value: ArrayLike, dimension: int | None = None) -> Array:
    """Symmetric float64[d, d] whose diagonal is not negative; a variance of -10 d eps of the largest counts as 0.

    Rounding leaves such variances where a matrix without full rank is turned into another basis.
    """
    matrix = symmetric(name, value, dimension)
    variances = np.diagonal(matrix)
    smallest = float(np.min(variances))
    if smallest >= 0.0:
        return matrix
    if smallest < -10 * len(matrix) * float(np.finfo(np.float64).eps) * float(np.max(variances)):
        raise ValueError(f"{name} must be a covariance, got a variance {smallest:.6g} < 0")
    return matrix - np.diag(np.minimum(variances, 0.0))


def positive(name: str, value: Any) -> float:
    """A finite number > 0."""
    number = real(name, value)
    if number <= 0.0:
        raise ValueError(f"{name} must be > 0, got {number!r}; give a positive number")
    return number


def nonnegative(name: str, value: Any) -> float:
    """A finite number >= 0."""
    number = real(name, value)
    if number < 0.0:
        raise ValueError(f"{name} must be >= 0, got {number!r}; give zero or a positive number")
    return number


def real(name: str, value: Any) -> float:
    """A finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one real number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number!r}")
    return number


def count(name: str, value: Any, least: int = 1) -> int:
    """An integer >= least."""
    whole = isinstance(value, (float, np.floating)) and float(value).is_integer()
    if isinstance(value, bool) or not (whole or isinstance(value, (int, np.integer))):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} must be >= {least}, got {number}")
    return number


def recorded_steps(value: ArrayLike) -> NDArray[np.int64]:
    """Strictly increasing step numbers >= 0, int64[S]."""
    steps = np.atleast_1d(np.asarray(value))
    if steps.ndim != 1 or steps.size == 0:
        raise ValueError(f"steps must be a non-empty list of step numbers, got shape {steps.shape}")
    if steps.dtype.kind not in "iu" and (steps.dtype.kind != "f" or not np.all(steps == np.floor(steps))):
        raise ValueError(f"steps must be integers, got {steps.dtype}")
    steps = steps.astype(np.int64)
    if steps[0] < 0 or np.any(np.diff(steps) <= 0):
        raise ValueError("steps must be >= 0 and strictly increasing; sort them and drop repetitions")
    return steps

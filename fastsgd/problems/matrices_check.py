"""Checks of a user's matrices from files, in plain NumPy: one line each with key, value and remedy."""

from typing import TYPE_CHECKING

import numpy as np

from fastsgd.errors import InputError

if TYPE_CHECKING:
    from fastsgd.spec import Spec

TOLERANCE = 1e-12
"""Asymmetry and negative eigenvalues up to this fraction of the largest entry or eigenvalue are rounding."""
LARGEST = 1e100
"""Of the entries, and one over the smallest eigenvalue of a definite matrix: products of a few stay far from overflow."""


def check_matrices(spec: "Spec") -> list[str]:
    """Problems of `problem.hessian.file` (positive definite), `problem.noise.file` and `problem.metric.file` (positive
    semidefinite): readable, finite, square, as large as `problem.dimension`, symmetric to 1e-12 of the largest entry.

    Eigenvalues are found by `numpy.linalg.eigvalsh`, O(d^3).
    """
    problem = spec.problem
    named = {
        f"problem.{part}.file": getattr(getattr(problem, part, None), "file", None)
        for part in ("hessian", "noise", "metric")
    }
    lines = []
    for key, name in named.items():
        if name is not None:
            lines += check_file(
                spec, key, name, getattr(problem, "dimension", None), definite=key == "problem.hessian.file"
            )
    return lines


def check_file(spec: "Spec", key: str, name: str, dimension: int | None, definite: bool) -> list[str]:
    """Problems of the matrix of one file, as lines that begin with its key."""
    try:
        matrix = spec.array(name)
    except InputError as error:
        return [f'{key} = "{name}" cannot be used: {line}' for line in error.lines]
    return [f'{key} {problem} (file "{name}")' for problem in check_matrix(matrix, dimension, definite)]


def check_matrix(matrix: np.ndarray, dimension: int | None, definite: bool) -> list[str]:
    """Problems of one matrix as `rule, got value; remedy`. Later checks are left out when an earlier one forbids them.

    Args:
        matrix: float64, of any shape.
        dimension: the side it must have, None if any.
        definite: positive definite asked, else positive semidefinite.
    """
    shape = " x ".join(map(str, matrix.shape)) or "a single number"
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        return [f"must be a square matrix, got shape {shape}; save a d x d array"]
    found = []
    if dimension is not None and matrix.shape[0] != dimension:
        found.append(
            f"must be {dimension} x {dimension} as problem.dimension = {dimension} says, got {shape}; change one"
        )
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0]
        return [*found, f"must be finite, got {matrix[i, j]} at row {i + 1}, column {j + 1}; save finite numbers"]
    scale = float(np.abs(matrix).max())
    if scale > LARGEST:
        return [*found, f"must have entries of size {LARGEST:g} or less, got {scale:.6g}; give it in other units"]
    # Halves cannot overflow where the entries themselves do not.
    gap = np.abs(matrix / 2 - matrix.T / 2)
    i, j = np.unravel_index(int(gap.argmax()), gap.shape)
    if gap[i, j] > 0.5 * TOLERANCE * scale:
        pair = f"{float(matrix[i, j])!r} at row {i + 1}, column {j + 1} and {float(matrix[j, i])!r} across the diagonal"
        return [*found, f"must be symmetric to 1e-12 of its largest entry, got {pair}; save (M + M.T) / 2"]
    return found + _eigenvalues(matrix / scale if scale else matrix, scale, definite)


def _eigenvalues(scaled: np.ndarray, scale: float, definite: bool) -> list[str]:
    values = np.linalg.eigvalsh(scaled)
    lowest, highest = float(values[0]), float(np.abs(values).max())
    got = f"got smallest eigenvalue {lowest * scale:.6g} (largest {highest * scale:.6g})"
    if definite and not lowest > len(values) * np.finfo(float).eps * highest:
        return [f"must be positive definite, {got}; add a multiple of the identity"]
    if definite and lowest * scale < 1 / LARGEST:
        return [f"must have eigenvalues of {1 / LARGEST:g} or more, {got}; give it in other units"]
    if not definite and lowest < -TOLERANCE * highest:
        return [f"must be positive semidefinite, {got}; set negative eigenvalues to zero"]
    return []

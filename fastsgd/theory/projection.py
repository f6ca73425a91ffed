"""Rank-deficient noise: projector onto the range of G, pseudo-inverse, problems restricted to the range. Definition 3.5."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, _product
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise


def spectrum(name: str, matrix: ArrayLike, dimension: int | None = None) -> tuple[Eigenbasis, Array, NDArray[np.bool_]]:
    """Eigenbasis, eigenvalues with those of rounding size set to 0, and the mask of the range, of a nonzero PSD matrix.

    An eigenvalue of a dense matrix within 10 d eps lambda_max of zero counts as zero; a diagonal one is taken exactly.
    """
    basis = eigenbasis(_check.symmetric(name, matrix, dimension), name)
    top = float(np.max(np.abs(basis.values)))
    cut = 0.0 if basis.vectors is None else 10 * basis.dimension * float(np.finfo(np.float64).eps) * top
    smallest = float(np.min(basis.values))
    if smallest < -cut:
        raise ValueError(f"{name} must be positive semidefinite, got eigenvalue {smallest:.6g}")
    inside = basis.values > cut
    if not np.any(inside):
        raise ValueError(f"{name} must not be zero; give a matrix with at least one positive eigenvalue")
    return basis, np.where(inside, basis.values, 0.0), inside


def rank(G: ArrayLike) -> int:
    """Dimension of range(G), with the rank rule of `spectrum`."""
    return int(np.count_nonzero(spectrum("G", G)[2]))


def range_projector(G: ArrayLike) -> Array:
    """Pi, the orthogonal projector onto range(G), float64[d, d]. Definition 3.5 (range(F) for a likelihood)."""
    basis, _, inside = spectrum("G", G)
    return basis.back(np.diag(inside.astype(np.float64)))


def projected(G: ArrayLike, onto: ArrayLike) -> Array:
    """Gp = Pi G Pi with Pi the projector onto range(`onto`), float64[d, d]. Definition 3.5."""
    basis, _, inside = spectrum("onto", onto)
    inner = basis.into(_check.symmetric("G", G, basis.dimension))
    return basis.back(inner * np.multiply.outer(inside, inside))


def range_basis(G: ArrayLike) -> Array:
    """U, orthonormal columns that span range(G), float64[d, r], r = rank(G)."""
    basis, _, inside = spectrum("G", G)
    vectors = np.eye(basis.dimension) if basis.vectors is None else basis.vectors
    return vectors[:, inside]


def restrict(matrix: ArrayLike, U: ArrayLike) -> Array:
    """U' M U, float64[r, r]: the problem on the span of U, where H, G and F may have full rank."""
    basis = _check.array("U", U, (None, None))
    columns = _product.pair(basis)
    inner = _product.product(_product.pair(_check.symmetric("matrix", matrix, basis.shape[0])), columns)
    return symmetrise(_product.accurate(_product.transpose(columns), inner))


def lift(matrix: ArrayLike, U: ArrayLike) -> Array:
    """U M U', float64[d, d]: a covariance on the span of U back in the original coordinates."""
    basis = _check.array("U", U, (None, None))
    return symmetrise(basis @ _check.symmetric("matrix", matrix, basis.shape[1]) @ basis.T)


def pseudo_inverse(G: ArrayLike) -> Array:
    """Moore-Penrose inverse of a PSD matrix, float64[d, d], with the rank rule of `spectrum`."""
    basis, values, inside = spectrum("G", G)
    return basis.back(np.diag(np.divide(1.0, values, out=np.zeros_like(values), where=inside)))

"""The smallest eigenvalue of a symmetric matrix to 12 digits of itself, however small beside the others. Davidson (1975)."""

from __future__ import annotations

import numpy as np

from fastsgd.theory import _dd
from fastsgd.theory._check import Array
from fastsgd.theory._dd import Pair
from fastsgd.theory._product import gram, pair, product, transpose
from fastsgd.theory.refine import refine

CLOSE = (
    64  # roundings of the largest eigenvalue, times sqrt d: eigenvalues nearer than that are not told apart by LAPACK
)
MOST = 32  # of them that are refined together; of more all eigenvalues are
ROUNDS = 30


def smallest(matrix: Array | Pair) -> float:
    """lambda_min of a symmetric float64[d, d], or of a pair hi + lo, to 1e-12 of itself down to 1e-12 |M|.

    The eigenvectors that LAPACK gives of the smallest eigenvalue, and of those it cannot tell from it, are refined: their
    residuals in double-double are divided by the gaps to the other eigenvalues and taken off, which leaves of an error a
    part of about 1/CLOSE a round (Davidson's correction; the eigenvalue has the square). One decomposition in double
    precision and O(d^2) a round in the place of `refine`.
    """
    hi, lo = matrix if isinstance(matrix, tuple) else pair(matrix)
    d = len(hi)
    _, exponent = np.frexp(np.max(np.abs(hi)))
    A = _symmetric((np.ldexp(hi, -exponent), np.ldexp(lo, -exponent)))
    values, vectors = np.linalg.eigh(A[0])
    unclear = CLOSE * np.sqrt(d) * np.finfo(np.float64).eps * float(np.max(np.abs(values)))
    k = int(np.count_nonzero(values <= values[0] + unclear))
    if k > MOST and k > d // 4:
        return float(np.ldexp(refine(A)[0][0][0], exponent))
    X, rest, above = pair(np.ascontiguousarray(vectors[:, :k])), vectors[:, k:], values[k:]
    for _ in range(ROUNDS):
        AX = product(A, X)
        # X (I + R/2) is orthonormal to second order in R = I - X'X, which is of rounding size
        defect = gram(X)
        R = _dd.add(pair(np.eye(k)), (-defect[0], -defect[1]))
        inner = product(transpose(X), AX)
        inner = _dd.add(inner, _symmetric(product(R, inner)))
        theta, turn = _eigen(inner)
        if k == d:
            break
        turn = _dd.add(turn, product((0.5 * R[0], 0.5 * R[1]), turn))
        X, AX = product(X, turn), product(AX, turn)
        scaled = _dd.multiply(X, (theta[0][None, :], theta[1][None, :]))
        residual = _dd.add(AX, (-scaled[0], -scaled[1]))[0]
        gap = np.minimum(theta[0][None, :] - above[:, None], -unclear)
        correction = (rest.T @ residual) / gap
        X = _dd.add(X, product(pair(rest), pair(correction)))
        if float(np.sum(correction[:, 0] ** 2 * -gap[:, 0])) <= 1e-16 * abs(float(theta[0][0])):
            break
    return float(np.ldexp(theta[0][0], exponent))


def _eigen(matrix: Pair) -> tuple[Pair, Pair]:
    """`refine` of a symmetric pair float64[k, k]; of k = 1 the number itself."""
    if len(matrix[0]) == 1:
        return (matrix[0][0], matrix[1][0]), pair(np.ones((1, 1)))
    return refine(_symmetric(matrix))


def _symmetric(matrix: Pair) -> Pair:
    """(M + M')/2 to 30 digits."""
    total = _dd.add(matrix, transpose(matrix))
    return 0.5 * total[0], 0.5 * total[1]

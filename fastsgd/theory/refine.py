"""Eigenpairs of a symmetric matrix to double-double accuracy from those of LAPACK. Ogita and Aishima (2018, 2019)."""

from __future__ import annotations

import numpy as np

from fastsgd.theory import _dd
from fastsgd.theory._check import Array
from fastsgd.theory._dd import Pair
from fastsgd.theory._product import SLICES, gram, pair, product, slice_bits, transpose

ROUNDS = 8
NEGLIGIBLE = 1e-27  # couplings below this part of |H| are left: they change no digit for eigenvalues above 1e-12 |H|


def refine(H: Array | Pair) -> tuple[Pair, Pair]:
    """(l, V) of a symmetric float64[d, d], or of a pair hi + lo of them, as pairs hi + lo, l ascending.

    Each round computes the couplings V'HV and the defect I - V'V in double-double and corrects V to second order, so
    the error is squared; a correction is multiplied with as many digits as it adds. Directions whose coupling is not
    small against their gap (clusters) are first turned by the eigenvectors of their own block. The matrix is scaled by a
    power of two, so any magnitude is fine.
    """
    hi, lo = H if isinstance(H, tuple) else pair(H)
    _, exponent = np.frexp(np.max(np.abs(hi)))
    A = np.ldexp(hi, -exponent), np.ldexp(lo, -exponent)
    V = pair(np.linalg.eigh(A[0])[1])
    for _ in range(ROUNDS):
        W = product(transpose(V), product(A, V))
        N = gram(V)
        diagonal = _dd.divide(_diagonal(W), _diagonal(N))
        eye = np.eye(hi.shape[0])
        R = _dd.add(pair(eye), (-N[0], -N[1]))
        # V (I + E), E = C/gap + R/2: the symmetric C turns, R/2 restores orthonormality; C cancels, so in double-double
        mean = _dd.add((diagonal[0][None, :], diagonal[1][None, :]), (diagonal[0][:, None], diagonal[1][:, None]))
        C = _dd.add(W, _dd.multiply(R, (0.5 * mean[0], 0.5 * mean[1])))[0]
        C = 0.5 * (C + C.T) * (1.0 - eye)
        gap = _differences(diagonal)
        real = np.abs(C) > NEGLIGIBLE
        clustered = real & (np.abs(C) > 1e-2 * np.abs(gap))
        if np.any(clustered):
            V = product(V, pair(_rotation(C, diagonal, clustered)))
            continue
        E = np.divide(C, gap, out=np.zeros_like(C), where=real) + 0.25 * (R[0] + R[0].T)
        size = float(np.max(np.abs(E)))
        V = _dd.add(V, product(V, pair(E), _slices_of(size, hi.shape[0])))
        if size < 1e-14:
            break
    order = np.argsort(diagonal[0], kind="stable")
    values = np.ldexp(diagonal[0][order], exponent), np.ldexp(diagonal[1][order], exponent)
    return values, (V[0][:, order], V[1][:, order])


def _slices_of(size: float, d: int) -> int:
    """Slices of a product with numbers of this size that is to be as good as one with numbers of size 1 and all slices."""
    spared = -np.log2(size) / slice_bits(d) if size > 0.0 else SLICES
    return int(np.clip(np.ceil(SLICES - spared), 1, SLICES))


def _diagonal(x: Pair) -> Pair:
    return np.diagonal(x[0]).copy(), np.diagonal(x[1]).copy()


def _differences(x: Pair) -> Array:
    """l_j - l_i, float64[d, d], free of cancellation."""
    hi, lo = _dd.two_sum(x[0][None, :], -x[0][:, None])
    result: Array = hi + (lo + (x[1][None, :] - x[1][:, None]))
    return result


def _rotation(C: Array, values: Pair, clustered: np.ndarray) -> Array:
    """Block rotation, float64[d, d], by the eigenvectors of each cluster's own block, its centre taken off."""
    rotation = np.eye(C.shape[0])
    for members in _components(clustered):
        block = np.ix_(members, members)
        shifted = (values[0][members] - values[0][members[0]]) + values[1][members]
        rotation[block] = np.linalg.eigh(C[block] + np.diag(shifted))[1]
    return rotation


def _components(linked: np.ndarray) -> list[np.ndarray]:
    """Connected components with more than one member of a symmetric boolean[d, d]."""
    left = set(np.flatnonzero(linked.any(axis=1)).tolist())
    found = []
    while left:
        frontier, members = {left.pop()}, set()
        while frontier:
            members |= frontier
            frontier = set(np.flatnonzero(linked[sorted(frontier)].any(axis=0)).tolist()) - members
        left -= members
        found.append(np.array(sorted(members)))
    return found

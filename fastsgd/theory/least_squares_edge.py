"""The equation of the stationary second moment of least squares with 30 digits: what is left of it next to its limit.

At a distance 1 - eta/limit from the limit of stability a rounding of the equation is one of the solution over that distance.
So the residual of a solution is taken from products of 30 digits, and the solution corrected by it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastsgd.theory import _dd, _product
from fastsgd.theory._check import Array
from fastsgd.theory._dd import Pair
from fastsgd.theory.eigen import Eigenbasis, symmetrise
from fastsgd.theory.least_squares import Pool
from fastsgd.theory.least_squares_weighted import WeightedPool

NEAR = 0.99  # of the limit, from which on a solution is corrected
WORK, SIZE = 1e9, 4e6  # n d^2 and n d up to which it is: a second and half a GB for a residual
ROUNDS = 8


def affordable(at: Pool) -> bool:
    """Whether a pool is small enough for residuals of 30 digits."""
    n, d = at.features.shape
    return n * d <= SIZE and float(n) * d * d <= WORK


def residual(at: Pool, basis: Eigenbasis, eta: float, factor: float, noise: Array) -> Callable[[Array], Array]:
    """M -> eta f S_n - (l_i + l_j) M + eta [l_i l_j M + f (K(M) - H0 M H0)] in the eigenbasis of H, float64[d, d].

    noise: eta f S_n there.
    """
    X = _product.pair(at.features)
    if basis.vectors is not None:
        X = _product.product(X, basis.pair())
    values = basis.values, basis.correction
    sums, products = _dd.outer(_dd.add, values), _dd.outer(_dd.multiply, values)
    weights = at.weights if isinstance(at, WeightedPool) else np.ones(len(X[0]))
    groups = _groups(at, X)

    def of(M: Array) -> Array:
        inside = _row_sums(_dd.multiply(_product.product(X, _product.pair(M)), X))
        inside = _dd.scale(inside, weights)
        turned = _dd.multiply(X, (inside[0][:, None], inside[1][:, None]))
        excess = _over(_product.product(_product.transpose(X), turned), len(weights))
        for c, H in groups:
            middle = _product.product(H, _product.product(_product.pair(M), H))
            excess = _dd.add(excess, _dd.scale(middle, -c))
        gained = _dd.add(_dd.scale(products, M), _dd.scale(excess, factor))
        left = _dd.add(_dd.scale(gained, eta), _dd.scale(sums, -M))
        total = _dd.add(_product.pair(noise), left)
        return symmetrise(total[0] + total[1])

    return of


def corrected(M: Array, residual: Callable[[Array], Array], solve: Callable[[Array], Array]) -> Array:
    """M with what `solve` makes of its residual added, until that is a rounding of M or grows."""
    before = np.inf
    for _ in range(ROUNDS):
        change = solve(residual(M))
        size = float(np.linalg.norm(change))
        if not size < 0.5 * before:
            break
        M, before = M + change, size
        if size <= 1e-16 * float(np.linalg.norm(M)):
            break
    return M


def _groups(at: Pool, X: Pair) -> list[tuple[float, Pair]]:
    """(c_h, H_h) of the groups that count; H0 alone for a plain pool."""
    if not isinstance(at, WeightedPool):
        return [(1.0, _over(_product.gram(X), len(X[0])))]
    found = []
    for h in at.used:
        rows = X[0][at.groups == h], X[1][at.groups == h]
        found.append((float(at.centres[h]), _over(_product.gram(rows), len(rows[0]))))
    return found


def _over(x: Pair, n: int) -> Pair:
    return _dd.divide(x, _product.pair(np.full(x[0].shape, float(n))))


def _row_sums(x: Pair) -> Pair:
    return _product.halved(x[0].T, x[1].T)

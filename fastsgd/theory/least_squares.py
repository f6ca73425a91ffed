"""Least squares, exactly: the second moment of SGD whose noise depends on the state, and when it is finite. Extends (36).

Loss of a sample (1/2)(y_i - x_i'theta)^2 + (1/2) theta' P theta, P the ridge. At the optimum of the pool the gradient
of sample i is x_i x_i' Delta - x_i e_i (+ a part common to all samples), so that a mini-batch gradient has, given
Delta, covariance f [(1/n) sum g_i g_i' - gmean gmean'], f the factor of the sampling design for S_n with 1/n. With M =
E Delta Delta', m = E Delta, H0 = X'X/n, A = I - eta H:

    M' = A M A + eta^2 f [ (1/n) sum x_i x_i' M x_i x_i' - H0 M H0 + S_n + cross(m) ],   m' = A m.

The map of M is T = I - eta L + eta^2 Q, L: M -> H M + M H and Q: M -> H M H + f [K - H0 . H0], self-adjoint and, as it
keeps covariances covariances, with a spectral radius that is its largest eigenvalue; so the mean square is stable iff
eta < 1/lambda_max(L^-1/2 Q L^-1/2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _dd, _product, lyapunov
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, of_pair
from fastsgd.theory.symmetric_space import pack, pack_outer, unpack

MATRIX_LIMIT = 1300  # p = d(d+1)/2 up to which K of a pool with n >= p is kept as a matrix (d = 50)
ILL = 1e3  # condition of H from which on products with the pool are taken with 30 digits
CHUNK = 4096  # rows of the pool at once
DENSE_LIMIT = 700  # p = d(d+1)/2 up to which operators are matrices (d = 36); beyond it they are applied


@dataclass(frozen=True, eq=False)
class Pool:
    """A fixed pool for least squares.

    Attributes:
        features: X, float64[n, d]; residuals: e = y - X theta*, float64[n], at the optimum of the pool.
        ridge: float64[d], diagonal of P; zeros without ridge.
    """

    features: Array
    residuals: Array
    ridge: Array

    @cached_property
    def second_moment(self) -> Array:
        """H0 = X'X/n, float64[d, d]."""
        result: Array = self.features.T @ self.features / self.features.shape[0]
        return result

    @cached_property
    def hessian(self) -> Array:
        """H = H0 + P, float64[d, d]."""
        result: Array = self.second_moment + np.diag(self.ridge)
        return result

    @cached_property
    def gradient_sum(self) -> Array:
        """q = (1/n) sum x_i e_i = P theta*, float64[d]; zero without ridge."""
        result: Array = self.features.T @ self.residuals / self.features.shape[0]
        return result

    @cached_property
    def noise(self) -> Array:
        """S_n, covariance of the per-sample gradients at the optimum with 1/n, float64[d, d]."""
        g = self.features * self.residuals[:, None] - self.gradient_sum
        result: Array = g.T @ g / self.features.shape[0]
        return result

    @cached_property
    def basis(self) -> Eigenbasis:
        """Eigenbasis of H. Where H is ill-conditioned it is that of X'X/n + P with 30 digits: rounded to double precision
        X'X/n keeps 6 digits of a smallest eigenvalue of 1e-10. Pools with n d^2 > 5e9 are taken in double precision."""
        values = np.linalg.eigvalsh(self.hessian)
        n, d = self.features.shape
        diagonal = np.count_nonzero(self.hessian) == np.count_nonzero(np.diagonal(self.hessian))
        if diagonal or values[0] > values[-1] / ILL or float(n) * d * d > 5e9:
            return eigenbasis(self.hessian, "the Hessian")
        total = _product.pair(np.zeros((d, d)))
        for start in range(0, n, CHUNK):
            rows = _product.pair(self.features[start : start + CHUNK])
            total = _dd.add(total, _product.product(_product.transpose(rows), rows))
        size = np.full((d, d), float(n))
        return of_pair(_dd.add(_dd.divide(total, _product.pair(size)), _product.pair(np.diag(self.ridge))))

    def turned(self, basis: Eigenbasis) -> Pool:
        """The pool in the coordinates of `basis`; the ridge must be the same for all of them."""
        return Pool(self.features_in(basis), self.residuals, self.ridge)

    def features_in(self, basis: Eigenbasis) -> Array:
        """X V, float64[n, d]; small columns keep their digits where H is ill-conditioned."""
        if basis.vectors is None:
            return self.features
        n, d = self.features.shape
        if np.min(basis.values) > np.max(basis.values) / ILL or float(n) * d * d > 5e9:
            result: Array = self.features @ basis.vectors
            return result
        parts = [self.features[start : start + CHUNK] for start in range(0, n, CHUNK)]
        return np.concatenate([_product.accurate(part, basis.pair()) for part in parts])

    def fourth(self, M: Array) -> Array:
        """K(M) = (1/n) sum x_i (x_i' M x_i) x_i', float64[d, d]."""
        d = self.features.shape[1]
        if d * (d + 1) // 2 <= min(MATRIX_LIMIT, self.features.shape[0]):
            return unpack(self.fourth_matrix @ pack(M), d)  # made once, then without a pass over the pool
        weights = np.einsum("ni,ni->n", self.features @ M, self.features)
        result: Array = (self.features.T * weights) @ self.features / self.features.shape[0]
        return result

    def excess(self, M: Array) -> Array:
        """K(M) - H0 M H0: covariance of x x' Delta over the pool when E Delta Delta' = M."""
        return self.fourth(M) - self.second_moment @ M @ self.second_moment

    def cross(self, m: Array) -> Array:
        """Cross term of a nonzero mean: -(2/n) sum e_i (x_i'm) x_i x_i' + H0 m q' + q m' H0, float64[d, d]."""
        weights = self.residuals * (self.features @ m)
        first = (self.features.T * weights) @ self.features / self.features.shape[0]
        second = np.multiply.outer(self.second_moment @ m, self.gradient_sum)
        result: Array = second + second.T - 2.0 * first
        return result

    @cached_property
    def fourth_matrix(self) -> Array:
        """K as float64[p, p] on packed symmetric matrices."""
        n = self.features.shape[0]
        p = self.features.shape[1] * (self.features.shape[1] + 1) // 2
        total = np.zeros((p, p))
        for start in range(0, n, 4096):
            Z = pack_outer(self.features[start : start + 4096])
            total += Z.T @ Z
        total /= n
        return total


def pool(features: ArrayLike, targets: ArrayLike, optimum: ArrayLike | None = None, ridge: ArrayLike = 0.0) -> Pool:
    """Pool from features float64[n, d] and targets float64[n].

    ridge: a number >= 0 or float64[d], the diagonal of P. optimum: theta*, float64[d]; solved for when left out. It
    must be the optimum of the pool: the formulas take the mean gradient there as zero.
    """
    X = _check.array("features", features, (None, None))
    n, d = X.shape
    y = _check.array("targets", targets, (n,))
    P = np.broadcast_to(_check.array("ridge", ridge), (d,)).copy()
    if np.min(P) < 0.0:
        raise ValueError(f"ridge must be >= 0, got {float(np.min(P)):.6g}")
    stacked, wanted = np.vstack([X, np.diag(np.sqrt(n * P))]), np.concatenate([y, np.zeros(d)])
    if optimum is None:
        theta = np.linalg.lstsq(stacked, wanted, rcond=None)[0]
        left = np.concatenate([_residuals(X, y, theta, np.zeros(d)), -np.sqrt(n * P) * theta])
        theta, low = _dd.two_sum(theta, np.linalg.lstsq(stacked, left, rcond=None)[0])
    else:
        theta, low = _check.array("optimum", optimum, (d,)), np.zeros(d)
    e = _residuals(X, y, theta, low)
    slope = X.T @ e / n - P * theta
    if float(np.max(np.abs(slope))) > 1e-6 * float(np.max(np.abs(X).T @ np.abs(y) / n) + 1e-300):
        raise ValueError(
            f"optimum must be the minimiser for this pool, got a mean gradient up to {np.max(np.abs(slope)):.3g}"
        )
    return Pool(X, e, P)


def _residuals(X: Array, y: Array, theta: Array, low: Array) -> Array:
    """y - X (theta + low), float64[n]; where X has less than 1e7 entries from 30 digits, as much may cancel."""
    if X.size > 1e7:
        plain: Array = (y - X @ theta) - X @ low
        return plain
    point, parts = (-theta[:, None], -low[:, None]), []
    for start in range(0, len(X), CHUNK):
        moved = _product.product(_product.pair(X[start : start + CHUNK]), point)
        sums = _dd.add(_product.pair(y[start : start + CHUNK, None]), moved)
        parts.append((sums[0] + sums[1])[:, 0])
    return np.concatenate(parts)


def step(at: Pool, m: Array, M: Array, eta: float, factor: float) -> tuple[Array, Array]:
    """(m, M) after one step: mean float64[d] and second moment E Delta Delta' float64[d, d], exactly."""
    A = np.eye(m.size) - eta * at.hessian
    noise = at.excess(M) + at.noise + at.cross(m)
    return A @ m, A @ M @ A + eta * eta * factor * 0.5 * (noise + noise.T)


def frozen(at: Pool, eta: float, factor: float) -> Array:
    """The frozen-noise value beside `stationary`: discrete Lyapunov (37) with Sigma = f S_n, float64[d, d]."""
    basis = at.basis
    if float(np.min(basis.values)) <= 0.0:
        return lyapunov.discrete_stationary(at.hessian, factor * at.noise, eta)  # which says what is wrong
    noise = factor * at.turned(basis).noise
    return basis.back(lyapunov.of_noise_in_eigenbasis(basis, noise, _check.positive("eta", eta)))

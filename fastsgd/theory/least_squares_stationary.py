"""Stationary second moment of least-squares SGD, and its mean-square stability. Extends (37); derived in `least_squares`."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastsgd.theory import _check
from fastsgd.theory import least_squares_edge as edge
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import symmetrise
from fastsgd.theory.least_squares import DENSE_LIMIT, Pool
from fastsgd.theory.symmetric_space import pack, unpack


def largest_stable_step(at: Pool, factor: float) -> float:
    """Largest eta with a finite stationary second moment: 1/lambda_max(L^-1/2 Q L^-1/2), see `least_squares`.

    Never above 2/lambda_max(H), to which it tends as the factor of the design goes to 0.
    """
    apply, turned = _scaled_quadratic(at, _check.nonnegative("factor", factor))
    return 1.0 / _largest_eigenvalue(apply, turned.features.shape[1])


def mean_square_limit(
    values: Array,
    excess: Callable[[Array], Array],
    factor: float,
    iterations: int | None = None,
    tolerance: float = 0.01,
) -> float:
    """`largest_stable_step` from fourth moments alone: exactly, with d(d+1)/2 calls of `excess`, or a lower bound of it.

    Args:
        values: eigenvalues of H, float64[d], > 0.
        excess: M -> E[Hi M Hi] - E[Hi] M E[Hi] over the samples' Hessians Hi, in the eigenbasis of H.
        factor: of the design; iterations: calls of `excess` that the bound may take; None for the exact value.

    The bound: M -> L^-1 Q(M) keeps covariances covariances, so that its largest eigenvalue is at most the largest one of
    the pair (L^-1 Q(M), M) for every positive definite M (Collatz and Wielandt); power iteration makes M better until the
    bound changes by less than `tolerance`.
    """
    d = len(values)
    sums, product = np.add.outer(values, values), np.multiply.outer(values, values)
    if iterations is None:
        root = np.sqrt(sums)
        scaled = as_matrix(lambda N: symmetrise((product * (N / root) + factor * excess(N / root)) / root), d)
        return 1.0 / float(np.linalg.eigvalsh(scaled)[-1])
    M, bound = np.eye(d), math.inf
    for _ in range(iterations):
        image = symmetrise((product * M + factor * excess(M)) / sums)
        h, V = np.linalg.eigh(M)
        inner = V / np.sqrt(h)
        before, bound = bound, min(bound, float(np.linalg.eigvalsh(inner.T @ image @ inner)[-1]))
        M = image / np.trace(image)
        if bound > before * (1 - tolerance) or not np.linalg.eigvalsh(M)[0] > 1e-12 * np.max(M):
            break
    return 1.0 / bound


def spectral_radius(at: Pool, eta: float, factor: float) -> float:
    """Spectral radius of M -> A M A + eta^2 f [K(M) - H0 M H0]; the mean square is stable iff it is < 1."""
    eta, f = _check.positive("eta", eta), _check.nonnegative("factor", factor)
    A = np.eye(at.hessian.shape[0]) - eta * at.hessian
    return _largest_eigenvalue(lambda M: A @ M @ A + eta * eta * f * at.excess(M), A.shape[0])


def stationary(at: Pool, eta: float, factor: float) -> Array:
    """Stationary M = E Delta Delta' (mean 0), float64[d, d], of M = A M A + eta^2 f [K(M) - H0 M H0 + S_n].

    Solved as (I - eta L^-1/2 Q L^-1/2) N = eta f L^-1/2 S_n, M = L^-1/2 N, self-adjoint and positive definite below
    the limit of stability: directly for d <= 36, by conjugate gradients to 1e-14 beyond. Above the frozen-noise value
    by O(eta). 12 digits at condition numbers of H to 1e10 up to `largest_stable_step` (1 - 5e-7 of it): the condition of the
    problem is 1/(1 - eta/limit), so that next to the limit the residual is taken with 30 digits. Of pools with
    n d > 4e6 or n d^2 > 1e9 it is not: about 1e-16/(1 - eta/limit) there.

    Raises: ValueError at or above `largest_stable_step`.
    """
    eta, f = _check.positive("eta", eta), _check.nonnegative("factor", factor)
    apply, turned = _scaled_quadratic(at, f)
    d = turned.features.shape[1]
    limit = 1.0 / _largest_eigenvalue(apply, d)
    if eta >= limit:
        raise ValueError(f"eta must be < {limit:.6g} for a finite second moment (mean-square stability), got {eta:.6g}")
    basis = at.basis
    root = np.sqrt(np.add.outer(basis.values, basis.values))
    noise = eta * f * turned.noise
    if d * (d + 1) // 2 <= DENSE_LIMIT:
        matrix = np.eye(d * (d + 1) // 2) - eta * as_matrix(apply, d)

        def solve(right: Array) -> Array:
            return unpack(np.asarray(np.linalg.solve(matrix, pack(right / root)), np.float64), d) / root
    else:

        def solve(right: Array) -> Array:
            return _conjugate_gradients(lambda M: M - eta * apply(M), right / root) / root

    M = solve(noise)
    if eta > edge.NEAR * limit and edge.affordable(at):
        M = edge.corrected(M, edge.residual(at, basis, eta, f, noise), solve)
    return basis.back(M)


def _scaled_quadratic(at: Pool, factor: float) -> tuple[Callable[[Array], Array], Pool]:
    """L^-1/2 Q L^-1/2 in the eigenbasis of H, where L is elementwise l_i + l_j, and the pool there."""
    basis = at.basis
    if float(np.min(basis.values)) <= 0.0:
        raise ValueError("the Hessian X'X/n + P must be positive definite; add a ridge or drop collinear features")
    root = np.sqrt(np.add.outer(basis.values, basis.values))
    product = np.multiply.outer(basis.values, basis.values)
    turned = at.turned(basis)

    def apply(N: Array) -> Array:
        M = N / root
        return symmetrise((product * M + factor * turned.excess(M)) / root)

    return apply, turned


def as_matrix(apply: Callable[[Array], Array], d: int) -> Array:
    """A self-adjoint map of symmetric float64[d, d] as float64[p, p] on packed ones."""
    p = d * (d + 1) // 2
    columns = [pack(apply(unpack(unit, d))) for unit in np.eye(p)]
    matrix = np.array(columns)
    return symmetrise(matrix)


def _largest_eigenvalue(apply: Callable[[Array], Array], d: int) -> float:
    """Largest eigenvalue of a self-adjoint map of symmetric matrices that keeps covariances covariances."""
    p = d * (d + 1) // 2
    if p <= DENSE_LIMIT:
        return float(np.linalg.eigvalsh(as_matrix(apply, d))[-1])
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator((p, p), matvec=lambda v: pack(apply(unpack(np.ravel(v), d))), dtype=np.float64)
    return float(eigsh(operator, k=1, which="LA", v0=pack(np.eye(d)), tol=1e-13, return_eigenvectors=False)[0])


def _conjugate_gradients(apply: Callable[[Array], Array], right: Array) -> Array:
    """Solution of apply(N) = right, to a residual of 1e-14 of the right side or the smallest that rounding allows."""
    N, residual = np.zeros_like(right), right.copy()
    direction, size = residual.copy(), float(np.sum(residual * residual))
    goal = 1e-28 * size
    for _ in range(10 * right.size):
        if size <= goal:
            return N
        image = apply(direction)
        alpha = size / float(np.sum(direction * image))
        N = N + alpha * direction
        residual = residual - alpha * image
        new = float(np.sum(residual * residual))
        direction, size = residual + (new / size) * direction, new
    raise ValueError("the stationary second moment did not converge; the step is at the limit of stability")

"""Mean and second moment of least-squares SGD at recorded steps, state-dependent noise included."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import eigenbasis
from fastsgd.theory.least_squares import MATRIX_LIMIT, Pool, step
from fastsgd.theory.least_squares_stationary import as_matrix
from fastsgd.theory.paths import Etas
from fastsgd.theory.symmetric_space import pack, unpack


def moments(
    at: Pool, etas: Etas, factor: float, steps: ArrayLike, mean0: ArrayLike, second0: ArrayLike
) -> tuple[Array, Array]:
    """Mean float64[S, d] and second moment E Delta Delta' float64[S, d, d] at recorded steps. Exact.

    Args:
        at: the pool; factor: f of the design for S_n with 1/n.
        etas, steps: as in `transient.moments`; eta below the limit of stability is not required.
        mean0: float64[d]; second0: Cov Delta_0 + m_0 m_0', float64[d, d].

    A constant step with d <= 50 has a closed form in the eigenvectors of the map of M, whatever the step number;
    otherwise the recursion is iterated, O(n d^2) a step. The covariance is the second moment less m m'.
    """
    recorded = _check.recorded_steps(steps)
    d = at.hessian.shape[0]
    m, M = _check.array("mean0", mean0, (d,)), _check.covariance("second0", second0, d)
    f = _check.nonnegative("factor", factor)
    eta = paths.constant_step(etas)
    with np.errstate(over="ignore", invalid="ignore"):
        if eta is not None and d * (d + 1) // 2 <= MATRIX_LIMIT and recorded[-1] > d * d:
            return _closed_form(at, eta, f, recorded, m, M)
        return _iterated(at, etas, f, recorded, m, M)


def work(at: Pool, etas: Etas, last: int) -> float:
    """Floating-point operations of `moments` to step `last`, roughly; a machine does about 1e10 of them a second."""
    n, d = at.features.shape
    p = d * (d + 1) // 2
    kept = p <= min(MATRIX_LIMIT, n)
    setup = float(n) * p * p if kept else 0.0
    if paths.constant_step(etas) is not None and p <= MATRIX_LIMIT and last > d * d:
        return setup + 15.0 * p**3 + (0.0 if kept else 4.0 * n * d * d * p)
    return setup + last * (1e6 + 8.0 * d**3 + (2.0 * p * p if kept else 4.0 * n * d * d))


def _iterated(at: Pool, etas: Etas, factor: float, steps: NDArray[np.int64], m: Array, M: Array) -> tuple[Array, Array]:
    means, seconds, reached = np.empty((steps.size, m.size)), np.empty((steps.size, m.size, m.size)), 0
    for s, k in enumerate(int(k) for k in steps):
        for start in range(reached, k, paths.CHUNK):
            for eta in paths.step_sizes(etas, start, min(start + paths.CHUNK, k)):
                m, M = step(at, m, M, float(eta), factor)
        reached, means[s], seconds[s] = k, m, M
    return means, seconds


def _closed_form(
    at: Pool, eta: float, factor: float, steps: NDArray[np.int64], m: Array, M: Array
) -> tuple[Array, Array]:
    """M_k = T^k M_0 + sum_t T^(k-1-t) eta^2 f (S_n + cross(A^t m_0)), mode by mode of T and of H."""
    d = m.size
    A = np.eye(d) - eta * at.hessian
    tau, modes = np.linalg.eigh(as_matrix(lambda N: A @ N @ A + eta * eta * factor * at.excess(N), d))
    basis = eigenbasis(at.hessian, "the Hessian")
    a, start = 1.0 - eta * basis.values, basis.into_vector(m)
    weight = eta * eta * factor
    constant, first = modes.T @ pack(weight * at.noise), modes.T @ pack(M)
    unit = np.eye(d) if basis.vectors is None else basis.vectors
    forced = np.array([modes.T @ pack(weight * at.cross(unit[:, i] * start[i])) for i in range(d)])
    means, seconds = np.empty((steps.size, d)), np.empty((steps.size, d, d))
    for s, k in enumerate(int(k) for k in steps):
        means[s] = basis.back_vector(a**k * start)
        value = tau**k * first + _divided_power(tau, np.ones_like(tau), k) * constant
        value += np.sum(_divided_power(tau[None, :], a[:, None], k) * forced, axis=0)
        seconds[s] = unpack(modes @ value, d)
    return means, seconds


def _divided_power(x: Array, y: Array, k: int) -> Array:
    """(x^k - y^k)/(x - y) = sum_{t<k} x^(k-1-t) y^t elementwise, k x^(k-1) where x = y."""
    x, y = np.broadcast_arrays(x, y)
    if k == 0:
        return np.zeros(x.shape)
    larger = np.abs(x) > np.abs(y)  # the larger is the base, so that no power overflows against another
    base, other = np.where(larger, x, y), np.where(larger, y, x)
    gap = other - base
    near = (np.abs(gap) < 0.5 * np.abs(base)) & (gap != 0.0)
    unit, small = np.where(near, base, 1.0), np.where(near, gap, 1.0)
    close = base ** (k - 1) * np.expm1(k * np.log1p(np.where(near, small / unit, 0.0))) * unit / small
    plain = (other**k - base**k) / np.where(gap == 0.0, 1.0, gap)
    result: Array = np.where(near, close, np.where(gap == 0.0, k * base ** (k - 1), plain))
    return result

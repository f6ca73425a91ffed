"""Mean and second moment of least-squares SGD at recorded steps, state-dependent noise included. Extends (36)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, _dd, factors, paths
from fastsgd.theory import least_squares_edge as edge
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import symmetrise
from fastsgd.theory.least_squares import ILL, MATRIX_LIMIT, Pool
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
    otherwise the recursion is iterated, O(n d^2) a step. The covariance is the second moment less m m'. 12 digits at
    condition numbers of H to 1e10, next to `least_squares_stationary.largest_stable_step` as `stationary` says there.
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
        return setup + 30.0 * p**3 + (0.0 if kept else 4.0 * n * d * d * p)
    return setup + last * (1e6 + 8.0 * d**3 + (2.0 * p * p if kept else 4.0 * n * d * d))


def _iterated(at: Pool, etas: Etas, factor: float, steps: NDArray[np.int64], m: Array, M: Array) -> tuple[Array, Array]:
    """Step by step. What a step changes is added with the rounding of the sums before it: of small steps nothing is lost."""
    means, seconds, reached = np.empty((steps.size, m.size)), np.empty((steps.size, m.size, m.size)), 0
    m_low, M_low, H = np.zeros_like(m), np.zeros_like(M), at.hessian
    for s, k in enumerate(int(k) for k in steps):
        for start in range(reached, k, paths.CHUNK):
            for eta in paths.step_sizes(etas, start, min(start + paths.CHUNK, k)):
                HM, size = H @ M, float(eta)
                noise = factor * (at.excess(M) + at.noise + at.cross(m))
                change = size * symmetrise(HM @ H + noise) - (HM + HM.T)
                m, m_low = _dd.two_sum(m, m_low - size * (H @ m))
                M, M_low = _dd.two_sum(M, M_low + size * change)
        reached, means[s], seconds[s] = k, m, M
    return means, seconds


def _closed_form(
    at: Pool, eta: float, factor: float, steps: NDArray[np.int64], m: Array, M: Array
) -> tuple[Array, Array]:
    """M_k = T^k M_0 + sum_t T^(k-1-t) eta^2 f (S_n + cross(A^t m_0)), mode by mode of T and of H, in the eigenbasis of H."""
    d, basis = m.size, at.basis
    turned = at.turned(basis)
    found = _sharpened(_modes(turned, basis.values, eta, factor), at, eta, factor)
    lost = factors.contraction(basis, eta)
    logs, sign = factors.log_magnitude(*lost), np.where(lost[1] < 0.0, -1.0, 1.0)
    x = eta * found.u
    tau_logs, tau_sign = factors.log_magnitude(x, 1.0 - x, 2.0 - x), np.where(x > 1.0, -1.0, 1.0)
    first, start, weight = found.vectors.T @ pack(basis.into(M)), basis.into_vector(m), eta * eta * factor
    constant = found.of_noise(weight * turned.noise)
    forced = np.array([found.of_noise(weight * turned.cross(one)) for one in np.diag(start)])
    means, seconds = np.empty((steps.size, d)), np.empty((steps.size, d, d))
    for s, k in enumerate(int(k) for k in steps):
        means[s] = basis.back_vector(factors.power(logs, sign, k) * start)
        value = (
            factors.power(tau_logs, tau_sign, k) * first + factors.geometric_sum(x, tau_logs, tau_sign, k) * constant
        )
        if np.any(start):
            powers = (
                (x[None, :], tau_logs[None, :], tau_sign[None, :]),
                (lost[0][:, None], logs[:, None], sign[:, None]),
            )
            value += np.sum(factors.divided_power(*powers, k) * forced, axis=0)
        seconds[s] = basis.back(unpack(found.vectors @ value, d))
    return means, seconds


@dataclass(frozen=True)
class _Modes:
    """u float64[p] and orthonormal vectors float64[p, p] of U = (I - T)/eta = L - eta Q on packed symmetric matrices.

    U = D R'R D with D = diag(root) and `triangle` R upper triangular; None for an unstable step or a well-conditioned H.
    edge: modes that are next to the limit of stability, where C is all but singular.
    """

    u: Array
    vectors: Array
    root: Array
    triangle: Array | None
    edge: NDArray[np.int64]

    def of_noise(self, matrix: Array) -> Array:
        """vectors' pack(matrix), of a matrix that is small where H is: by way of U^-1, in which it is not, to its digits."""
        packed = pack(matrix)
        if self.triangle is None:
            return self.vectors.T @ packed
        from scipy.linalg import cho_solve

        moved: Array = cho_solve((self.triangle, False), packed / self.root) / self.root
        found: Array = self.u * (self.vectors.T @ moved)
        found[self.edge] = self.vectors[:, self.edge].T @ packed
        return found


def _sharpened(found: _Modes, at: Pool, eta: float, factor: float) -> _Modes:
    """u of the modes on the edge from Rayleigh quotients of 30 digits: the rest is not as large beside them."""
    d = at.features.shape[1]
    if not 0 < len(found.edge) <= d or not edge.affordable(at):
        return found
    image, u = edge.residual(at, at.basis, eta, factor, np.zeros((d, d))), found.u.copy()
    for i in found.edge:
        mode = found.vectors[:, i]
        u[i] = -float(mode @ pack(image(unpack(mode, d)))) / float(mode @ mode)
    return replace(found, u=u)


def _modes(turned: Pool, values: Array, eta: float, factor: float) -> _Modes:
    """U = D C D with D^2 = l_i + l_j and C = I - eta D^-1 Q D^-1, which is well-conditioned below the limit of stability
    whatever the condition of H: with C = R'R the singular values of R D, by Jacobi rotations, keep their digits however
    small they are (Demmel and Veselic 1992).
    """
    d = len(values)
    product = np.multiply.outer(values, values)
    Q = as_matrix(lambda N: product * N + factor * turned.excess(N), d)
    sums = np.add.outer(values, values)[np.tril_indices(d)]
    root, R = np.sqrt(np.abs(sums)), None
    if np.min(sums) > 0.0 and np.min(sums) * ILL < np.max(sums):
        with contextlib.suppress(np.linalg.LinAlgError):
            R = np.asarray(
                np.linalg.cholesky(np.eye(len(sums)) - eta * Q / np.multiply.outer(root, root)).T, np.float64
            )
    if R is not None:
        from scipy.linalg.lapack import dgejsv

        order = np.argsort(-root)
        sva, _, V, work, _, info = dgejsv(np.asfortranarray((R * root)[:, order]), joba=0, jobu=3)
        if info == 0:
            vectors = np.empty_like(V)
            vectors[order] = V
            u = (sva * (work[0] / work[1])) ** 2
            return _Modes(u, vectors, root, R, _edge(u, vectors, sums))
    u, vectors = np.linalg.eigh(np.diag(sums) - eta * Q)
    return _Modes(u, vectors, root, None, _edge(u, vectors, sums))


def _edge(u: Array, vectors: Array, sums: Array) -> NDArray[np.int64]:
    """Modes whose u is less than 1 - NEAR of what it is without Q."""
    return np.flatnonzero(np.abs(u) < (1.0 - edge.NEAR) * (sums @ vectors**2))

"""Exact moments of an arm along its recorded steps, kept in the eigenbasis of H, where sums lose no digits.

A covariance in the original coordinates holds its small directions only to a rounding of its large ones, and tr(F C)
loses as many digits as H has decades. Risks, their variances and covariances do not depend on the coordinates, so they
are formed in the eigenbasis; only what is compared coordinate by coordinate is turned back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.model import Model
from fastsgd.theory import least_squares_transient, lyapunov, reshuffling, transient
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise

Array = NDArray[np.float64]

ROUNDING = 1e-14
LARGEST_WORK = 2e11  # operations, some ten seconds: beyond it state-dependent noise is left out


@dataclass(frozen=True)
class Path:
    """Moments at S recorded steps in the eigenbasis of H.

    Attributes:
        basis: of H, from the original coordinates; hessian: H in it, diagonal.
        metric: F, float64[d, d].
        mean, covariance: float64[S, d], float64[S, d, d].
        state_dependent: the noise depends on the state (exact least squares), else it is that at the optimum.
        known: the moments are exact although the law is not Gaussian.
    """

    basis: Eigenbasis
    hessian: Eigenbasis
    metric: Array
    mean: Array
    covariance: Array
    state_dependent: bool
    known: bool = False

    def original(self) -> tuple[Array, Array]:
        """Mean and covariance in the original coordinates; infinite where they have overflowed."""
        with np.errstate(over="ignore", invalid="ignore"):
            means, covs = self.basis.back_vector(self.mean), self.basis.back(self.covariance)
        lost = ~(np.isfinite(means).all(axis=1) & np.isfinite(covs).all(axis=(1, 2)))
        means[lost], covs[lost] = np.inf, np.inf
        return means, covs


def frozen(model: Model, sigma: Array, steps: NDArray[np.int64]) -> Path:
    """The linear recursion with noise of covariance `sigma` at every state, or with the noise of reshuffled epochs."""
    basis, hessian, metric, mean0, cov0 = _start(model, sigma)
    if not model.design.independent:
        noise = basis.into(model.noise)
        batch, n = model.spec.sampling.batch, model.pool_size or 1
        means, covs = reshuffling.moments(hessian, noise, model.etas, steps, mean0, cov0, batch, n)
        return Path(basis, hessian, metric, means, covs, False, model.additive)
    means, covs = transient.moments(hessian, basis.into(sigma), model.etas, steps, mean0, cov0)
    return Path(basis, hessian, metric, means, covs, False)


def exact(model: Model, sigma: Array, steps: NDArray[np.int64]) -> Path | None:
    """Least squares on a pool, noise as it is at each state; None for other models or where it is too much work."""
    pool = model.least_squares
    if pool is None or least_squares_transient.work(pool, model.etas, int(steps[-1])) > LARGEST_WORK:
        return None
    basis, hessian, metric, mean0, cov0 = _start(model, sigma)
    second0 = symmetrise(cov0) + np.multiply.outer(mean0, mean0)
    means, seconds = least_squares_transient.moments(pool, model.etas, model.factor, steps, mean0, second0)
    with np.errstate(over="ignore", invalid="ignore"):
        covs = seconds - means[:, :, None] * means[:, None, :]
        # What rounding of the second moment leaves where a direction has no variance yet.
        size = np.sqrt(np.maximum(np.diagonal(seconds, axis1=1, axis2=2), 0.0))
        covs[np.abs(covs) < ROUNDING * size[:, :, None] * size[:, None, :]] = 0.0
    covs[steps == 0] = cov0
    return Path(basis, hessian, metric, means, covs, True, True)


def _start(model: Model, sigma: Array) -> tuple[Eigenbasis, Eigenbasis, Array, Array, Array]:
    basis = eigenbasis(model.drift)
    hessian = Eigenbasis(basis.values, basis.correction)
    mean0, cov0 = model.start(sigma)
    if model.spec.start.kind == "stationary":
        spread = lyapunov.discrete_stationary(hessian, basis.into(sigma), model.largest_eta)
    else:
        spread = basis.into(cov0)
    return basis, hessian, basis.into(model.metric), basis.into_vector(mean0), spread

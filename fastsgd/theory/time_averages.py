"""Time averages over samples of linear SGD, transient included: expectations, and their errors for Gaussian noise.

Sample j = 0 ... K - 1 is taken after step k_j = burn_in + (j + 1) thin. The averages of one run are of Delta, of
Delta Delta' and of quadratic forms Delta' F Delta; over R independent runs variances are divided by R.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise
from fastsgd.theory.paths import Etas

FORGOTTEN = 1e-12
"""Part of the stationary covariance below which a transient no longer counts for a variance; other moments keep it."""


@dataclass(frozen=True)
class Sampling:
    """Which steps are sampled: `count` of them, one every `thin` steps after `burn_in`."""

    burn_in: int
    thin: int
    count: int

    def __post_init__(self) -> None:
        _check.count("burn_in", self.burn_in, 0)
        _check.count("thin", self.thin)
        _check.count("count", self.count)


@dataclass(frozen=True)
class Averages:
    """What the time averages of one run are, in law.

    Attributes:
        mean: float64[d], expectation of the average of Delta; mean_covariance: float64[d, d], its covariance.
        second: float64[d, d], expectation of the average of Delta Delta'.
        value: float64[n], expectation of the average of each quadratic form; variance: float64[n], Gaussian.
        skewness: float64[n], approximate: directions of a form taken as independent, each like a first-order
            autoregression in a long run; 0 for forms that are not positive on the diagonal of the eigenbasis.
    """

    mean: Array
    mean_covariance: Array
    second: Array
    value: Array
    variance: Array
    skewness: Array


def averages(
    H: ArrayLike | Eigenbasis,
    Sigma: ArrayLike,
    etas: Etas,
    sampling: Sampling,
    mean0: ArrayLike,
    cov0: ArrayLike,
    forms: ArrayLike | None = None,
) -> Averages:
    """Time averages of Delta_{k+1} = (I - eta_k H) Delta_k + eta_k xi_k, Cov xi_k = Sigma (36), from N(mean0, cov0).

    Expectations hold for independent noise of any law, variances for Gaussian noise. A sample costs O(n d^3) until the
    transient of a constant step is forgotten; the rest of the samples is summed in closed form.

    With C_j, m_j the moments at sample j and P_j the contraction between samples,
    Var sum_j r_j = sum_j [4 tr(F Q_j) - 2 tr(F C_j F C_j)] + sum_j [8 m_j' F l_j - 4 m_j' F C_j F m_j],
    Q_j = P_j Q_{j-1} P_j + C_j F C_j and l_j = P_j l_{j-1} + C_j F m_j.

    Args:
        H, Sigma, etas: as in `transient.moments`.
        forms: F of the quadratic forms, symmetric, float64[n, d, d].
    """
    basis = eigenbasis(H)
    d = basis.dimension
    metrics = np.empty((0, d, d)) if forms is None else _check.array("forms", forms, (None, d, d))
    metrics = np.array([basis.into(_check.symmetric("forms", F, d)) for F in metrics]).reshape(-1, d, d)
    noise = basis.into(_check.covariance("Sigma", Sigma, d))
    start = basis.into_vector(_check.array("mean0", mean0, (d,)))
    spread = basis.into(_check.covariance("cov0", cov0, d))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        total = _Total(metrics)
        left = sampling.count
        for contraction, mean, cov in _samples(basis, noise, etas, sampling, start, spread):
            total.add(contraction, mean, cov)
            left -= 1
        if left:
            eta = paths.constant_step(etas)
            assert eta is not None
            total.rest(_settled(basis, noise, eta, sampling.thin), mean, cov, left)
        return total.averages(basis, sampling.count)


def _samples(
    basis: Eigenbasis, noise: Array, etas: Etas, sampling: Sampling, mean: Array, cov: Array
) -> Iterator[tuple[Array, Array, Array]]:
    """(contraction since the last sample, mean, covariance) at each sample until the transient is forgotten."""
    eta = paths.constant_step(etas)
    goal = None if eta is None else _settled(basis, noise, eta, sampling.thin).covariance
    scale = None if goal is None else np.sqrt(np.diagonal(goal))
    bound = None if scale is None else FORGOTTEN * np.multiply.outer(scale, scale)
    if bound is not None and goal is not None and basis.vectors is not None:
        # a stationary start given in the original coordinates is rounded by as much
        bound = np.maximum(bound, 4.0 * np.finfo(np.float64).eps * np.max(np.abs(goal)))
    before, step = np.zeros_like(mean), 0
    cached: tuple[Array, Array] | None = None
    for j in range(sampling.count):
        after = sampling.burn_in + (j + 1) * sampling.thin
        if cached is None or j < 2 or eta is None:
            cached = _stretch(basis, etas, step, after)
        before, grown = cached
        mean = before * mean
        cov = np.multiply.outer(before, before) * cov + noise * grown
        step = after
        if goal is not None and bound is not None and j > 0 and _forgotten(goal, bound, mean, cov):
            return
        yield before, mean, cov


def _stretch(basis: Eigenbasis, etas: Etas, first: int, last: int) -> tuple[Array, Array]:
    """p and W with C -> p_i p_j C_ij + noise_ij W_ij over steps first .. last - 1."""
    d = basis.dimension
    eta = paths.constant_step(etas)
    if eta is not None:
        x, a, g = factors.contraction(basis, eta)
        logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
        pair = np.add.outer(logs, logs), np.multiply.outer(sign, sign)
        grown = eta * eta * factors.geometric_sum(factors.pair_gap(x, g), *pair, last - first)
        return factors.power(logs, sign, last - first), grown
    p, W = np.ones(d), np.zeros((d, d))
    for q, weights in paths.stretches(basis, etas, first, last):
        p, W = q * p, np.multiply.outer(q, q) * W + weights.T @ weights
    return p, W


@dataclass(frozen=True)
class _Settled:
    """The stationary law in the eigenbasis: p = a^thin with log|p| and sign, 1 - p, 1 - p_i p_j, covariance or None."""

    contraction: Array
    logs: Array
    sign: Array
    lost_one: Array
    lost: Array
    covariance: Array | None


def _settled(basis: Eigenbasis, noise: Array, eta: float, thin: int) -> _Settled:
    x, a, g = factors.contraction(basis, eta)
    logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
    gap = factors.pair_gap(x, g)
    stable = bool(np.min(x) > 0.0 and np.min(g) > 0.0)
    lost = gap * factors.geometric_sum(gap, np.add.outer(logs, logs), np.multiply.outer(sign, sign), thin)
    lost_one = x * factors.geometric_sum(x, logs, sign, thin)
    p, turn = factors.power(logs, sign, thin), np.where((sign < 0.0) & (thin % 2 == 1), -1.0, 1.0)
    return _Settled(p, thin * logs, turn, lost_one, lost, eta * (eta * noise / gap) if stable else None)


def _forgotten(goal: Array, bound: Array, mean: Array, cov: Array) -> bool:
    near = np.abs(cov - goal) <= bound
    return bool(np.all(near) and np.all(mean * mean <= np.diagonal(bound)))


class _Total:
    """Sums over samples, in the eigenbasis; `forms` float64[n, d, d].

    Of the matrices Q and C F C only entries where F is not 0 are needed. Forms that are diagonal there, such as F = H or
    single coordinates of a diagonal H, have sums of float64[n, d], at a cost of O(n d^2) a sample; the others are `full`.
    """

    def __init__(self, forms: Array):
        n, d, _ = forms.shape
        self.forms = forms
        levels = np.einsum("nii->ni", forms)
        flat = np.array([np.count_nonzero(F) == np.count_nonzero(np.diagonal(F)) for F in forms], dtype=bool)
        self.flat, self.full = np.flatnonzero(flat), np.flatnonzero(~flat)
        self.levels, self.matrices = np.ascontiguousarray(levels[self.flat]), forms[self.full]
        self.mean, self.second = np.zeros(d), np.zeros((d, d))
        self.cross, self.mean_covariance = np.zeros((d, d)), np.zeros((d, d))
        self.quadratic, self.linear = np.zeros_like(self.matrices), np.zeros((n, d))
        self.quadratic_flat = np.zeros_like(self.levels)
        self.parts, self.along = np.zeros((n, d)), np.zeros(n)  # of the variance: by rows of F, of the mean
        self.contraction = np.zeros(d)

    def add(self, p: Array, mean: Array, cov: Array) -> None:
        F = self.matrices
        self.contraction = p
        self.mean += mean
        self.second += cov + np.multiply.outer(mean, mean)
        self.cross = p[:, None] * self.cross + cov
        self.mean_covariance += self.cross + self.cross.T - cov
        if len(self.full):
            inner = cov @ F @ cov
            self.quadratic = np.multiply.outer(p, p) * self.quadratic + inner
            self._spread(4.0 * self.quadratic - 2.0 * inner)
        if len(self.flat):
            diagonal = self.levels @ (cov * cov)
            self.quadratic_flat = p * p * self.quadratic_flat + diagonal
            self.parts[self.flat] += self.levels * (4.0 * self.quadratic_flat - 2.0 * diagonal)
        if np.any(mean):
            push = self.forms @ mean
            pulled = push @ cov
            self.linear = p * self.linear + pulled
            self.along += 8.0 * np.sum(push * self.linear, axis=1) - 4.0 * np.sum(push * pulled, axis=1)

    def _spread(self, matrices: Array) -> None:
        self.parts[self.full] += np.einsum("nij,nij->ni", self.matrices, matrices)

    def rest(self, at: _Settled, mean: Array, cov: Array, count: int) -> None:
        """`count` further samples of the stationary law, after one with `mean` and `cov` that are all but there."""
        settled = at.covariance
        assert settled is not None
        F = self.matrices
        pair_logs, pair_sign = np.add.outer(at.logs, at.logs), np.multiply.outer(at.sign, at.sign)
        ratio = factors.power(pair_logs, pair_sign, 1)
        kept = ratio * factors.geometric_sum(
            at.lost, pair_logs, pair_sign, count
        )  # sum of (p_i p_j)^n, n = 1 ... count
        kept_one = at.contraction * factors.geometric_sum(at.lost_one, at.logs, at.sign, count)
        self.mean += kept_one * mean
        self.second += count * settled + kept * (cov - settled + np.multiply.outer(mean, mean))
        pairs = factors.lag_weights(at.lost, pair_logs, pair_sign, count)  # count + 2 sum (count - n) (p_i p_j)^n
        inner = settled @ F @ settled
        self._spread(4.0 * self.quadratic * kept + 2.0 * inner * pairs)
        diagonal = self.levels @ (settled * settled)
        quadratic = 4.0 * self.quadratic_flat * np.diagonal(kept) + 2.0 * diagonal * np.diagonal(pairs)
        self.parts[self.flat] += self.levels * quadratic
        singles = factors.lag_weights(at.lost_one, at.logs, at.sign, count)
        cross = kept_one[:, None] * self.cross
        self.mean_covariance += cross + cross.T + 0.5 * np.add.outer(singles, singles) * settled
        self.contraction = at.contraction

    def averages(self, basis: Eigenbasis, count: int) -> Averages:
        second = symmetrise(self.second) / count
        value = np.sum(self.forms * second, axis=(1, 2))
        variance = (np.sum(self.parts, axis=1) + self.along) / count**2
        mean_covariance = basis.back(symmetrise(self.mean_covariance) / count**2)
        skewness = self._skewness(count)
        mean = basis.back_vector(self.mean / count)
        return Averages(mean, mean_covariance, basis.back(second), value, variance, skewness)

    def _skewness(self, count: int) -> Array:
        """kappa_3 / kappa_2^(3/2) with kappa_3 the sum over directions i of c_i (variance_i)^2 / mean_i.

        c = 2 (1 + 4 r^2 + r^4)/(1 + r^2)^2 is exact for one stationary direction of lag-one correlation r as K grows,
        and for K = 1 if r = 0.
        """
        parts = self.parts
        level = np.einsum("nii,ii->ni", self.forms, self.second)
        r = self.contraction**2
        weight = 2.0 * (1.0 + 4.0 * r + r * r) / (1.0 + r) ** 2
        total = np.sum(parts, axis=1)
        usable = np.all((level > 0.0) & (parts >= 0.0), axis=1) & (total > 0.0)
        level = np.where(usable[:, None], level, 1.0)
        cubic = np.sum(weight * parts**2 / level, axis=1)
        return np.where(usable, cubic / np.where(usable, total, 1.0) ** 1.5, 0.0)

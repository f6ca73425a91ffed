"""The fluid limit of constant-step SGD and the covariance of the fluctuations around it. Section 5, Theorem 5.7."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis, eigenbasis, symmetrise

VectorField = Callable[[Array], Array]


@dataclass(frozen=True)
class FluidPath:
    """Solution at the asked times.

    Attributes:
        times: t = eta k, float64[S].
        theta: float64[S, d], the fluid limit.
        V: float64[S, d, d], Cov U(t), U = (theta_k - theta(eta k))/sqrt(eta); Cov theta_k ~ eta V.
        Phi: float64[S, d, d], dPhi/dt = -H(theta(t)) Phi, Phi(0) = I.
        moves: float64[S, d, d], Phi(t_s) Phi(t_{s-1})^-1, from t = 0 for the first.
        basis: eigenbasis of H where H is the same all along.
    """

    times: Array
    theta: Array
    V: Array
    Phi: Array
    moves: Array
    basis: Eigenbasis | None = None

    def propagator(self, later: int, earlier: int) -> Array:
        """Phi(t_later) Phi(t_earlier)^-1, float64[d, d], by indices into `times`, without the inverse of what has decayed."""
        if later < earlier:
            raise ValueError(f"later must be >= earlier, got {later} and {earlier}")
        if self.basis is not None:
            decay = np.exp(-(self.times[later] - self.times[earlier]) * self.basis.values)
            return self.basis.back(np.diag(decay))
        result: Array = np.eye(self.V.shape[1])
        for move in self.moves[earlier + 1 : later + 1]:
            result = move @ result
        return result

    def cross_covariance(self, later: int, earlier: int) -> Array:
        """Cov(U(t_later), U(t_earlier)) = Phi(t_later) Phi(t_earlier)^-1 V(t_earlier), float64[d, d], by indices."""
        result: Array = self.propagator(later, earlier) @ self.V[earlier]
        return result


def fluid_path(gradient: VectorField, theta0: ArrayLike, times: ArrayLike, tolerance: float = 1e-10) -> Array:
    """theta(t) of dtheta/dt = -grad L(theta) (26), at increasing times >= 0, float64[S, d].

    gradient maps float64[d] to grad L, float64[d]. `tolerance` is the relative error of the solver (DOP853) a step: 1e-10
    gives about 1e-11 of the start, 1e-13 about 1e-13. The method is explicit, about lambda_max t / 3 gradients: for stiff
    problems over long times there is `relaxation.relax`, and for a linear drift `linear_path`, exact.
    """
    start, at = _start(theta0), _times(times)
    return _solve(lambda _, y: -np.asarray(gradient(y), np.float64), start, at, tolerance)


def covariance_path(
    gradient: VectorField,
    hessian: Callable[[Array], Array],
    noise: Callable[[Array], Array],
    theta0: ArrayLike,
    V0: ArrayLike,
    batch: int,
    times: ArrayLike,
    tolerance: float = 1e-10,
) -> FluidPath:
    """Fluid limit and dV/dt = -H V - V H + G(theta(t))/b along it. Theorem 5.7, equation (26).

    Leading order in eta: theta_k has mean theta(eta k) + O(eta) and covariance eta V(eta k) + O(eta^2). L must be
    smooth along the path. Solved to `tolerance` as in `fluid_path`; where H and G are constant use `linear_path`.

    Args:
        gradient, hessian, noise: functions of float64[d] giving grad L float64[d], H float64[d, d] and G float64[d, d].
        theta0: float64[d]. V0: Cov U(0), float64[d, d] (zero for a fixed start). batch: b >= 1.
        times: increasing, >= 0. tolerance: relative error of the solver a step.
    """
    start, at, b = _start(theta0), _times(times), _check.count("batch", batch)
    d = start.size
    spread = _check.covariance("V0", V0, d)
    unit = np.eye(d).ravel()

    def field(_: float, y: Array) -> Array:
        theta, V, Phi = y[:d], y[d : d + d * d].reshape(d, d), y[d + d * d :].reshape(d, d)
        H = np.asarray(hessian(theta), np.float64)
        HV = H @ V
        dV = np.asarray(noise(theta), np.float64) / b - HV - HV.T
        return np.concatenate([-np.asarray(gradient(theta), np.float64), dV.ravel(), -(H @ Phi).ravel()])

    y, begun, found = np.concatenate([start, spread.ravel()]), 0.0, []
    for end in at:
        # the propagator begins anew at each time: what has decayed of the whole one cannot be divided out of it
        there = _solve(field, np.concatenate([y, unit]), np.array([end - begun]), tolerance)[0]
        y, begun = there[: d + d * d], end
        found.append(there)
    values = np.array(found)
    V, moves = symmetrise(values[:, d : d + d * d].reshape(-1, d, d)), values[:, d + d * d :].reshape(-1, d, d)
    Phi = np.array(list(itertools.accumulate(moves, lambda whole, move: move @ whole)))
    return FluidPath(at, values[:, :d], V, Phi, moves)


def linear_path(
    H: ArrayLike | Eigenbasis, G: ArrayLike, Delta0: ArrayLike, V0: ArrayLike, batch: int, times: ArrayLike
) -> FluidPath:
    """`covariance_path` of a quadratic, grad L = H Delta with constant G, in closed form: 12 digits at any time. (26)

    In the eigenbasis of H, Delta_i(t) = exp(-l_i t) Delta_i(0), Phi = exp(-H t) and V_ij(t) = exp(-(l_i + l_j) t) V_ij(0) +
    (G_ij/b) (1 - exp(-(l_i + l_j) t))/(l_i + l_j). H symmetric, of any condition and sign; V tends to (33) where H > 0.

    Args:
        H, G, V0: float64[d, d]; Delta0: theta - theta* at t = 0, float64[d]; `theta` of the result is Delta too.
        batch: b >= 1; times: increasing, >= 0.
    """
    basis, start, at, b = eigenbasis(H), _start(Delta0), _times(times), _check.count("batch", batch)
    d = basis.dimension
    first = basis.into_vector(_check.array("Delta0", start, (d,)))
    spread, noise = basis.into(_check.covariance("V0", V0, d)), basis.into(_check.covariance("G", G, d)) / b
    rate = np.add.outer(basis.values, basis.values)
    flat = rate == 0.0
    theta, V, Phi = np.empty((at.size, d)), np.empty((at.size, d, d)), np.empty((at.size, d, d))
    with np.errstate(over="ignore", under="ignore"):
        for s, t in enumerate(at):
            decay = np.exp(-t * basis.values)
            grown = np.where(flat, t, -np.expm1(-t * rate) / np.where(flat, 1.0, rate))
            theta[s], Phi[s] = basis.back_vector(decay * first), basis.back(np.diag(decay))
            V[s] = basis.back(np.exp(-t * rate) * spread + noise * grown)
        moves = np.array([basis.back(np.diag(np.exp(-gap * basis.values))) for gap in np.diff(at, prepend=0.0)])
    return FluidPath(at, theta, V, Phi, moves, basis)


def _start(theta0: ArrayLike) -> Array:
    return _check.array("theta0", theta0, (None,))


def _times(times: ArrayLike) -> Array:
    at = _check.array("times", times, (None,))
    if at.size == 0 or at[0] < 0.0 or np.any(np.diff(at) <= 0.0):
        raise ValueError("times must be >= 0 and strictly increasing; sort them and drop repetitions")
    return at


def _solve(field: Callable[[float, Array], Array], start: Array, times: Array, tolerance: float) -> Array:
    from scipy.integrate import solve_ivp

    rtol = _check.positive("tolerance", tolerance)
    if times[-1] == 0.0:
        return start[None, :].copy()
    scale = max(1.0, float(np.max(np.abs(start))))
    found = solve_ivp(field, (0.0, times[-1]), start, "DOP853", times, rtol=rtol, atol=rtol * 1e-3 * scale)
    if not found.success or found.y.shape[1] != times.size:
        raise ValueError(f"the fluid path could not be followed to t = {times[-1]:g}: {found.message}")
    result: Array = found.y.T
    return result

"""Upper and lower bounds on the risk for a decaying step. Section 6."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check, _product, factors, paths
from fastsgd.theory._check import Array
from fastsgd.theory.geometry import contraction_rate
from fastsgd.theory.paths import Etas
from fastsgd.theory.projection import spectrum


def upper_bound(F: ArrayLike, H: ArrayLike, G: ArrayLike, batch: int, c: float, k: ArrayLike) -> Array:
    """Leading term of (42): c^2 tr(F G)/(b (2 c mu_F - 1) k), for eta_k = c/(k + k0), float64 like k.

    Holds up to a transient of smaller order (`drift_bound` is exact in it). Needs mu_F > 0 (Assumption 6.2) and
    2 c mu_F > 1. With F = G, tr(G^2) <= lambda_max(G)^2 d_eff gives (43), `upper_bound_effective`.
    """
    metric = _check.symmetric("F", F)
    traced = float(_product.inner(metric, _check.covariance("G", G, metric.shape[0]), (0, 1)))
    return _leading(traced, _rate(F, H, c), batch, c, k)


def upper_bound_effective(G: ArrayLike, H: ArrayLike, batch: int, c: float, k: ArrayLike) -> Array:
    """(43), F = G: c^2 lambda_max(G)^2 d_eff/(b (2 c mu_G - 1) k); not below `upper_bound` with F = G."""
    _, values, _ = spectrum("G", G)
    return _leading(float(np.max(values) * np.sum(values)), _rate(G, H, c), batch, c, k)


def drift_bound(F: ArrayLike, H: ArrayLike, Sigma: ArrayLike, etas: Etas, steps: ArrayLike, risk0: float) -> Array:
    """Upper bound of E|Delta_k|_F^2 by the drift (41) with its second-order term, exact transient, float64[S].

    V_{k+1} = (1 - 2 eta mu_F + eta^2 L^2) V_k + eta^2 tr(F Sigma), L = |F^{1/2} H F^{-1/2}| in operator norm. Holds
    for the linear recursion at every k and every eta; useful while the factor is below 1. F must have full rank.

    Args: F, H, Sigma float64[d, d]; etas, steps as in `transient.moments`; risk0 = E|Delta_0|_F^2.
    """
    at = _check.recorded_steps(steps)
    basis, values, inside = spectrum("F", F)
    if not np.all(inside):
        raise ValueError("F must have full rank; restrict the problem to range(F) first")
    mu = contraction_rate(F, H).mu_F
    root = np.sqrt(values)
    A = basis.into(_check.symmetric("H", H, values.size)) * (root[:, None] / root[None, :])
    square = float(np.linalg.norm(A, 2)) ** 2
    noise = float(_product.inner(_check.symmetric("F", F), _check.covariance("Sigma", Sigma, values.size), (0, 1)))
    V, reached, result = _check.nonnegative("risk0", risk0), 0, np.empty(at.size)
    eta = paths.constant_step(etas)
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        for s, k in enumerate(int(k) for k in at):
            if eta is not None:
                lost = np.minimum(eta * (2.0 * mu - eta * square), 1.0)  # mu <= L, so that it is at most 1
                logs = np.log1p(-lost) if k else np.zeros(())
                result[s] = np.exp(k * logs) * V + eta * (
                    eta * noise * factors.geometric_sum(lost, logs, np.ones(()), k)
                )
                continue
            for start in range(reached, k, paths.CHUNK):
                sizes = paths.step_sizes(etas, start, min(start + paths.CHUNK, k))
                logs = np.log1p(-np.minimum(sizes * (2.0 * mu - sizes * square), 1.0))
                later = np.exp(np.append(np.cumsum(logs[::-1])[::-1], 0.0))
                V = later[0] * V + noise * float(np.sum(sizes * sizes * later[1:]))
            reached, result[s] = k, V
    return result


def van_trees(F: ArrayLike, samples: ArrayLike, prior_information: ArrayLike | None = None) -> Array:
    """(44): d^2/(N d + tr(F^-1 J)), lower bound of the worst-case E|That - theta|_F^2 from N i.i.d. observations.

    F the Fisher information of one observation (on its range, d its rank), J = prior_information float64[d, d]; without
    J it is the limit d/N. samples N, float64[...] -> float64[...]. Local and minimax: it bounds the supremum over a
    neighbourhood, not the risk at each theta.
    """
    basis, values, inside = spectrum("F", F)
    d = int(np.count_nonzero(inside))
    N = np.asarray(samples, dtype=np.float64)
    if np.any(~np.isfinite(N)) or np.any(N <= 0.0):
        raise ValueError("samples must be finite and > 0")
    extra = 0.0
    if prior_information is not None:
        inner = np.diagonal(basis.into(_check.covariance("prior_information", prior_information, values.size)))
        extra = float(np.sum(inner[inside] / values[inside]))
    result: Array = d * d / (N * d + extra)
    return result


def _rate(F: ArrayLike, H: ArrayLike, c: float) -> float:
    rate = contraction_rate(F, H)
    if not rate.holds:
        raise ValueError(str(rate))
    margin = 2.0 * _check.positive("c", c) * rate.mu_F
    if margin <= 1.0:
        raise ValueError(f"2 c mu_F must be > 1 for the bound (42), got {margin:.6g}; take c > {0.5 / rate.mu_F:.6g}")
    return margin - 1.0


def _leading(traced: float, margin: float, batch: int, c: float, k: ArrayLike) -> Array:
    step = np.asarray(k, dtype=np.float64)
    if np.any(step <= 0.0):
        raise ValueError("k must be > 0; the bound has no value at the start")
    result: Array = c * c * traced / (_check.count("batch", batch) * margin * step)
    return result

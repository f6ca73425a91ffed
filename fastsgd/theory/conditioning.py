"""The covariance of a mini-batch gradient at the three levels of conditioning. Section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fastsgd.theory import _check
from fastsgd.theory._check import Array

Normalisation = Literal["1/n", "1/(n-1)"]


@dataclass(frozen=True)
class Decomposition:
    """Equation (22): within the pool, between pools, and their sum; float64[d, d] each."""

    within: Array
    between: Array
    total: Array


def without_replacement_factor(batch: int, pool_size: int, normalisation: Normalisation = "1/n") -> float:
    """f with Cov(mean gradient | pool) = f S_n for simple random sampling without replacement. Lemma 4.1.

    (1/b)(n-b)/(n-1) when S_n is normalised by 1/n, (1/b)(1 - b/n) when by 1/(n-1); never mix the two (Remark 4.2).
    """
    b, n = _check.count("batch", batch), _check.count("pool_size", pool_size)
    if b > n:
        raise ValueError(f"batch must be <= pool_size = {n}, got {b}; draw fewer samples a step")
    if normalisation == "1/n":
        return 0.0 if b == n else (n - b) / ((n - 1) * b)
    if normalisation == "1/(n-1)":
        return (n - b) / (n * b)
    raise ValueError(f"normalisation must be '1/n' or '1/(n-1)', got {normalisation!r}")


def pool_covariance(gradients: ArrayLike, normalisation: Normalisation = "1/n") -> Array:
    """S_n, covariance of the rows of per-sample gradients float64[n, d] around their mean, float64[d, d]."""
    g = _check.array("gradients", gradients, (None, None))
    n = g.shape[0]
    least = 1 if normalisation == "1/n" else 2
    if n < least:
        raise ValueError(f"gradients must have at least {least} rows for {normalisation}, got {n}")
    centred = g - g.mean(axis=0)
    result: Array = centred.T @ centred / (n if normalisation == "1/n" else n - 1)
    return result


def given_pool(S_n: ArrayLike, batch: int, pool_size: int, normalisation: Normalisation = "1/n") -> Array:
    """Level (i), given the pool, without replacement: f S_n. Lemma 4.1, Proposition 4.5. float64[d, d]; 0 for b = n."""
    return without_replacement_factor(batch, pool_size, normalisation) * _check.covariance("S_n", S_n)


def given_measure(G_mu: ArrayLike, batch: int) -> Array:
    """Level (ii), given the directing measure mu: G_mu / b. Theorem 4.3, Proposition 4.5. float64[d, d]."""
    return _check.covariance("G_mu", G_mu) / _check.count("batch", batch)


def unconditional(G_mu: ArrayLike, means: ArrayLike, batch: int, weights: ArrayLike | None = None) -> Array:
    """Level (iii): E[G_mu]/b + Cov(E[g | mu]), for a directing measure with M values. Proposition 4.5.

    Args:
        G_mu: float64[M, d, d], gradient covariance under each value; means: float64[M, d], mean gradient under each.
        weights: float64[M], probabilities; equal when left out.

    Under identifiability all means are equal and this is E[G_mu]/b = G/b. The second term does not fall with b.
    """
    m = _check.array("means", means, (None, None))
    G = _check.array("G_mu", G_mu, (m.shape[0], m.shape[1], m.shape[1]))
    w = np.full(m.shape[0], 1.0 / m.shape[0]) if weights is None else _check.array("weights", weights, (m.shape[0],))
    if np.min(w) < 0.0 or abs(float(np.sum(w)) - 1.0) > 1e-12:
        raise ValueError(f"weights must be >= 0 and sum to 1, got sum {float(np.sum(w)):.6g}")
    centred = m - w @ m
    result: Array = np.einsum("m,mij->ij", w, G) / _check.count("batch", batch) + (centred.T * w) @ centred
    return result


def decomposition(G: ArrayLike, batch: int, pool_size: int) -> Decomposition:
    """Equation (22) for a pool of n fresh samples: E[Cov(ghat | pool)] = (1/b)(1 - b/n) G, Cov(E[ghat | pool]) = G/n.

    They add up to G/b (Theorem 4.3). G float64[d, d].
    """
    noise = _check.covariance("G", G)
    within = without_replacement_factor(batch, pool_size, "1/(n-1)") * noise
    return Decomposition(within, noise / pool_size, noise / batch)

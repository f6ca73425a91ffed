"""Step sizes as theory takes them, and products of contraction factors over stretches of steps. Equation (36)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.theory import _check, factors
from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis

Etas = float | ArrayLike | Callable[[NDArray[np.int64]], Any]

CHUNK = 1024  # steps held at once: bounds memory, and keeps products of factors short


def constant_step(etas: Etas) -> float | None:
    """The step size when `etas` is one number, None when it varies with the step."""
    if callable(etas) or np.ndim(etas) != 0:
        return None
    return _check.positive("eta", etas)


def step_sizes(etas: Etas, k0: int, k1: int) -> Array:
    """eta_k for k0 <= k < k1, float64[k1-k0]; `etas` is a number, an array from step 0, or a function of int64[n]."""
    number = constant_step(etas)
    if number is not None:
        return np.full(k1 - k0, number)
    if callable(etas):
        k = np.arange(k0, k1, dtype=np.int64)
        sizes = np.asarray(etas(k), dtype=np.float64)
        if sizes.shape != k.shape:
            raise ValueError(f"etas(k) must return one step size for each of {k.size} steps, got shape {sizes.shape}")
    else:
        given = np.asarray(etas, dtype=np.float64)
        if given.ndim != 1 or given.size < k1:
            raise ValueError(f"etas must hold a step size for each of the {k1} steps, got shape {given.shape}")
        sizes = given[k0:k1]
    if sizes.size and not (np.all(np.isfinite(sizes)) and np.min(sizes) > 0.0):
        raise ValueError("etas must be finite and > 0 at every step; give positive step sizes")
    return sizes


def stretches(basis: Eigenbasis, etas: Etas, k0: int, k1: int) -> Iterator[tuple[Array, Array]]:
    """For consecutive chunks of [k0, k1): (p, W) with p[i] = prod a_i(t), W[t, i] = eta_t prod_{s > t} a_i(s).

    A covariance advances over the chunk as C_ij <- p_i p_j C_ij + Sigma_ij (W' W)_ij. Products are exponentials of
    sums of log1p, with signs apart, so small steps lose nothing.
    """
    for start in range(k0, k1, CHUNK):
        sizes = step_sizes(etas, start, min(start + CHUNK, k1))
        column = sizes[::-1, None]
        x = column * basis.values
        if float(np.max(x)) < 0.5 and float(np.min(x)) > -0.5:
            logs, signs = np.log1p(-x), None
        else:
            triple = factors.contraction(basis, column)
            logs, signs = factors.log_magnitude(*triple), np.where(triple[1] < 0.0, -1.0, 1.0)
        with np.errstate(over="ignore", under="ignore"):
            products = np.exp(_running_sums(logs))
        if signs is not None:
            products = products * np.cumprod(signs, axis=0)
        W = np.empty_like(products)
        W[0] = 1.0
        W[1:] = products[:-1]
        W *= column
        yield products[-1], W


def _running_sums(logs: Array) -> Array:
    """Cumulative sums along axis 0 in two levels of 32 rows: equal terms would bias one long chain of roundings."""
    rows, d = logs.shape
    blocks = -(-rows // 32)
    padded = np.zeros((blocks, 32, d))
    padded.reshape(-1, d)[:rows] = logs
    inner = np.cumsum(padded, axis=1)
    inner[1:] += np.cumsum(inner[:-1, -1], axis=0)[:, None]
    return inner.reshape(-1, d)[:rows]


def contraction_products(basis: Eigenbasis, etas: Etas, steps: NDArray[np.int64]) -> Array:
    """prod_{steps[s] <= t < steps[s+1]} (1 - eta_t l_i), float64[S-1, d], in the eigenbasis."""
    result = np.ones((steps.size - 1, basis.dimension))
    number = constant_step(etas)
    if number is not None:
        x, a, g = factors.contraction(basis, number)
        logs, sign = factors.log_magnitude(x, a, g), np.where(a < 0.0, -1.0, 1.0)
        for s, gap in enumerate(np.diff(steps)):
            result[s] = factors.power(logs, sign, int(gap))
        return result
    for s in range(steps.size - 1):
        for p, _ in stretches(basis, etas, int(steps[s]), int(steps[s + 1])):
            result[s] *= p
    return result

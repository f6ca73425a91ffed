"""The quadratic recursion as one would write it with NumPy, JAX and Numba."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.core import Case, Work, require

if TYPE_CHECKING:
    from benchmarks.quadratic import Model


def _loop(model: Model, dense: bool, state: np.ndarray, steps: int, random: np.random.Generator) -> None:
    """All replicates of `state` float64[R, d] at once, in place, without a temporary array a step."""
    z, drift = np.empty_like(state), np.empty_like(state)
    scaled = np.ascontiguousarray(model.eta * model.factor.T)
    keep = 1.0 - model.eta * model.eigenvalues
    hessian = -model.eta * model.hessian
    for _ in range(steps):
        random.standard_normal(out=z)
        if dense:
            np.matmul(state, hessian, out=drift)
            state += drift
        else:
            state *= keep
        np.matmul(z, scaled, out=drift)
        state += drift


def numpy_one(model: Model, case: Case) -> Work:
    steps = max(2, case["steps"] // 10)
    state, random = model.start.copy(), np.random.Generator(np.random.SFC64(1))
    return Work(lambda: _loop(model, case["dense"], state, steps, random), case["replicates"] * steps)


def numpy_threads(model: Model, case: Case) -> Work:
    """Each thread has a generator and its share of the replicates, in slices that stay in its cache."""
    threads, steps = case["threads"], max(2, case["steps"] // 10)
    slices = threads * max(1, case["replicates"] // threads // 256)
    parts = [np.ascontiguousarray(part) for part in np.array_split(model.start, slices)]
    randoms = [np.random.Generator(np.random.SFC64(i)) for i in range(slices)]
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        list(pool.map(lambda job: _loop(model, case["dense"], job[0], steps, job[1]), zip(parts, randoms, strict=True)))

    return Work(run, case["replicates"] * steps)


def jax_scan(model: Model, case: Case) -> Work:
    jax = require("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    steps = max(2, case["steps"] // 20)
    factor, eta = jnp.asarray(model.factor.T), model.eta
    hessian = jnp.asarray(model.hessian if case["dense"] else model.eigenvalues)
    dense = case["dense"]

    def step(state, key):
        z = jax.random.normal(key, state.shape, dtype=jnp.float64)
        drift = state @ hessian if dense else state * hessian
        return state + eta * (z @ factor - drift), None

    @jax.jit
    def advance(state, key):
        return jax.lax.scan(step, state, jax.random.split(key, steps))[0]

    state, key = jnp.asarray(model.start), jax.random.key(1)
    return Work(lambda: advance(state, key).block_until_ready(), case["replicates"] * steps)


def numba_naive(model: Model, case: Case) -> Work:
    numba = require("numba")
    numba.set_num_threads(case["threads"])

    @numba.njit(parallel=True)
    def advance(hessian, factor, eta, steps, dense, state):
        replicates, d = state.shape
        for r in numba.prange(replicates):
            z, drift = np.empty(d), np.empty(d)
            for _ in range(steps):
                for i in range(d):
                    z[i] = np.random.standard_normal()  # noqa: NPY002
                for i in range(d):
                    total = 0.0
                    for j in range(i + 1):
                        total += factor[i, j] * z[j]
                    if dense:
                        for j in range(d):
                            total -= hessian[i, j] * state[r, j]
                    else:
                        total -= hessian[i, i] * state[r, i]
                    drift[i] = total
                for i in range(d):
                    state[r, i] += eta * drift[i]

    steps, state = max(1, case["steps"] // 16), model.start.copy()
    run = lambda: advance(model.hessian, model.factor, model.eta, steps, case["dense"], state)  # noqa: E731
    return Work(run, case["replicates"] * steps)

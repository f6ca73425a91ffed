"""The normalised Ornstein-Uhlenbeck process in two dimensions, one core: dX = -eta H X dt + sqrt(eta / b) G^(1/2) dW.

A step of Euler-Maruyama and a step of the exact transition are both X <- X + A X + L z with a diagonal A, which is the
quadratic recursion with step size 1.
"""

from __future__ import annotations

import numpy as np

from benchmarks import native
from benchmarks.core import OURS, Case, Peer, Work

TITLE = "Ornstein-Uhlenbeck in two dimensions, one core"
UNIT = "path-step"
ETA, BATCH, DT = 0.1, 8, 0.05
EIGENVALUES, NOISE = np.array([1.0, 4.0]), np.array([[2.0, 0.6], [0.6, 1.0]])


def cases(quick: bool, threads: int) -> list[Case]:
    kinds = ("Euler-Maruyama",) if quick else ("Euler-Maruyama", "exact transition")
    return [{"label": kind, "kind": kind, "paths": 256, "steps": 2_000 if quick else 10_000} for kind in kinds]


def _recursion(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal of A and the lower triangular L of X <- X + A X + L z."""
    rate, diffusion = ETA * EIGENVALUES, ETA / BATCH * NOISE
    if kind == "Euler-Maruyama":
        return -rate * DT, np.linalg.cholesky(diffusion * DT)
    total = rate[:, None] + rate[None, :]
    return np.expm1(-rate * DT), np.linalg.cholesky(-diffusion * np.expm1(-total * DT) / total)


def _ours(case: Case) -> Work:
    import numba
    from fastsgd.kernels.quadratic import advance_quadratic, pack

    numba.set_num_threads(1)
    drift, factor = _recursion(case["kind"])
    coefficients, starts = pack(factor[None])
    eta, x = np.ones((1, case["steps"])), np.zeros((1, case["paths"], 2))
    address = [np.uint64(i) for i in (3, 0, 0, 0)]
    call = lambda: advance_quadratic(drift[None].copy(), coefficients, starts, eta, *address, x)  # noqa: E731
    call()
    return Work(call, case["paths"] * case["steps"], x[0].copy())


def _tuned(case: Case) -> Work:
    library = native.library("quadratic")
    drift, factor = _recursion(case["kind"])
    eta, x, decay = np.ones(case["steps"]), np.zeros((case["paths"], 2)), -drift
    sizes = (native.i64(case["steps"]), *(native.u64(i) for i in (3, 0, 0, 0)), native.i64(case["paths"]), 2)

    def call() -> None:
        given = [native.pointer(array) for array in (decay, factor, eta)]
        library.advance(0, 8, *given, *sizes, native.pointer(x), 1)

    call()
    return Work(call, case["paths"] * case["steps"], x.copy())


def _numpy(case: Case) -> Work:
    drift, factor = _recursion(case["kind"])
    random, x = np.random.Generator(np.random.SFC64(1)), np.zeros((case["paths"], 2))
    steps, z = case["steps"] // 10, np.empty((case["paths"], 2))
    keep, transposed = 1.0 + drift, np.ascontiguousarray(factor.T)

    def run() -> None:
        for _ in range(steps):
            random.standard_normal(out=z)
            x[...] = x * keep + z @ transposed

    return Work(run, case["paths"] * steps)


PEERS = (
    Peer(OURS, OURS, _ours),
    Peer("C AVX-512", "c", _tuned),
    Peer("NumPy", "numpy-threads", _numpy, {"OPENBLAS_NUM_THREADS": "1"}),
)

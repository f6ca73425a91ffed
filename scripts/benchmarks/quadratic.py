"""Quadratic SGD with dense Gaussian noise, R replicates: Delta <- Delta + eta (C z - H Delta), H diagonal (or dense).

fastsgd and the tuned C make the same numbers with the same order of operations where H is diagonal. A dense H fastsgd
diagonalises once, before the run; its steps then cost what those of a diagonal H cost. All others, the C too, form the
product with H at every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks import native, quadratic_peers
from benchmarks.core import OURS, SINGLE, Case, Peer, Unavailable, Work

TITLE = "Quadratic SGD, diagonal H"
UNIT = "replicate-step"
DIMENSIONS = (2, 10, 20, 33, 50, 100, 127, 200)
SEED = 7


def make_cases(quick: bool, threads: int, dimensions: tuple[int, ...], dense: bool) -> list[Case]:
    return [
        {
            "label": f"d = {d}",
            "d": d,
            "dense": dense,
            "replicates": 512,
            # A turn of about 4 ms (quick) or 20 ms of two threads.
            "steps": max(4, int((0.1 if quick else 0.5) * 4e7 / (512 * d * (0.9 + 0.01 * d)))),
            "threads": threads,
        }
        for d in dimensions
    ]


def cases(quick: bool, threads: int) -> list[Case]:
    return make_cases(quick, threads, (2, 20, 100) if quick else DIMENSIONS, dense=False)


@dataclass(frozen=True)
class Model:
    """The same problem for every peer: H (diagonal or dense), C with C C' = G / b, step size, start."""

    hessian: np.ndarray
    eigenvalues: np.ndarray
    factor: np.ndarray
    eta: float
    start: np.ndarray


def model(case: Case) -> Model:
    d = case["d"]
    random = np.random.default_rng(d)
    square = random.normal(size=(d, d))
    factor = np.linalg.cholesky(square @ square.T / d + np.eye(d))
    eigenvalues = np.linspace(1.0, 2.0, d)
    hessian = np.diag(eigenvalues)
    if case["dense"]:
        basis = np.linalg.qr(random.normal(size=(d, d)))[0]
        hessian = basis * eigenvalues @ basis.T
        hessian = (hessian + hessian.T) / 2
    return Model(hessian, eigenvalues, factor, 0.01, np.ones((case["replicates"], d)))


def _advance(case: Case, purpose: int) -> Work:
    """The recursion with the normals of a purpose."""
    import numba
    from fastsgd.kernels.linalg import congruence, symmetric_eigen, triangular_factor
    from fastsgd.kernels.quadratic import advance_quadratic, pack

    m = model(case)
    numba.set_num_threads(case["threads"])
    eigenvalues, factor, start = m.eigenvalues, m.factor, m.start
    if case["dense"]:
        eigenvalues, rows = np.empty(case["d"]), np.empty_like(m.hessian)
        symmetric_eigen(m.hessian, eigenvalues, rows)
        noise, factor = np.empty_like(m.hessian), np.empty_like(m.hessian)
        congruence(rows, m.factor @ m.factor.T, noise)
        triangular_factor(noise, factor)
        start = m.start @ rows.T
    coefficients, starts = pack(factor[None])
    eta = np.full((1, case["steps"]), m.eta)
    delta = start[None].copy()
    address = [np.uint64(x) for x in (SEED, purpose, 0, 0)]
    call = lambda: advance_quadratic(-eigenvalues[None], coefficients, starts, eta, *address, delta)  # noqa: E731
    call()
    return Work(call, case["replicates"] * case["steps"], None if case["dense"] or purpose else delta[0].copy())


def _ours(case: Case) -> Work:
    return _advance(case, 0)


def _single(case: Case) -> Work:
    from fastsgd.kernels.philox import PURPOSE_SINGLE

    return _advance(case, int(PURPOSE_SINGLE))


def _tuned(case: Case) -> Work:
    library = native.library("quadratic")
    m, d = model(case), case["d"]
    eta, delta = np.full(case["steps"], m.eta), m.start.copy()
    given = m.hessian if case["dense"] else m.eigenvalues
    tall = 6 if case["dense"] or d > 100 else 8
    arguments = (
        int(case["dense"]),
        tall,
        native.pointer(given),
        native.pointer(m.factor),
        native.pointer(eta),
        native.i64(case["steps"]),
        *(native.u64(x) for x in (SEED, 0, 0, 0)),
        native.i64(case["replicates"]),
        d,
        native.pointer(delta),
        case["threads"],
    )

    def call() -> None:
        library.advance(*arguments)

    call()
    bits = None if case["dense"] else delta.copy()
    return Work(call, case["replicates"] * case["steps"], bits)


def _naive_c(case: Case) -> Work:
    library = native.library("naive", tuned=False)
    m = model(case)
    steps = max(1, case["steps"] // 8)
    delta = m.start.copy()
    arguments = (
        int(case["dense"]),
        native.pointer(m.hessian),
        native.pointer(m.factor),
        native.f64(m.eta),
        native.i64(steps),
        native.u64(SEED),
        native.i64(case["replicates"]),
        case["d"],
        native.pointer(delta),
        case["threads"],
    )
    return Work(lambda: library.advance(*arguments), case["replicates"] * steps)


def _lazily(name: str):
    """A peer of `quadratic_peers`, with the model of the case."""

    def make(case: Case) -> Work:
        if case["replicates"] % max(1, case["threads"]):
            raise Unavailable("replicates do not divide among the threads")
        return getattr(quadratic_peers, name)(model(case), case)

    return make


PEERS = (
    Peer(OURS, OURS, _ours),
    Peer("C AVX-512", "c", _tuned),
    Peer(SINGLE, OURS, _single),
    Peer("C naive", "c", _naive_c),
    Peer("NumPy", "numpy", _lazily("numpy_one")),
    Peer("NumPy, generator a thread", "numpy-threads", _lazily("numpy_threads"), {"OPENBLAS_NUM_THREADS": "1"}),
    Peer("JAX scan", "jax", _lazily("jax_scan")),
    Peer("Numba naive", "numba", _lazily("numba_naive")),
)

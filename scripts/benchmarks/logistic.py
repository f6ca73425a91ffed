"""Logistic SGD on a pool of n samples, R = 256 replicates, mini-batches of b without replacement.

fastsgd and the tuned C draw every batch without replacement. NumPy and JAX, across replicates, draw with replacement,
which is cheaper for them; scikit-learn takes one replicate and a random slice of a shuffled pool.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks import native
from benchmarks.core import OURS, Case, Peer, Work, require
from benchmarks.draws import method

TITLE = "Logistic SGD on a pool, R = 256"
UNIT = "sample gradient"
SIZES = ((100_000, 20, 32), (10_000, 50, 8), (1_000, 20, 32))
SEED, REPLICATE, STEP = 5, 0, 9
RIDGE, ETA = 0.01, 0.05


def cases(quick: bool, threads: int) -> list[Case]:
    return [
        {
            "label": f"n = {n:,}, d = {d}, b = {b}",
            "n": n,
            "d": d,
            "b": b,
            "replicates": 256,
            "steps": (1 if quick else 4) * 1024 // b,
            "threads": threads,
        }
        for n, d, b in (SIZES[:1] if quick else SIZES)
    ]


@dataclass(frozen=True)
class Pool:
    features: np.ndarray
    targets: np.ndarray
    optimum: np.ndarray
    start: np.ndarray  # theta minus the optimum, float64[R, d]


def pool(case: Case) -> Pool:
    random = np.random.default_rng(case["n"])
    features = random.normal(size=(case["n"], case["d"]))
    optimum = random.normal(size=case["d"]) / case["d"] ** 0.5
    targets = (random.random(case["n"]) < 1.0 / (1.0 + np.exp(-features @ optimum))).astype(np.float64)
    return Pool(features, targets, optimum, 0.1 * random.normal(size=(case["replicates"], case["d"])))


def _units(case: Case) -> int:
    return case["replicates"] * case["steps"] * case["b"]


def _ours(case: Case) -> Work:
    import numba
    from fastsgd.kernels.draws import WITHOUT_REPLACEMENT
    from fastsgd.kernels.glm import advance_glm, pack_pool
    from fastsgd.kernels.links import LOGISTIC

    numba.set_num_threads(case["threads"])
    p = pool(case)
    rows, delta, eta = pack_pool(p.features, p.targets), p.start[None].copy(), np.full((1, case["steps"]), ETA)
    address = [np.uint64(x) for x in (SEED, REPLICATE, STEP)]
    tasks = 8 * case["threads"]

    def call() -> None:
        design = WITHOUT_REPLACEMENT
        advance_glm(delta, p.optimum, rows, case["n"], RIDGE, LOGISTIC, case["b"], design, eta, *address, tasks)

    call()
    return Work(call, _units(case), delta[0].copy())


def _tuned(case: Case) -> Work:
    from fastsgd.kernels.glm import pack_pool, row_width

    library = native.library("logistic")
    p = pool(case)
    rows, delta = pack_pool(p.features, p.targets), p.start.copy()
    arguments = (
        native.pointer(rows),
        native.u32(case["n"]),
        row_width(case["d"]) // 8,
        case["d"],
        native.u32(case["b"]),
        method(case["n"], case["b"]),
        native.f64(RIDGE),
        native.f64(ETA),
        native.i64(case["steps"]),
        *(native.u64(x) for x in (SEED, REPLICATE, STEP)),
        native.i64(case["replicates"]),
        native.pointer(p.optimum),
        native.pointer(delta),
        case["threads"],
    )

    def call() -> None:
        if library.logistic(*arguments):
            raise ValueError("not a shape of the C")

    call()
    return Work(call, _units(case), delta.copy())


def _numpy(case: Case) -> Work:
    p, b, replicates = pool(case), case["b"], case["replicates"]
    random = np.random.Generator(np.random.SFC64(1))
    theta, steps = p.start + p.optimum, max(1, case["steps"] // 8)

    def run() -> None:
        for _ in range(steps):
            batch = random.integers(case["n"], size=(replicates, b), dtype=np.uint32)
            x = p.features[batch]
            z = np.matmul(x, theta[:, :, None])[:, :, 0]
            weights = 1.0 / (1.0 + np.exp(-z)) - p.targets[batch]
            gradient = np.matmul(weights[:, None, :], x)[:, 0, :]
            theta[...] -= ETA * (gradient / b + RIDGE * theta)

    return Work(run, replicates * steps * b)


def _jax(case: Case) -> Work:
    jax = require("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    p, b, replicates, n = pool(case), case["b"], case["replicates"], case["n"]
    features, targets = jnp.asarray(p.features), jnp.asarray(p.targets)
    steps = max(2, case["steps"] // 4)

    def step(theta, key):
        batch = jax.random.randint(key, (replicates, b), 0, n, dtype=jnp.int32)
        x = features[batch]
        weights = jax.nn.sigmoid(jnp.einsum("rbd,rd->rb", x, theta)) - targets[batch]
        return theta - ETA * (jnp.einsum("rb,rbd->rd", weights, x) / b + RIDGE * theta), None

    @jax.jit
    def advance(theta, key):
        return jax.lax.scan(step, theta, jax.random.split(key, steps))[0]

    theta, key = jnp.asarray(p.start + p.optimum), jax.random.key(1)
    return Work(lambda: advance(theta, key).block_until_ready(), replicates * steps * b)


def _sklearn(case: Case) -> Work:
    model = require("sklearn.linear_model").SGDClassifier(
        loss="log_loss", alpha=RIDGE, learning_rate="constant", eta0=ETA, fit_intercept=False
    )
    p, b, classes = pool(case), case["b"], np.array([0.0, 1.0])
    batches = [slice(i, i + b) for i in range(0, min(case["n"] - b, 20 * b), b)]
    order = np.random.default_rng(1).permutation(case["n"])
    features, targets = p.features[order], p.targets[order]

    def run() -> None:
        for batch in batches:
            model.partial_fit(features[batch], targets[batch], classes=classes)

    return Work(run, len(batches) * b)


PEERS = (
    Peer(OURS, OURS, _ours),
    Peer("C AVX-512", "c", _tuned),
    Peer("NumPy across replicates", "numpy", _numpy),
    Peer("JAX scan", "jax", _jax),
    Peer("scikit-learn partial_fit", "sklearn", _sklearn),
)

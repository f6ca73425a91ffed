"""A user's own gradient, plain Python compiled by Numba, against the built-in problem that it is the twin of.

Simulated: the gradient of a quadratic with independent noise, which draws its normals. On data: logistic regression.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from benchmarks.core import OURS, Case, Peer, Work

TITLE = "A problem of one's own"
UNIT = "replicate-step"
SEED = 7


@njit
def quadratic(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] - sample.normals[j]


@njit
def logistic(theta, sample, out):
    margin = 0.0
    for j in range(theta.size):
        margin += sample[j] * theta[j]
    residual = 1.0 / (1.0 + math.exp(-margin)) - sample[theta.size]
    for j in range(theta.size):
        out[j] = residual * sample[j]


def cases(quick: bool, threads: int) -> list[Case]:
    share, found = 0.1 if quick else 0.5, []
    for d in (3, 20):
        steps = max(4, int(share * 4e7 / (512 * d)))
        label = f"quadratic, d = {d}"
        found.append({"label": label, "d": d, "n": 0, "b": 1, "replicates": 512, "steps": steps, "threads": threads})
    for n, d, b in ((100_000, 20, 32), (10_000, 50, 8)):
        steps = max(4, int(share * 1.5e7 / (256 * b * d)))
        label = f"logistic, n = {n:,}, d = {d}, b = {b}"
        found.append({"label": label, "d": d, "n": n, "b": b, "replicates": 256, "steps": steps, "threads": threads})
    return found


def _data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(case["d"])
    return random.normal(size=(case["n"], case["d"])), (random.random(case["n"]) < 0.5).astype(np.float64)


def _work(case: Case, call: Any) -> Work:
    import numba

    numba.set_num_threads(case["threads"])
    call()
    return Work(call, case["replicates"] * case["steps"])


def _arrays(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    d = case["d"]
    return np.zeros((1, case["replicates"], d)), np.zeros(d), np.full((1, case["steps"]), 0.01)


def _built_in(case: Case) -> Work:
    from fastsgd.kernels.draws import WITHOUT_REPLACEMENT
    from fastsgd.kernels.glm import advance_glm, pack_pool
    from fastsgd.kernels.links import LOGISTIC
    from fastsgd.kernels.quadratic import advance_quadratic, pack

    delta, optimum, etas = _arrays(case)
    if not case["n"]:
        coefficients, starts = pack(np.eye(case["d"])[None])
        lam, address = -np.ones((1, case["d"])), [np.uint64(x) for x in (SEED, 0, 0, 0)]
        return _work(case, lambda: advance_quadratic(lam, coefficients, starts, etas, *address, delta))
    pool, address = pack_pool(*_data(case)), [np.uint64(x) for x in (SEED, 0, 0)]
    how = case["n"], 0.0, LOGISTIC, case["b"], WITHOUT_REPLACEMENT
    return _work(case, lambda: advance_glm(delta, optimum, pool, *how, etas, *address, 8 * case["threads"]))


def _users(case: Case) -> Work:
    import fastsgd
    from fastsgd import problems

    delta, _, etas = _arrays(case)
    table: dict[str, Any] = {"kind": logistic if case["n"] else quadratic, "dimension": case["d"]}
    if case["n"]:
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "data.npy"
            np.save(file, np.column_stack(_data(case)))
            problem = problems.build(_spec(fastsgd, table | {"data": {"file": str(file)}}, case))
        design = "without-replacement"
    else:
        problem = problems.build(_spec(fastsgd, table | {"normals": case["d"], "pilot": 2**14}, case))
        design = "fresh"
    arm = problems.Arm(problem=problem, batch=case["b"], design=design, covariance=problem.noise)
    stepper = problem.stepper([arm])
    return _work(case, lambda: stepper.advance(delta, etas, SEED, 0, 0))


def _spec(fastsgd: Any, problem: dict[str, Any], case: Case) -> Any:
    return fastsgd.load_spec(
        {
            "name": "own",
            "seed": SEED,
            "replicates": case["replicates"],
            "problem": problem,
            "sampling": {"batch": case["b"]},
            "step": {"size": 0.01},
            "record": {"steps": [case["steps"]]},
        }
    )


PEERS = (Peer(OURS, OURS, _built_in), Peer("a user's gradient", OURS, _users))

"""Hashes of what the kernels compute, as JSON: run by test_bits.py under other CPUs, lane widths and thread counts.

`python bits_program.py kernels|problems|both THREADS...` prints a list with {name: sha256} for each number of threads: of
the kernels, of the built-in problems with kernels of their own, or of both.
"""

import hashlib
import json
import sys

import numba
import numpy as np
from fastsgd.kernels._jit import LANES
from fastsgd.kernels.average import average_quadratic, padded, tiles
from fastsgd.kernels.draws import WITH_REPLACEMENT, WITHOUT_REPLACEMENT, draw_batches
from fastsgd.kernels.glm import advance_glm, pack_pool
from fastsgd.kernels.linalg import congruence, symmetric_eigen, triangular_factor
from fastsgd.kernels.moments import BLOCK, record_moments
from fastsgd.kernels.normal import normals
from fastsgd.kernels.normal_single import normals_single
from fastsgd.kernels.philox import PURPOSE_NOISE, PURPOSE_SINGLE
from fastsgd.kernels.quadratic import add_normals, advance_quadratic, pack

from fastsgd import problems
from fastsgd.spec import load_spec

U = np.uint64
SEED = U(20261123)


def digest(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def spread(*shape):
    """Numbers that are the same everywhere: rationals, no random generator and no libm behind them."""
    k = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
    return ((k * 7919.0) % 1009.0 / 1009.0 - 0.5).reshape(shape)


def factor(d, arms):
    """Lower triangular factors [arms, d, d] with a diagonal away from zero."""
    return np.tril(spread(arms, d, d)) + 2.0 * np.eye(d)


def normal_bits(make=normals, purpose=PURPOSE_NOISE):
    out = np.empty(12 * LANES)
    rows = []
    for first in range(0, 32, LANES):
        make(SEED, purpose, U(first), U(2**32 + 5), U(9), out)
        rows.append(out.reshape(12, LANES)[:9].T.copy())
    return digest(*rows)


def recursion(d, arms, replicates=21, steps=9, purpose=PURPOSE_NOISE):
    coefficients, starts = pack(factor(d, arms))
    lam = np.tile(np.linspace(1.0, 4.0, d), (arms, 1))
    eta = np.full((arms, steps), 0.125)
    return (-lam, coefficients, starts, eta, SEED, purpose, U(3), U(2**32 - 4)), np.zeros((arms, replicates, d))


def recursion_bits(d, arms, purpose=PURPOSE_NOISE):
    head, delta = recursion(d, arms, purpose=purpose)
    advance_quadratic(*head, delta)
    return digest(delta)


def average_bits(d, dense, purpose=PURPOSE_NOISE):
    head, delta = recursion(d, 1, purpose=purpose)
    head = (*head[:-1], U(0))
    side, groups = padded(d), 2
    metric = np.abs(spread(1, side * side if dense else side))
    sums = np.zeros((groups, 1, side)), np.zeros((groups, 1, tiles(d))), np.zeros((1, delta.shape[1], 2))
    average_quadratic(*head, 2, 1, 6, metric, not dense, delta, *sums)
    return digest(delta, *sums)


def moment_bits():
    d, replicates = 7, 2 * BLOCK + 9
    x, risk = np.empty((replicates, d)), np.empty(replicates)
    count, mean, second = np.empty(3, dtype=np.int64), np.empty((3, d)), np.empty((3, d * (d + 1) // 2))
    record_moments(spread(replicates, d), spread(d, d), True, np.eye(d) + 0.25, risk, x, count, mean, second)
    return digest(x, risk, count, mean, second)


def linalg_bits():
    root = factor(6, 1)[0]
    matrix, rows, values, lower = root @ root.T, np.empty((6, 6)), np.empty(6), np.empty((6, 6))
    matrix = np.round(matrix * 1024) / 1024  # the product above is BLAS; its last bits are not under test
    symmetric_eigen(matrix, values, rows)
    triangular_factor(matrix, lower)
    turned = np.empty((6, 6))
    congruence(rows, matrix, turned)
    delta = np.zeros((1, 5, 6))
    add_normals(lower[None], 7, PURPOSE_NOISE, 0, delta)
    return digest(values, rows, lower, turned, delta)


def draw_bits(n, b, design):
    out = np.empty((5, 3, b), dtype=np.uint32)
    draw_batches(n, b, design, SEED, U(11), U(2**32 - 1), 2, out)
    return digest(np.sort(out, axis=-1), out)


def glm_bits(family):
    n, d, batch = 60, 9, 7
    features, targets = 2.0 * spread(n, d), (np.arange(n) % 3 == 0).astype(np.float64)
    delta, theta = np.zeros((2, 13, d)), spread(d)
    etas = np.stack([np.full(6, 0.25), np.full(6, 0.125)])
    pool = pack_pool(features, targets)
    advance_glm(delta, theta, pool, n, 0.01, family, batch, WITHOUT_REPLACEMENT, etas, SEED, U(0), U(0), 4)
    return digest(delta)


GENERATED = {"dimension": 3, "correlation": 0.5, "contamination": 0.25, "seed": 4}
DEMAND = {"law": "lognormal", "mean": [5.0, 4.0, 6.0], "deviation": 1.5, "correlation": 0.5}
QUEUE = {"arrival_rate": [1.0, 0.5], "rate_cost": 0.5, "customers": 5, "pilot": 2**16}
RETURNS = {"samples": 50, "assets": 3, "mean": [0.1, 0.2, 0.05], "deviation": 0.25, "correlation": 0.25}
SIMULATED = {
    "newsvendor": {"kind": "newsvendor", "dimension": 3, "cost": 1.0, "price": 3.0, "demand": DEMAND},
    "queue": {"kind": "queue", "start": "stationary", **QUEUE},
    "queue empty": {"kind": "queue", "start": "empty", "phases": 2, **QUEUE},
    "population": {"kind": "glm", "family": "huber", "ridge": 0.125, "data": {"generate": GENERATED}},
    "portfolio": {"kind": "portfolio", "smoothing": 0.125, "ridge": 0.25, "scenarios": {"generate": RETURNS}},
}


def problem_bits(problem):
    """Of the optimum, H, G and a few steps."""
    design = "without-replacement" if problem["kind"] == "portfolio" else "fresh"
    tables = {"replicates": 1, "seed": 1, "problem": problem, "sampling": {"batch": 3, "design": design}}
    spec = load_spec(tables | {"step": {"size": 0.125}, "record": {"steps": [1]}})
    built = problems.build(spec)
    arm = problems.Arm(problem=built, batch=3, design=design, covariance=built.noise)
    delta = np.zeros((2, 19, built.dimension))
    etas = np.stack([np.full(7, 0.125), np.full(7, 0.0625)])
    built.stepper([arm, arm]).advance(delta, etas, int(SEED), 11, 2**32 - 3)
    return digest(built.optimum, built.hessian, built.noise, delta)


def kernel_hashes():
    found = {"normals": normal_bits(), "moments": moment_bits(), "linalg": linalg_bits()}
    for d, arms in ((1, 1), (2, 1), (2, 2), (3, 1), (10, 2), (33, 1), (50, 1)):
        found[f"recursion d={d} arms={arms}"] = recursion_bits(d, arms)
    found |= {f"average d={d} dense={dense}": average_bits(d, dense) for d, dense in ((2, False), (13, True))}
    for n, b in ((1000, 1), (20, 5), (100, 4), (1000, 8), (1000, 12), (1000, 32), (10_000, 500), (1_000_000, 64)):
        found[f"without {n} {b}"] = draw_bits(n, b, WITHOUT_REPLACEMENT)
    found["single normals"] = normal_bits(normals_single, PURPOSE_SINGLE)
    for d, arms in ((1, 1), (2, 1), (10, 2), (50, 1)):
        found[f"single recursion d={d} arms={arms}"] = recursion_bits(d, arms, PURPOSE_SINGLE)
    found["single average d=13 dense=True"] = average_bits(13, True, PURPOSE_SINGLE)
    found["with 1000 32"] = draw_bits(1000, 32, WITH_REPLACEMENT)
    return found | {f"glm family={family}": glm_bits(family) for family in range(4)}


def problem_hashes():
    return {name: problem_bits(problem) for name, problem in SIMULATED.items()}


def main():
    makers = {"kernels": [kernel_hashes], "problems": [problem_hashes], "both": [kernel_hashes, problem_hashes]}
    found = []
    for threads in map(int, sys.argv[2:]):
        numba.set_num_threads(threads)
        found.append({name: value for make in makers[sys.argv[1]] for name, value in make().items()})
    print(json.dumps(found))


if __name__ == "__main__":
    main()

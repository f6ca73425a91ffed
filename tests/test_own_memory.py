"""Memory that compiled gradients are given, and products of arrays in them, in a fresh process with a fresh cache."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastsgd import problems
from fastsgd.spec import load_spec

PROGRAM = """
import sys
from math import exp, tanh

import numba
import numpy as np
from numba import njit

from fastsgd.kernels import own


@njit
def direct(theta, sample, out):      # a function imported by its name, before anything was compiled
    z = exp(-theta[0] * sample[0])
    for j in range(theta.size):
        out[j] = z * tanh(theta[j] - sample[j])


@njit
def along(theta, sample, out):       # a multiple of the sample: along the rows, sums in another order
    z = exp(-theta[0] * sample[0])
    for j in range(theta.size):
        out[j] = z * (theta[j] - sample[j])


@njit
def summed(theta, sample, out):      # reads what it has written
    for j in range(theta.size):
        out[j] = 0.0
    for j in range(theta.size):
        out[j] += tanh(theta[j] - sample[j])
        out[j] += 0.125 * theta[j]


rng = np.random.default_rng(1)
replicates, steps, batch, d = 400, 50, 8, 5
room = np.empty(2000 * 8 + 8)
skip = (-room.ctypes.data // 8) % 8
pool = room[skip : skip + 2000 * 8].reshape(2000, 8)
pool[:] = rng.normal(size=pool.shape)
samples = np.ascontiguousarray(pool[:, :d])
index = rng.integers(0, 2000, size=replicates * steps * batch + 64).astype(np.uint32)
size = np.full((replicates, steps), batch)
drawn = np.uint64(batch), index
rest = np.ones(replicates * steps * batch + 64), size, 1.0 / batch, np.full((1, steps), 0.05), 0
for name in ("direct", "along", "summed"):
    made = own.make(own.POOL, name, own.Functions(globals()[name]))
    assert made.lanes is not None, made.reason
    by_rows = name == "along"
    rows, advance = made.lanes(batch, by_rows, d, d)
    one = np.zeros((1, replicates, d))
    made.scalar.advance(8, 8, one, 0, np.zeros(d), np.zeros(0), samples, *drawn, by_rows, *rest)
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        for _ in range(10):
            found = np.zeros((1, replicates, d))
            begin = found, 0, np.zeros(d), np.zeros(0), pool
            if by_rows:
                advance(8, 8, *begin, np.uint64(2), (*drawn, rest[0], size), *rest[2:])
            else:
                advance(-(-replicates // rows), *begin, d, np.uint64(2), *drawn, *rest)
            assert np.abs(found - one).max() < 1e-13 if by_rows else np.array_equal(found, one)
    assert np.ptp(one) > 0.05
    kind = "own_margins" if by_rows else "own_lanes_pool"
    print(name, next(own._folder().glob(f"{own._name(kind, name)}.route")).read_text().split()[0])
"""


@pytest.mark.slow
def test_a_gradient_has_its_memory_as_long_as_it_runs(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"FASTSGD_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["direct", "written", "along", "margins", "summed", "read"]


PRODUCTS = """
import numpy as np
from numba import njit

@njit
def by_matrices(theta, row, out):
    W = theta.reshape(3, 2)
    score = np.dot(W, row[:2])
    p = np.exp(score - score.max())
    p /= p.sum()
    p[int(row[2])] -= 1.0
    A = np.outer(p, row[:2])
    out[:] = (A @ np.eye(2)).ravel() + (0.5 * theta) @ np.eye(6)
    out[0] += 0.25 * theta.dot(theta) - 0.25 * theta @ theta

@njit
def by_loops(theta, row, out):
    p = np.zeros(3)
    for k in range(3):
        p[k] = theta[2 * k] * row[0] + theta[2 * k + 1] * row[1]
    top = max(p[0], max(p[1], p[2]))
    total = 0.0
    for k in range(3):
        p[k] = np.exp(p[k] - top)
        total += p[k]
    for k in range(3):
        left = p[k] / total - (1.0 if row[2] == k else 0.0)
        for j in range(2):
            out[2 * k + j] = left * row[j] + 0.5 * theta[2 * k + j]

@njit
def misfit(theta, row, out):
    out[:] = theta.reshape(3, 2) @ row @ np.eye(3, 6)
"""


def _tables(kind):
    return {
        "name": "p", "seed": 1, "replicates": 4, "problem": {"kind": kind, "dimension": 6, "data": {"file": "rows.npy"}},
        "sampling": {"batch": 4}, "step": {"size": 0.1}, "record": {"steps": [4]},
    }  # fmt: skip


@pytest.mark.slow
def test_products_of_matrices_are_those_of_loops(tmp_path):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 2))
    np.save(tmp_path / "rows.npy", np.column_stack([x, (x[:, 0] > 0) + (x[:, 1] > 0.5)]))
    (tmp_path / "products.py").write_text(PRODUCTS)
    found = [
        problems.build(load_spec(_tables(f"products.py:{name}"), base=tmp_path)) for name in ("by_matrices", "by_loops")
    ]
    for name in ("optimum", "hessian", "noise"):
        np.testing.assert_allclose(*(getattr(problem, name) for problem in found), rtol=1e-6, atol=1e-8)
    # G has rank 4 of 6: the classes' gradients add up to zero. What rounding leaves of it is no negative variance.
    assert np.linalg.matrix_rank(found[0].noise, tol=1e-10) == 4
    from fastsgd import predict

    spec = _tables("products.py:by_loops") | {"start": {"kind": "stationary"}}
    assert predict(load_spec(spec, base=tmp_path))["plateau_risk"] > 0
    from fastsgd.errors import SpecError

    with pytest.raises(SpecError, match=r"ValueError.* in line 33 of products\.py"):
        load_spec(_tables("products.py:misfit"), base=tmp_path)

"""Users' functions on vectors of lanes: the same bits as one replicate at a time, and what plain Python says."""

import ast
import math

import numpy as np
import pytest
from fastsgd.kernels._jit import LANES, uncached
from fastsgd.kernels.lane_arrays import borrow_lanes
from fastsgd.kernels.lane_math import exp, expm1, log, log1p, tanh
from fastsgd.kernels.lane_source import Unfit
from fastsgd.kernels.own import explain
from fastsgd.kernels.own_rewrite import Rewriting
from fastsgd.kernels.vector import load, store
from numba import njit
from numba.core.errors import NumbaError

D = 5
COST = (1.0, 2.0, 0.5, 1.5, 3.0)


def helper(j, x):
    if j == 1:
        x = x - 1.0
    elif x > 2.0:
        return 2.0 * x
    if x < -1.0:
        return -x / 3.0
    return x * x


@njit
def choices(theta, sample, out):
    """Branches in branches, names set on one side only, early returns, chained and joined conditions."""
    for j in range(theta.size):
        gap = sample[j] - theta[j]
        out[j] = COST[j]
        if gap > 0.0:
            part = gap / 2.0
            if part > 0.5 and not theta[j] > 1.0:
                out[j] -= part
                side = 3.0
            else:
                side = part
            out[j] += side
        elif -1.0 < gap <= -0.25 or j == 2:
            out[j] *= helper(j, gap)
        out[j] += (1.0 if gap > 0.0 else gap) + 0.5 * (gap > 0.25) + abs(gap) * gap


@njit
def running(theta, sample, out):
    """Names that live from one turn of a loop to the next, and one that is first set within a branch."""
    best = -1e300
    count = 0.0
    for j in range(theta.size):
        value = theta[j] * sample[j]
        if value > best:
            best = value
            count += 1.0
            place = value + j
    for j in range(theta.size):
        out[j] = best + count * theta[j] + place - max(sample[j], theta[j], 0.25) + min(theta[j], 0.5)


@njit
def arrays(theta, sample, out):
    """Local arrays, sums of products, parts of arrays, powers and roots."""
    p = np.empty(theta.size)
    q = np.zeros(theta.size)
    for j in range(theta.size):
        p[j] = theta[j] - sample[j]
        q[j] += np.sqrt(np.abs(p[j])) + p[j] ** 2 / (1.0 + sample[j] ** 4)
    inner = theta @ sample
    for j in range(len(out)):
        out[j] = inner * p[-1] + q[j] * np.where(p[j] > 0.0, 1.0, -1.0) + np.sign(p[j]) - np.floor(theta[j] * 8.0) / 8.0


@njit
def early(theta, sample, out):
    for j in range(theta.size):
        out[j] = 0.0
    if theta[0] > sample[0]:
        return
    for j in range(theta.size):
        out[j] = theta[j] + (sample[j] if j > 2 else 0.0)


@njit
def transcendental(theta, sample, out):
    total = 0.0
    for j in range(theta.size):
        total += math.exp(theta[j])
    for j in range(theta.size):
        out[j] = np.exp(theta[j]) / total + math.log1p(np.exp(-sample[j])) + np.tanh(theta[j]) + math.erf(sample[j])


@njit
def waiting(theta, sample, out):
    x = theta[0]
    while x > 0.5:
        x = x / 2.0
    for j in range(theta.size):
        out[j] = x + sample[j]


@njit
def indexed(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[int(sample[j] > 0.0)]


def driver(gradient):
    @uncached
    def run(theta, sample, out):
        width = theta.size // LANES
        to = borrow_lanes(out, 0, width, LANES)
        gradient(borrow_lanes(theta, 0, width, LANES), borrow_lanes(sample, 0, width, LANES), to)
        return 0

    return run


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(3)
    return rng.normal(size=(D, LANES)), rng.normal(size=(D, LANES)) * 1.5


def on_lanes(function, theta, sample):
    out = np.zeros((D, LANES))
    made = Rewriting(lanes=LANES).function(function, (True, True, True))
    driver(made)(theta.ravel(), sample.ravel(), out.ravel())
    return out


def entered(function):
    """For calls from Python, which what is made for compiled code has no entry for."""

    @uncached
    def run(theta, sample, out):
        function(theta, sample, out)

    return run


def one_by_one(function, theta, sample):
    out = np.zeros((LANES, D))
    for lane in range(LANES):
        function(theta[:, lane].copy(), sample[:, lane].copy(), out[lane])
    return out.T


@pytest.mark.slow
@pytest.mark.parametrize("function", [choices, running, arrays, early], ids=lambda f: f.__name__)
def test_lanes_and_one_replicate_and_python_agree_to_the_bit(function, points):
    lanes = on_lanes(function, *points)
    assert np.array_equal(lanes, one_by_one(entered(Rewriting(lanes=0).function(function)), *points))
    plain = one_by_one(Rewriting(lanes=0, compiled=False).function(function), *points)
    if function is arrays:  # x @ y of NumPy adds in another order
        np.testing.assert_allclose(lanes, plain, rtol=1e-14, atol=1e-14)
    else:
        assert np.array_equal(lanes, plain)
    assert len(np.unique(lanes)) > D


@pytest.mark.slow
def test_functions_with_a_formula_have_the_same_bits_on_both_routes(points):
    lanes = on_lanes(transcendental, *points)
    assert np.array_equal(lanes, one_by_one(entered(Rewriting(lanes=0).function(transcendental)), *points))
    np.testing.assert_allclose(lanes, one_by_one(transcendental.py_func, *points), rtol=1e-14)


@pytest.mark.parametrize(("function", "said"), [(waiting, "`while`"), (indexed, "int()")])
def test_what_cannot_be_on_lanes_says_why(function, said, points):
    with pytest.raises((Unfit, NumbaError)) as caught:
        on_lanes(function, *points)
    line = explain(caught.value)
    assert said in line and " in line " in line, line


def test_a_branch_on_lanes_becomes_a_choice():
    from fastsgd.kernels.lane_source import Lanes
    from fastsgd.kernels.own_rewrite import source

    tree = Lanes(source(choices.py_func), ["theta", "sample", "out"], lambda name, vary: None, {}).convert()
    assert not any(isinstance(node, ast.If | ast.IfExp | ast.BoolOp) for node in ast.walk(tree))
    kept = Lanes(source(choices.py_func), [], lambda name, vary: None, {}).convert()
    assert any(isinstance(node, ast.If) for node in ast.walk(kept))  # control: nothing differs, nothing is turned


LIMITS = {"exp": (exp, 1.0), "expm1": (expm1, 2.0), "log": (log, 1.0), "log1p": (log1p, 2.0), "tanh": (tanh, 4.0)}
EDGES = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1e-320,
    5e-324,
    1e308,
    709.78,
    709.79,
    -745.1,
    -745.2,
    -1.0,
    1e-300,
    40.0,
]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_errors_of_the_formulas(name):
    import mpmath

    function, limit = LIMITS[name]

    @uncached
    def run(x, out):
        for i in range(np.uint64(0), np.uint64(x.size), np.uint64(8)):
            store(out, i, function(load(x, i, 8)))
        return 0

    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=600), rng.normal(size=200) * 1e-5, rng.normal(size=200) * 50.0])
    if name in ("log", "log1p"):
        x = np.concatenate([np.exp(rng.normal(size=500) * 100.0), np.abs(x), 1.0 + rng.normal(size=300) * 1e-3])
    x = np.resize(x, -(-len(x) // 8) * 8)
    out = np.empty_like(x)
    run(x, out)
    with mpmath.workprec(200):
        exact = [getattr(mpmath, name)(mpmath.mpf(v)) for v in x]
        off = [
            abs(mpmath.mpf(o) - e) / mpmath.mpf(np.spacing(abs(float(e)) or 1e-300))
            for o, e in zip(out, exact, strict=True)
        ]
    assert max(off) < limit
    assert max(off) > 0.3  # control: it is measured
    edges = np.resize(np.array(EDGES), 16)
    out = np.empty_like(edges)
    run(edges, out)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(out, getattr(np, name)(edges), rtol=1e-15, atol=1e-323)

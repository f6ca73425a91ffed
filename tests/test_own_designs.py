"""Sampling designs of own problems against their built-in twins, and a gradient's forms against one replicate at a time."""

from dataclasses import replace

import numpy as np
import pytest
from test_simulation_designs import NEWSVENDOR

from fastsgd import plan, problems
from fastsgd.errors import SpecError
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

CODE = """
import math
from numba import njit

@njit
def logistic(theta, sample, out):
    margin = 0.0
    for j in range(theta.size):
        margin += sample[j] * theta[j]
    residual = 1.0 / (1.0 + math.exp(-margin)) - sample[theta.size]
    for j in range(theta.size):
        out[j] = residual * sample[j]

@njit
def summed(theta, sample, out):      # reads what it has written
    for j in range(theta.size):
        out[j] = 0.0
    for j in range(theta.size):
        out[j] += math.tanh(theta[j] - sample[j])

@njit
def twice(theta, sample, out):       # writes an element twice, and one by a negative index
    for j in range(len(out)):
        out[j] = 7.0 * sample[j]
    scale = math.exp(-sample[0] * sample[0])
    for j in range(out.size - 1):
        out[j] = (theta[j] - sample[j]) * scale if sample[j] > 0 else theta[j]
    out[-1] = theta[theta.size - 1] - sample[theta.size - 1] + (1.0 if scale > 2.0 else 0.0)

@njit
def shop(theta, sample, params, out):
    at = 0
    for j in range(2):
        demand = params[4 + j]
        for k in range(j + 1):
            demand += params[6 + at] * sample.normals[k]
            at += 1
        out[j] = -params[2 + j] if demand > theta[j] else params[j]

@njit
def service(theta, sample, out):     # uniforms and exponentials
    out[0] = theta[0] - sample.exponentials[0] * sample.uniforms[0] + 0.1 * sample.exponentials[1]
    out[1] = theta[1] * (1.0 + sample.uniforms[0]) - math.exp(sample.uniforms[0])
"""
DESIGNS = {
    "bernoulli": {},
    "stratified": {"strata": {"column": "0", "groups": 3}, "allocation": "neyman"},
    "importance": {"probabilities": "gradient"},
    "reshuffle": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5]
    y = (rng.random(60) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    np.save(where / "pool.npy", np.column_stack([x, y]))
    rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([x, y])]
    (where / "pool.csv").write_text("\n".join(["x0,x1,x2,y", *rows]) + "\n")
    (where / "code.py").write_text(CODE)
    return where


def resolved(folder, problem, **sampling):
    spec = {
        "name": "own", "seed": 3, "replicates": 8, "problem": problem, "sampling": {"batch": 6} | sampling,
        "step": {"size": 0.1}, "record": {"steps": [40]},
    }  # fmt: skip
    arm = plan.resolve_arm(next(iter(load_spec(spec, base=folder).arm_specs().values())))
    return arm, arm.problem


def moved(arm, arms=1, replicates=21, steps=40, pilot=None):
    problem = arm.problem if pilot is None else replace(arm.problem, pilot=pilot)
    delta = np.zeros((arms, replicates, problem.dimension))
    sizes = np.full((arms, steps), 0.2) / np.arange(1, arms + 1)[:, None]
    problem.stepper([arm] * arms).advance(delta, sizes, 3, 5, 0)
    return delta


@pytest.mark.parametrize("design", DESIGNS)
def test_weighted_designs_of_a_pool_are_those_of_the_twin(folder, design):
    own = {"kind": "code.py:logistic", "dimension": 3, "data": {"file": "pool.npy"}}
    arm, problem = resolved(folder, own, design=design, **DESIGNS[design])
    strata = {"strata": {"column": "x0", "groups": 3}} if design == "stratified" else {}
    data = {"file": "pool.csv", "target": "y", "standardize": False, "intercept": False}
    twin, _ = resolved(
        folder, {"kind": "glm", "family": "logistic", "data": data, "metric": "hessian"}, design=design,
        **DESIGNS[design] | strata,
    )  # fmt: skip
    assert np.allclose(problem.optimum, twin.problem.optimum, atol=1e-8)
    assert np.allclose(arm.covariance, twin.covariance, rtol=1e-6, atol=1e-9)
    if design != "reshuffle":
        assert not np.allclose(arm.covariance, problem.noise / 6, rtol=1e-2)  # control: with replacement
        assert np.allclose(arm.problem.arrays["pool_gradients"].T @ arm.problem.arrays["pool_gradients"] / 60,
                           problem.noise, atol=1e-9)  # fmt: skip
    shift = problem.optimum - twin.problem.optimum
    mine, theirs = moved(arm), moved(twin)
    assert np.abs(mine + shift - theirs).max() < 1e-6  # the optima differ by the accuracy of Newton's method
    assert np.abs(theirs).max() > 0.1


@pytest.mark.parametrize("gradient", ["summed", "twice", "logistic"])
@pytest.mark.parametrize("design", ["without-replacement", "bernoulli"])
def test_forms_of_a_gradient_on_a_pool(folder, gradient, design):
    from fastsgd.kernels.own import POOL, Functions, make

    own = {"kind": f"code.py:{gradient}", "dimension": 3, "data": {"file": "pool.npy"}}
    for batch in (2, 7):
        arm, problem = resolved(folder, own, design=design, batch=batch)
        pilot = problem.pilot
        assert pilot.kernels.lanes is not None, pilot.kernels.reason
        slow = make(POOL, pilot.code.key, Functions(pilot.code.gradient), lanes=False)
        one = moved(arm, arms=2, pilot=replace(pilot, kernels=slow))
        assert np.array_equal(one, moved(arm, arms=2))
        assert np.ptp(one) > 0.05


@pytest.mark.parametrize("design", ["antithetic", "control-variate"])
def test_designs_of_a_simulator_are_those_of_the_twin(folder, design):
    twin, _ = resolved(folder, NEWSVENDOR, design=design)
    params = twin.problem.simulator.params.tolist()
    own = {"kind": "code.py:shop", "dimension": 2, "normals": 2, "parameters": params, "guess": [100.0, 100.0]}
    arm, problem = resolved(folder, own | {"optimum": twin.problem.optimum.tolist()}, design=design)
    scale = np.abs(problem.noise).max()
    # From 2^20 pilot samples, of bounded gradients: 6 standard errors of the largest entry.
    assert np.abs(arm.covariance - twin.covariance).max() < 6 * scale / 2**10 / 3
    assert np.abs(arm.covariance - problem.noise / 6).max() > 20 * scale / 2**10 / 3  # control: fresh samples
    same = replace(arm, coefficient=twin.coefficient)
    assert np.allclose(moved(same), moved(twin), rtol=0, atol=1e-10)


@pytest.mark.parametrize("design", ["antithetic", "control-variate", "fresh"])
def test_designs_of_a_simulator_one_replicate_at_a_time(folder, design):
    from fastsgd.kernels.own import SIMULATOR, Functions, make

    own = {"kind": "code.py:service", "dimension": 2, "uniforms": 1, "exponentials": 2}
    for batch in (2, 70):
        arm, problem = resolved(folder, own, design=design, batch=batch)
        pilot = problem.pilot
        assert pilot.kernels.lanes is not None, pilot.kernels.reason
        slow = make(SIMULATOR, pilot.code.key, Functions(pilot.code.gradient), lanes=False)
        one = moved(arm, arms=2, pilot=replace(pilot, kernels=slow))
        assert np.array_equal(one, moved(arm, arms=2))
        assert np.ptp(one) > 0.01


def test_designs_that_do_not_fit(folder):
    own = {"kind": "code.py:logistic", "dimension": 3, "data": {"file": "pool.npy"}}
    with pytest.raises(SpecError, match=r'strata = "target" needs samples with a target'):
        problems_of(folder, own, design="stratified", strata="target")
    with pytest.raises(SpecError, match=r"sampling\.design must be"):
        problems_of(folder, own, design="antithetic")
    linear = {
        "kind": "quadratic",
        "dimension": 2,
        "hessian": {"eigenvalues": [1.0, 2.0]},
        "noise": {"eigenvalues": [1.0, 1.0]},
    }
    with pytest.raises(SpecError, match=r"Gaussian.*nothing would be left"):
        problems_of(folder, linear, design="antithetic")


def problems_of(folder, problem, **sampling):
    spec = {
        "name": "own", "seed": 3, "replicates": 8, "problem": problem, "sampling": {"batch": 6} | sampling,
        "step": {"size": 0.1}, "record": {"steps": [40]},
    }  # fmt: skip
    lines = problems.check(load_spec(spec, base=folder))
    if lines:
        raise SpecError(lines)


def test_a_budget_is_planned_for_own_problems(folder):
    from fastsgd.analysis.budget import budget

    spec = {
        "name": "own", "seed": 3, "replicates": 8, "sampling": {"batch": 6}, "step": {"size": 0.1}, "start": {"value": 1.0},
        "problem": {"kind": "code.py:logistic", "dimension": 3, "data": {"file": "pool.npy"}}, "record": {"steps": [40]},
    }  # fmt: skip
    twin = spec | {
        "problem": {
            "kind": "glm", "family": "logistic", "metric": "hessian",
            "data": {"file": "pool.csv", "target": "y", "standardize": False, "intercept": False},
        }
    }  # fmt: skip
    mine, theirs = (
        budget(load_spec(tables, base=folder), 2000, batches=[2, 8], sizes=[0.05, 0.1]) for tables in (spec, twin)
    )
    assert np.allclose(mine.risk, theirs.risk, rtol=1e-6)
    assert not np.allclose(mine.risk[0], mine.risk[1], rtol=1e-2)

"""Sampling designs of own problems on a pool against their built-in twins."""

import numpy as np
import pytest
from own_code import make, moved, resolved

from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

DESIGNS = {
    "bernoulli": {},
    "stratified": {"strata": {"column": "0", "groups": 3}, "allocation": "neyman"},
    "importance": {"probabilities": "gradient"},
    "reshuffle": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("own"))


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

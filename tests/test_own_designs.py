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


@pytest.mark.slow
@pytest.mark.parametrize("b", [1, 5, 40, 90])
def test_batches_do_not_depend_on_the_steps_that_are_drawn_together(b):
    """Words of several steps are made at once; a batch that takes more or fewer of them is the same alone."""
    from fastsgd.kernels.own import make_draws
    from fastsgd.kernels.own_stream import below, stream, subset, uniform

    def greedy(n, b, stream, indices):
        subset(stream, n, b, indices)
        for i in range(b):
            indices[i] = (indices[i] + int(uniform(stream) * n) + below(stream, n)) % n

    fill, n, steps = make_draws("greedy of tests", greedy).fill, 1000, 37
    pitch, far = b + 3, 2**32 - 11  # steps across the turn of a word

    def batches(first, count):
        index, weight = np.zeros(2 * count * pitch + 64, np.uint32), np.zeros(2 * count * pitch + 64)
        size = np.zeros((2, count), np.int64)
        address = (np.uint64(x) for x in (7, 3, first))
        fill(1, 1, np.uint64(0), n, b, b, 0, np.zeros(0), np.zeros(0), *address, np.uint64(pitch), index, weight, size)
        assert (size == b).all()
        return index[: 2 * count * pitch].reshape(2, count, pitch)[..., :b]

    together = batches(far, steps)
    for k in (0, 10, 11, 15, 16, 36):
        assert np.array_equal(together[:, k], batches(far + k, 1)[:, 0])
        alone = np.zeros(b, np.int64)
        greedy(n, b, stream(7, 4, far + k), alone)
        assert np.array_equal(together[1, k], alone)
    assert len(np.unique(together[:, :, 0])) > steps  # of 74 first places, of 1000 numbers

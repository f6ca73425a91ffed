"""Huber regression on pools: statsmodels' robust linear model, a plain recursion, contaminated runs."""

import numpy as np
import pytest
import statsmodels.api as sm
from fastsgd.kernels.draws import WITHOUT_REPLACEMENT, draw_batches
from fastsgd.kernels.links import CURVATURE, HUBER, SCORE, link_values
from scipy import integrate

import fastsgd
from fastsgd import problems
from fastsgd.problems.families import information
from fastsgd.problems.likelihood import Model, optimum
from fastsgd.spec import load_spec


def contaminated(n=500, d=4, seed=2):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, d - 1))])
    noise = rng.normal(size=n) * np.where(rng.random(n) < 0.15, 20.0, 1.0)
    return x, x @ rng.normal(size=d) + 3.0 * noise + 100.0


def tables(**changes):
    source = {"samples": 4000, "dimension": 4, "correlation": 0.4, "contamination": 0.1, "seed": 5}
    return {
        "name": "huber",
        "seed": 7,
        "replicates": 10_000,
        "problem": {"kind": "glm", "family": "huber", "threshold": 1.5, "data": {"generate": source}},
        "sampling": {"batch": 32},
        "step": {"size": 0.4},
        "start": {"kind": "stationary"},
        "record": {"steps": [50, 100]},
        "arms": {"full": {}, "half": {"step.size": 0.2}, "quarter": {"step.size": 0.1}},
    } | changes


def test_optimum_is_statsmodels_robust_fit():
    x, y = contaminated()
    fit = sm.RLM(y, x, sm.robust.norms.HuberT(1.345)).fit(update_scale=False, tol=1e-13, maxiter=1000)
    model = Model("huber", x, y, 0.0, 1.345 * fit.scale)
    theta = optimum(model)
    np.testing.assert_allclose(theta, fit.params, rtol=1e-8)
    assert np.abs(model.gradient(theta)).max() < 1e-12
    assert np.abs(optimum(Model("huber", x, y, 0.0, fit.scale)) / fit.params - 1).max() > 1e-4  # control
    r = x @ theta - y
    psi = np.clip(r, -model.threshold, model.threshold)
    np.testing.assert_allclose(model.noise(theta), np.cov((psi[:, None] * x).T, ddof=0), rtol=1e-10)
    np.testing.assert_allclose(model.hessian(theta), (x.T * (np.abs(r) < model.threshold)) @ x / len(y), rtol=1e-12)


def test_optimum_where_no_residual_of_the_start_is_below_the_threshold():
    x, y = contaminated()
    theta = optimum(Model("huber", x, y, 0.0, 1e-2 * 3.0))
    median = sm.QuantReg(y, x).fit(q=0.5).params  # of threshold 0
    assert np.abs(theta - median).max() < 0.2
    ridge = Model("huber", x, y, 0.5, 4.0)
    assert np.abs(ridge.gradient(optimum(ridge))).max() < 1e-11


def test_information_is_that_of_the_least_favourable_law():
    c = 1.345

    def rho(r):
        return r * r / 2 if abs(r) <= c else c * abs(r) - c * c / 2

    mass = 2 * integrate.quad(lambda r: np.exp(-rho(r)), 0, 60, points=[c], epsabs=1e-13)[0]
    square = 2 * integrate.quad(lambda r: min(r, c) ** 2 * np.exp(-rho(r)), 0, 60, points=[c], epsabs=1e-13)[0]
    assert abs(information("huber", np.zeros(2), c)[1] - square / mass) < 1e-11


def test_link_with_threshold_one():
    z, y = np.array([0.5, 3.0, -7.0, np.inf, np.nan, 1.0, 0.0, 2.5]), np.zeros(8)
    out = np.empty(8)
    link_values(SCORE, HUBER, z, y, out)
    np.testing.assert_array_equal(out, [0.5, 1, -1, 1, np.nan, 1, 0, 1])
    link_values(CURVATURE, HUBER, z, y, out)
    np.testing.assert_array_equal(out[[0, 1, 2, 4, 6, 7]], [1, 0, 0, np.nan, 1, 0])


def test_the_pool_kernel_is_the_plain_recursion():
    problem = problems.build(load_spec(tables(arms={"full": {}})))
    x, y, n, d = problem.model.features, problem.model.targets, 4000, 5
    arm = problems.Arm(problem=problem, batch=16, design="without-replacement", covariance=problem.noise)
    delta = np.full((1, 3, d), 2.0)
    problem.stepper([arm]).advance(delta, np.full((1, 6), 0.3), 9, 0, 0)
    batches = np.empty((3, 6, 16), dtype=np.uint32)
    draw_batches(n, 16, WITHOUT_REPLACEMENT, np.uint64(9), np.uint64(0), np.uint64(0), 1, batches)
    for r in range(3):
        theta = problem.optimum + 2.0
        for k in range(6):
            rows = batches[r, k]
            theta = theta - 0.3 * np.clip(x[rows] @ theta - y[rows], -1.5, 1.5) @ x[rows] / 16
        np.testing.assert_allclose(delta[0, r], theta - problem.optimum, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_a_contaminated_pool_meets_its_prediction_and_controls_do_not(tmp_path):
    run = fastsgd.run(load_spec(tables()), tmp_path / "run.h5")
    assert fastsgd.ratio(run).verdict == "consistent"
    for wrong in ("sampling.batch=36", "problem.threshold=1.2", "problem.data.generate.contamination=0.0"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong

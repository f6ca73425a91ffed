"""Portfolio on a pool of scenarios: the linear programme of its limit, differences, the kernel, designs, runs, refusals."""

from pathlib import Path

import numpy as np
import pytest
from fastsgd.kernels.draws import WITHOUT_REPLACEMENT, draw_batches
from scipy.optimize import linprog

import fastsgd
from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.problems.portfolio import Loss, optimum
from fastsgd.spec import load_spec

RUNS = Path(__file__).resolve().parent.parent / "runs"
GENERATE = {"samples": 300, "assets": 3, "mean": [0.05, 0.08, 0.03], "deviation": [0.1, 0.2, 0.05], "correlation": 0.3}


def tables(**changes):
    return {
        "name": "portfolio",
        "seed": 3,
        "replicates": 40,
        "problem": {"kind": "portfolio", "smoothing": 0.05, "ridge": 0.1, "scenarios": {"generate": GENERATE}}
        | changes,
        "sampling": {"batch": 9},
        "step": {"size": 0.05},
        "record": {"steps": [0, 7]},
    }


def returns(n=300, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal([0.05, 0.08, 0.03], [0.1, 0.2, 0.05], size=(n, 3)) + 0.05 * rng.normal(size=(n, 1))


def rows(r):
    return np.ascontiguousarray(np.column_stack([r[:, -1], r[:, :-1] - r[:, -1:]]))


def test_small_smoothing_approaches_the_linear_programme():
    """0 <= L_h - L <= c h / (1 - beta) at every point, so the same holds of the minima; LP: Rockafellar and Uryasev."""
    r, c, beta = returns(), 2.0, 0.9
    n, k = r.shape
    # Variables: alpha, k weights, n excesses.
    cost = np.concatenate([[c], -r.mean(axis=0), np.full(n, c / ((1 - beta) * n))])
    below = np.column_stack([-np.ones(n), -r, -np.eye(n)])
    total = np.concatenate([[0.0], np.ones(k), np.zeros(n)])[None]
    bounds = [(None, None)] * (1 + k) + [(0, None)] * n
    programme = linprog(cost, A_ub=below, b_ub=np.zeros(n), A_eq=total, b_eq=[1.0], bounds=bounds)
    gaps = []
    for h in (1e-2, 1e-4):
        loss = Loss(rows(r), c, beta, h, 0.0)
        theta = optimum(loss)
        gaps.append(loss.value(theta) - programme.fun)
        assert -1e-12 <= gaps[-1] <= c * h / (1 - beta)
        if h < 1e-3:
            np.testing.assert_allclose(theta, programme.x[:k], atol=1e-2)
    assert gaps[1] < 0.1 * gaps[0]


def test_gradient_hessian_and_noise_against_differences_and_numpy():
    loss = Loss(rows(returns()), 1.5, 0.9, 0.05, 0.2)
    theta, width = optimum(loss), 1e-5
    assert np.abs(loss.gradient(theta)).max() < 1e-13
    away = theta + np.array([0.03, -0.2, 0.1])
    slopes = [(loss.value(away + e) - loss.value(away - e)) / (2 * width) for e in width * np.eye(3)]
    np.testing.assert_allclose(loss.gradient(away), slopes, rtol=1e-6, atol=1e-9)
    curves = [(loss.gradient(theta + e) - loss.gradient(theta - e)) / (2 * width) for e in width * np.eye(3)]
    np.testing.assert_allclose(loss.hessian(theta), curves, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(loss.noise(theta), np.cov(loss.scores(theta).T, ddof=0), rtol=1e-11)
    wrong = loss.smoother(1.2)  # control
    assert np.abs(wrong.hessian(theta) / loss.hessian(theta) - 1).max() > 0.05


@pytest.mark.parametrize("batch", [1, 9, 300])
def test_the_kernel_is_the_plain_recursion(batch):
    problem = problems.build(load_spec(tables()))
    loss, k = problem.loss, 3
    arm = problems.Arm(problem=problem, batch=batch, design="without-replacement", covariance=problem.noise)
    delta = np.full((2, 19, k), 0.1)
    problem.stepper([arm, arm]).advance(delta, np.array([[0.05] * 4, [0.02] * 4]), 9, 50, 7)
    index = np.empty((19, 4, batch), np.uint32)
    draw_batches(300, batch, WITHOUT_REPLACEMENT, np.uint64(9), np.uint64(50), np.uint64(7), 1, index)
    for a, eta in enumerate((0.05, 0.02)):
        for r in (0, 18):
            theta = problem.optimum + 0.1
            for step in range(4):
                sample = Loss(
                    loss.rows[index[r, step]], loss.risk_aversion, loss.confidence, loss.smoothing, loss.ridge
                )
                theta = theta - eta * sample.gradient(theta)
            np.testing.assert_allclose(delta[a, r], theta - problem.optimum, rtol=1e-10, atol=1e-13)


def test_pieces_give_the_same_bits_and_parts_too(monkeypatch):
    from fastsgd.problems import batches

    problem = problems.build(load_spec(tables()))
    arm = problems.Arm(problem=problem, batch=5, design="with-replacement", covariance=problem.noise)
    stepper, whole, pieces = problem.stepper([arm]), np.zeros((1, 70, 3)), np.zeros((1, 70, 3))
    stepper.advance(whole, np.full((1, 20), 0.05), 1, 0, 0)
    monkeypatch.setattr(batches, "_SAMPLES", 64)
    for first, last in ((0, 1), (1, 13), (13, 20)):
        part = pieces[:, 4:].copy()
        stepper.advance(part, np.full((1, last - first), 0.05), 1, 4, first)
        pieces[:, 4:] = part
    assert np.array_equal(whole[:, 4:], pieces[:, 4:])
    assert len(np.unique(whole[0, :, 0])) == 70


@pytest.mark.slow
def test_runs_meet_the_prediction_and_controls_do_not(tmp_path):
    run = fastsgd.run(RUNS / "portfolio.toml", tmp_path / "run.h5", overrides=["record.steps=[60,120]"])
    assert fastsgd.ratio(run).verdict == "consistent"
    for wrong in ("sampling.batch=72", "problem.scenarios.generate.stressed=0.0", "problem.risk_aversion=1.2"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong


@pytest.mark.slow
@pytest.mark.parametrize("design", ["bernoulli", "reshuffle"])
def test_other_designs_run_on_the_pool(tmp_path, design):
    spec = tables() | {"sampling": {"batch": 9, "design": design}}
    run = fastsgd.run(load_spec(spec), tmp_path / "run.h5")
    assert np.isfinite(run.final("main")).all() and np.ptp(run.final("main")) > 0


def test_a_file_of_returns_and_the_identity(tmp_path):
    np.save(tmp_path / "r.npy", returns())
    spec = load_spec(tables(scenarios={"file": "r.npy"}), base=tmp_path)
    assert problems.build(spec).pool_size == 300
    again = type(spec).from_document(spec.document(), spec.arrays())
    assert again.identity() == spec.identity() != load_spec(tables()).identity()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scenarios": {}}, "problem.scenarios must have a source"),
        ({"scenarios": {"file": "r.npy", "generate": GENERATE}}, "problem.scenarios must have one source"),
        ({"scenarios": {"file": "no.npy"}}, "cannot be used"),
        ({"scenarios": {"file": "flat.npy"}}, "it must have one row a scenario"),
        ({"scenarios": {"generate": GENERATE | {"mean": [0.1]}}}, "must have as many numbers as"),
        ({"scenarios": {"generate": GENERATE | {"deviation": 0.0}}}, "deviation must be > 0, got 0.0"),
        ({"confidence": 1.0}, "problem.confidence must be < 1, got 1.0"),
        ({"smoothing": 0.0}, "problem.smoothing must be > 0"),
        ({"risk_aversion": 1e-6, "ridge": 0.0}, "give a problem.ridge above 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, changes, said):
    np.save(tmp_path / "flat.npy", np.arange(5.0))
    with pytest.raises(SpecError) as caught:
        load_spec(tables(**changes), base=tmp_path)
    assert said in caught.value.lines[0] and len(caught.value.lines) == 1, caught.value.lines


def test_fresh_scenarios_there_are_not():
    with pytest.raises(SpecError, match=r"sampling.design must be"):
        load_spec(tables() | {"sampling": {"batch": 2, "design": "fresh"}})

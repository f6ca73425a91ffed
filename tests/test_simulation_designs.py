"""Antithetic pairs and control variates of simulated samples: bits, a million steps against the formulas, runs."""

import numpy as np
import pytest
import reference_simulator
from reference_normal import fma, log
from reference_normal import normals as reference_normals

import fastsgd
from fastsgd import designs, plan
from fastsgd.spec import load_spec

NEWSVENDOR = {
    "kind": "newsvendor", "dimension": 2, "cost": 1.0, "price": [3.0, 1.8],
    "demand": {"mean": 100.0, "deviation": 20.0, "correlation": 0.4},
}  # fmt: skip
QUEUE = {"kind": "queue", "arrival_rate": [1.0, 0.7], "rate_cost": 0.5, "customers": 5}
LOGISTIC = {
    "kind": "glm",
    "family": "logistic",
    "data": {"standardize": False, "generate": {"dimension": 2, "scale": 1.0}},
}


def spec(problem: dict, design: str, batch: int = 8, **keys: object) -> dict:
    return {
        "name": "designs", "seed": 9, "replicates": 4000, "problem": problem, "sampling": {"design": design, "batch": batch},
        "step": {"size": 0.1}, "record": {"steps": [1]},
    } | keys  # fmt: skip


def resolved(problem: dict, design: str, batch: int = 8) -> tuple:
    arm = plan.resolve_arm(load_spec(spec(problem, design, batch)))
    return arm, arm.problem.stepper([arm])


def one_step(problem: dict, design: str, count: int) -> tuple[np.ndarray, object]:
    """Mini-batch gradients at theta*, float64[count, d], of replicates 0, 1, ..."""
    arm, stepper = resolved(problem, design)
    delta = np.zeros((1, count, arm.problem.dimension))
    stepper.advance(delta, np.ones((1, 1)), 4, 0, 0)
    return -delta[0], arm


def largest_z(values: np.ndarray, covariance: np.ndarray) -> float:
    """Largest |measured - expected| / standard error over the entries of the covariance.

    A coordinate in which the pairs cancel exactly (the intercept of a symmetric model) has rounding alone.
    """
    u = values - values.mean(0)
    i, j = np.tril_indices(values.shape[1])
    products = u[:, i] * u[:, j]
    rounding = 1e-14 * float(np.trace(covariance))
    error = products.std(0) / np.sqrt(len(values)) + rounding
    return float(np.max(np.abs(products.mean(0) - covariance[i, j]) / error))


@pytest.mark.slow
@pytest.mark.parametrize("problem", [NEWSVENDOR, QUEUE, LOGISTIC], ids=["newsvendor", "queue", "logistic"])
@pytest.mark.parametrize("design", ["antithetic", "control-variate"])
def test_a_million_steps_at_the_optimum(problem: dict, design: str) -> None:
    """Unbiased, and the stated covariance within 5 standard errors; that of fresh samples is rejected.

    Where it comes from a pilot of 2^22 samples, against 8 million here, its own error is 1.4 times as large: 12 in all.
    """
    values, arm = one_step(problem, design, 1_000_000)
    assert np.all(np.abs(values.mean(0)) < 5 * values.std(0) / np.sqrt(len(values)) + 1e-14)
    known = problem is NEWSVENDOR
    assert largest_z(values, arm.covariance) < (5 if known else 12)
    assert largest_z(values, arm.problem.noise / 8) > 25


@pytest.mark.slow
def test_closed_forms_of_a_newsvendor_agree_with_a_pilot() -> None:
    arm, _ = resolved(NEWSVENDOR, "antithetic")
    simulator, problem = arm.problem.simulator, arm.problem
    assert (
        np.max(np.abs(simulator.paired(problem.optimum)[0] - problem.paired)) < 5 * np.abs(problem.noise).max() / 2**11
    )
    assert np.max(np.abs(simulator.cross(problem.optimum)[0] - problem.cross)) < 5 * 2 / 2**11
    assert np.all(np.linalg.eigvalsh(problem.noise - problem.paired * 2) > 0.1), "pairs are better than two samples"


def plain_newsvendor(arm):
    """Gradient from the draws of one sample, in the arithmetic of the kernel."""
    params, d = arm.problem.simulator.params.tolist(), 2
    over, under, location, rows = params[:d], params[d : 2 * d], params[2 * d : 3 * d], params[3 * d :]

    def gradient(theta, z, u, e, total):
        at = 0
        for j in range(d):
            demand = location[j]
            for k in range(j + 1):
                demand = fma(rows[at], z[k], demand)
                at += 1
            total[j] += -under[j] if demand > theta[j] else over[j]

    return gradient


def slow(arm, design: str, replicate: int, steps: int, batch: int, eta: float) -> list[float]:
    gradient, optimum = plain_newsvendor(arm), arm.problem.optimum.tolist()
    delta = [0.0, 0.0]
    for step in range(steps):
        drawn = batch // 2 if design == "antithetic" else batch
        z = reference_normals(4, "noise", replicate, step, drawn * 2)
        theta, total, sums = [o + x for o, x in zip(optimum, delta, strict=True)], [0.0, 0.0], [0.0, 0.0]
        for i in range(drawn):
            here = z[2 * i : 2 * i + 2]
            sums = [s + x for s, x in zip(sums, here, strict=True)]
            gradient(theta, here, [], [], total)
            if design == "antithetic":
                gradient(theta, [-x for x in here], [], [], total)
        if design == "control-variate":
            for j in range(2):
                for k in range(2):
                    total[j] = fma(-float(arm.coefficient[j, k]), sums[k], total[j])
        delta = [fma(-eta, t * (1.0 / batch), x) for t, x in zip(total, delta, strict=True)]
    return delta


@pytest.mark.slow
@pytest.mark.parametrize("design", ["antithetic", "control-variate"])
def test_the_kernel_is_the_plain_recursion_to_the_bit(design: str) -> None:
    for batch in (2, 70):
        arm, stepper = resolved(NEWSVENDOR, design, batch)
        delta = np.zeros((1, 3, 2))
        stepper.advance(delta, np.full((1, 4), 0.5), 4, 7, 0)
        for r in range(3):
            assert delta[0, r].tolist() == slow(arm, design, 7 + r, 4, batch, 0.5)


@pytest.mark.slow
def test_antithetic_uniforms_and_exponentials() -> None:
    """A mean over a queue's pairs in plain Python, as far as the rounding of an exponential: |z| of 1e-9 steps."""
    arm, stepper = resolved(QUEUE | {"arrival_rate": 1.0, "customers": 1, "start": "empty"}, "antithetic", 2)
    delta = np.zeros((1, 50, 1))
    stepper.advance(delta, np.ones((1, 1)), 4, 0, 0)
    mu, cost = float(arm.problem.optimum[0]), 0.5
    for r in range(50):
        service = reference_simulator.exponentials(4, r, 0, 2)[1]
        other = -log(1.0 - np.exp(-service))
        expected = cost - (service + other) / 2 / mu**2
        assert delta[0, r, 0] == pytest.approx(-expected, rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_arms_of_one_problem_meet_their_predictions(tmp_path) -> None:
    arms = {"fresh": {}, "pairs": {"sampling.design": "antithetic"}, "control": {"sampling.design": "control-variate"}}
    made = spec(NEWSVENDOR, "fresh", record={"steps": [1, 50]}, step={"size": 0.02}, arms=arms)
    run = fastsgd.run(made, tmp_path / "run.h5")
    assert fastsgd.ratio(run).verdict == "consistent"
    for wrong in ("arms.pairs.sampling.design=fresh", "arms.control.sampling.design=fresh", "sampling.batch=10"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong
    predicted = fastsgd.predict(run)
    for gain in predicted["reductions"]:
        plateau = predicted["arms"][gain["arm"]]["plateau_risk"] / predicted["arms"]["fresh"]["plateau_risk"]
        assert (
            gain["below"] and gain["smallest_gap"] > 0 and gain["plateau_factor"] == pytest.approx(plateau, rel=1e-12)
        )
        assert plateau < 0.9


@pytest.mark.parametrize(
    ("problem", "design", "batch", "words"),
    [
        (NEWSVENDOR, "antithetic", 7, "sampling.batch must be even for antithetic pairs, got 7; give 8"),
        ({"kind": "quadratic", "dimension": 2, "hessian": {"eigenvalues": [1.0, 2.0]}, "noise": {"kind": "isotropic"}},
         "antithetic", 8, "is for problems simulated from draws"),
        (NEWSVENDOR, "bernoulli", 8, "has no pool to draw from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(problem: dict, design: str, batch: int, words: str) -> None:
    with pytest.raises(fastsgd.SpecError) as caught:
        load_spec(spec(problem, design, batch))
    assert any(words in line for line in caught.value.lines)


def test_a_coefficient_that_is_given(tmp_path) -> None:
    np.save(tmp_path / "B.npy", np.array([[1.0, 0.0], [0.0, -2.0]]))
    control = designs.get("control-variate")
    np.save(tmp_path / "wrong.npy", np.ones(3))
    made = spec(NEWSVENDOR, "control-variate") | {
        "sampling": {"design": "control-variate", "batch": 8, "coefficient": {"file": "B.npy"}}
    }
    arm = plan.resolve_arm(load_spec(made, base=tmp_path))
    B, C = arm.coefficient, arm.problem.cross
    assert np.array_equal(B, [[1.0, 0.0], [0.0, -2.0]]) and isinstance(control, designs.SimulationDesign)
    assert np.allclose(arm.covariance, (arm.problem.noise - B @ C.T - C @ B.T + B @ B.T) / 8, rtol=1e-12)
    with pytest.raises(fastsgd.SpecError, match="must be 2 x 2"):
        load_spec(made, ["sampling.coefficient={file='wrong.npy'}"], base=tmp_path)

"""The Ornstein-Uhlenbeck problem: both schemes on the kernel against their formulas, predictions and ratios."""

import numpy as np
import pytest
from reference_quadratic import advance as slow

import fastsgd
from fastsgd.errors import InputError
from fastsgd.plan import make_plan
from fastsgd.problems.matrices import rotation
from fastsgd.problems.working import matrix_to_working
from fastsgd.spec import load_spec
from fastsgd.theory import ou

H, G, ETA, DT, BATCH = np.diag([1.0, 0.1]), [[1.25, -0.433012701892219], [-0.433012701892219, 1.75]], 0.2, 0.5, 3


def tables(scheme="exact", **changes):
    return {
        "name": "ou",
        "seed": 11,
        "replicates": 4096,
        "problem": {
            "kind": "ou",
            "scheme": scheme,
            "time_step": DT,
            "hessian": {"eigenvalues": [1.0, 0.1]},
            "noise": {"eigenvalues": [1.0, 2.0], "basis": "rotation", "angle": 30},
        },
        "sampling": {"batch": BATCH},
        "step": {"size": ETA},
        "record": {"steps": [0, 1, 10, 400]},
    } | changes


def test_an_angle_turns_the_eigenvectors_counterclockwise():
    problem = make_plan(load_spec(tables())).arms[0].problem
    np.testing.assert_allclose(problem.noise, G, rtol=1e-14)
    for angle in (0.0, 12.5, 45.0, 89.0, 90.0, 123.0, 270.0, -30.0, 1e6, 1e300):
        turn = np.remainder(np.deg2rad(np.fmod(angle, 360.0)), 2 * np.pi)
        c, s = np.cos(turn), np.sin(turn)
        np.testing.assert_allclose(rotation(angle), [[c, s], [-s, c]], atol=4e-16)
    assert rotation(90.0).tolist() == [[0.0, 1.0], [-1.0, 0.0]]
    assert rotation(180.0).tolist() == [[-1.0, 0.0], [0.0, -1.0]]


@pytest.mark.parametrize("hessian", [{"eigenvalues": [1.0, 0.1]}, {"eigenvalues": [1.0, 0.1], "basis": "random"}])
@pytest.mark.parametrize("scheme", ["exact", "euler"])
def test_a_step_is_the_transition_of_the_process(scheme, hessian):
    """Mean and covariance of the kernel's step, from its coefficients, equal theory.ou and the formula of Euler."""
    spec = tables(scheme)
    spec["problem"]["hessian"] = hessian
    problem = make_plan(load_spec(spec)).arms[0].problem
    size, lam, growth = problem.transition()
    basis = np.eye(2) if problem.basis is None else problem.basis
    shrink = basis.T @ np.diag(1.0 - size * lam) @ basis
    noise = basis.T @ (size**2 * growth * matrix_to_working(problem.basis, problem.noise / BATCH)) @ basis
    h = ETA * DT
    if scheme == "exact":
        P, Q = ou.transition(problem.hessian, problem.noise, BATCH, ETA, DT)
    else:
        P, Q = np.eye(2) - h * problem.hessian, h / BATCH * problem.noise
    np.testing.assert_allclose(shrink, P, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(noise, Q, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("scheme", ["exact", "euler"])
def test_iterates_equal_the_slow_recursion(scheme, tmp_path):
    spec = tables(scheme, replicates=2, record={"steps": [7], "trajectories": 2}, start={"value": [1.0, -2.0]})
    run = fastsgd.run(spec, tmp_path / "a.h5")
    problem = run.problem()
    h = ETA * DT
    lam = np.diag(problem["hessian"])
    if scheme == "exact":
        size, Q = 1.0, ou.transition(problem["hessian"], problem["noise"], BATCH, ETA, DT)[1]
        lam = -np.expm1(-h * lam)
    else:
        size, Q = h, problem["noise"] / (BATCH * h)
    state = slow([1.0, -2.0], lam, np.linalg.cholesky(Q), [size] * 7, 11, 1, 0)
    np.testing.assert_allclose(run.trajectories()[1, 0], state, rtol=1e-11)


def test_the_transition_keeps_its_digits_at_tiny_times():
    problem = make_plan(load_spec(tables(step={"size": 1e-30}))).arms[0].problem
    _, lam, growth = problem.transition()
    np.testing.assert_allclose(lam, [5e-31, 5e-32], rtol=1e-15)
    np.testing.assert_allclose(growth, np.full((2, 2), 5e-31), rtol=1e-15)


@pytest.mark.parametrize("start", [{}, {"kind": "stationary"}, {"kind": "gaussian", "scale": 2.0}])
@pytest.mark.parametrize("scheme", ["exact", "euler"])
def test_ratios_are_consistent_and_wrong_noise_is_not(scheme, start, tmp_path):
    """4096 replicates at three steps: 3 % more noise is 2 to 4 errors a row, 10 % is rejected by the rows together."""
    run = fastsgd.run(tables(scheme, start=start), tmp_path / "a.h5")
    report = fastsgd.ratio(run)
    assert report.verdict == "consistent" and all(abs(row.z) < 4.5 for row in report.rows)
    for wrong in ("problem.noise.eigenvalues=[1.1, 2.2]", "sampling.batch=4", "problem.noise.angle=-30"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent"


@pytest.mark.parametrize("scheme", ["exact", "euler"])
def test_predictions_are_those_of_the_process(scheme):
    spec = load_spec(tables(scheme, start={"kind": "stationary"}))
    found = fastsgd.predict(spec)
    if scheme == "exact":
        level = ou.stationary(H, G, BATCH)
    else:
        level = ou.euler_stationary(H, G, BATCH, ETA, DT)
    assert found["plateau_risk"] == pytest.approx(np.trace(H @ level), rel=1e-12)
    assert found["plateau_risk_leading"] == pytest.approx(np.trace(H @ ou.stationary(H, G, BATCH)), rel=1e-12)
    for row in found["risk"]:
        assert row["value"] == pytest.approx(np.trace(H @ level), rel=1e-12)
    moving = fastsgd.predict(load_spec(tables(scheme, start={"value": 1.0})))
    if scheme == "exact":
        mean, cov = ou.moments(H, G, BATCH, ETA, [5.0], [1.0, 1.0], np.zeros((2, 2)))
        assert moving["risk"][2]["value"] == pytest.approx(np.trace(H @ cov[0]) + mean[0] @ H @ mean[0], rel=1e-12)


def test_only_euler_has_an_edge_of_stability(tmp_path):
    found = fastsgd.predict(load_spec(tables("euler")))
    assert found["largest_stable_step"] == 2.0 / DT and found["stable"]
    with pytest.raises(InputError, match=r"step.size must be below 2 / .time_step lambda_max.H.. = 4 "):
        fastsgd.run(tables("euler", step={"size": 4.0}), tmp_path / "a.h5")
    run = fastsgd.run(tables(step={"size": 40.0}), tmp_path / "b.h5")
    assert fastsgd.ratio(run).verdict == "consistent" and fastsgd.predict(run)["stable"]


def test_arms_of_several_batches_share_their_draws(tmp_path):
    arms = {f"b={b}": {"sampling.batch": b} for b in (1, 4, 16)}
    run = fastsgd.run(tables(arms=arms, replicates=100), tmp_path / "a.h5")
    one, four, sixteen = (run.final(arm) for arm in arms)
    np.testing.assert_allclose(one, 2 * four, rtol=1e-12)
    np.testing.assert_allclose(one, 4 * sixteen, rtol=1e-12)

"""Problems of a user's own: geometry against closed forms, runs against a built-in twin, what is refused and how."""

from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

import fastsgd
from fastsgd import problems
from fastsgd.errors import InputError, SpecError
from fastsgd.problems import own
from fastsgd.spec import Spec, load_spec

EXAMPLE = Path(__file__).resolve().parent.parent / "scripts" / "own_problem" / "inventory.toml"
SQUARES = """
from numba import njit

@njit
def gradient(theta, sample, out):
    residual = -sample[theta.size]
    for j in range(theta.size):
        residual += sample[j] * theta[j]
    for j in range(theta.size):
        out[j] = residual * sample[j]

@njit
def loss(theta, sample):
    residual = -sample[theta.size]
    for j in range(theta.size):
        residual += sample[j] * theta[j]
    return 0.5 * residual * residual

@njit
def flipped(theta, sample, out):
    gradient(theta, sample, out)
    out[1] = -out[1]

@njit
def ascent(theta, sample, out):
    gradient(theta, sample, out)
    for j in range(theta.size):
        out[j] = -out[j]

@njit
def scaled(theta, sample, params, out):
    gradient(theta, sample, out)
    for j in range(theta.size):
        out[j] *= params[0]

def untyped(theta, sample, out):
    out[0] = "one"

@njit
def short(theta, out):
    out[0] = theta[0]
"""


def tables(kind="squares.py:gradient", **problem):
    return {
        "name": "own",
        "seed": 3,
        "replicates": 100,
        "problem": {"kind": kind, "dimension": 3, "data": {"file": "pool.npy"}} | problem,
        "sampling": {"batch": 5},
        "step": {"size": 0.05},
        "record": {"steps": [0, 7, 60]},
    }


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(40, 3)) @ np.diag([1.0, 0.7, 1.5])
    target = features @ [1.0, -2.0, 0.5] + rng.normal(size=40)
    np.save(tmp_path / "pool.npy", np.column_stack([features, target]))
    np.savez(tmp_path / "pool.npz", a=features[:, 0], b=features[:, 1], c=features[:, 2], y=target)
    (tmp_path / "squares.py").write_text(SQUARES)
    return tmp_path


@pytest.fixture(scope="module")
def example():
    return problems.build(load_spec(EXAMPLE))


def test_geometry_of_a_simulated_problem_is_that_of_its_closed_form(example):
    """Newsvendor: F(theta_j) = 1 - cost/price, H = diag(price f(theta_j)), G_jj = price^2 F (1 - F)."""
    cost, price = np.array([1.0, 2.0]), np.array([3.0, 2.6])
    mean, deviation = np.array([5.0, 8.0]), np.array([1.0, 2.0])
    normal = NormalDist()
    z = np.array([normal.inv_cdf(f) for f in 1.0 - cost / price])
    hessian = price * np.array([normal.pdf(x) for x in z]) / deviation
    noise = cost * (price - cost)

    def errors(optimum):
        return np.concatenate(
            [
                (example.optimum - optimum) / example.arrays["optimum_error"],
                (np.diagonal(example.hessian) - hessian) / np.diagonal(example.arrays["hessian_error"]),
                (np.diagonal(example.noise) - noise) / np.diagonal(example.arrays["noise_error"]),
            ]
        )

    assert np.abs(errors(mean + deviation * z)).max() < 5
    assert np.abs(errors(mean + deviation * z * 1.05)).max() > 5  # control
    assert example.hessian[0, 1] == 0.0


def test_the_worked_example_runs_and_meets_its_prediction(tmp_path):
    run = fastsgd.run(EXAMPLE, tmp_path / "run.h5", overrides=["replicates=2000", "record.steps=[0,100]"])
    risk = run.risk("main")[:, -1]
    expected = np.trace(run.problem("main")["hessian"] @ stationary(run))
    error = risk.std(ddof=1) / np.sqrt(risk.size)
    # Beyond the linear recursion the risk moves by a relative O(step size).
    assert abs(risk.mean() - expected) < 5 * error + 0.02 * expected
    assert abs(risk.mean() - 2 * expected) > 5 * error + 0.02 * expected  # control
    assert "1" in fastsgd.ratio(run).to_text()
    assert run.problem("main")["hessian_error"].shape == (2, 2)


def stationary(run):
    arrays, spec = run.problem("main"), run.spec
    h, noise, eta = arrays["hessian"], arrays["noise"] / spec.sampling.batch, spec.step.size
    gone = np.eye(4) - np.kron(np.eye(2) - eta * h, np.eye(2) - eta * h)
    return np.linalg.solve(gone, eta**2 * noise.ravel()).reshape(2, 2)


@pytest.mark.parametrize("design", ["without-replacement", "with-replacement"])
def test_a_pool_is_sampled_as_by_the_built_in_twin(folder, design):
    twin = tables() | {"sampling": {"batch": 5, "design": design}}
    data = {"file": "pool.npz", "target": "y", "standardize": False, "intercept": False}
    built_in = twin | {"problem": {"kind": "glm", "family": "linear", "data": data, "metric": "hessian"}}
    own = fastsgd.run(load_spec(twin, base=folder), folder / "own.h5")
    glm = fastsgd.run(load_spec(built_in, base=folder), folder / "glm.h5")
    for name in ("optimum", "hessian", "noise"):
        np.testing.assert_allclose(own.problem("main")[name], glm.problem("main")[name], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(own.final("main"), glm.final("main"), rtol=1e-7, atol=1e-9)
    assert np.ptp(own.final("main")) > 0.1
    assert fastsgd.predict(own)["arms"] == fastsgd.predict(fastsgd.store.open_run(folder / "own.h5"))["arms"]


def test_parameters_reach_the_gradient(folder):
    one = problems.build(load_spec(tables(), base=folder))
    two = problems.build(load_spec(tables("squares.py:scaled", parameters=[3.0]), base=folder))
    np.testing.assert_allclose(two.hessian, 3.0 * one.hessian, rtol=1e-9)
    np.testing.assert_allclose(two.optimum, one.optimum, rtol=1e-9)


def test_steps_in_pieces_give_the_same_bits(example):
    spec = load_spec(EXAMPLE)
    arm = problems.Arm(problem=example, batch=spec.sampling.batch, design="fresh", covariance=example.noise / 8)
    stepper = example.stepper([arm])
    whole, pieces = np.zeros((1, 9, 2)), np.zeros((1, 9, 2))
    stepper.advance(whole, np.full((1, 90), 0.02), 1, 0, 0)
    for first, last in ((0, 1), (1, 50), (50, 90)):
        part = pieces[:, 4:].copy()
        stepper.advance(part, np.full((1, last - first), 0.02), 1, 4, first)
        pieces[:, 4:] = part
    assert np.array_equal(whole[:, 4:], pieces[:, 4:])
    assert not np.array_equal(whole[0, 3], whole[0, 4])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "squares.py:flipped", "loss": "loss"}, ["wrong coordinate 1", "of loss"]),
        ({"kind": "squares.py:flipped"}, ["d g[", "; coordinate 1 (counted from 0) is wrong"]),
        ({"kind": "squares.py:ascent"}, ["positive definite"]),
        ({"kind": "squares.py:nothing"}, ["has no function nothing", "gradient"]),
        ({"kind": "squares.py:short"}, ["must take (theta, sample, out)"]),
        ({"kind": "squares.py:untyped"}, ["must name functions that work", "in line 37 of squares.py"]),
        ({"kind": "absent.py:gradient"}, ["absent.py", "cannot be used"]),
        ({"kind": "broken.py:gradient"}, ["importing it fails with SyntaxError"]),
        ({"loss": "gradient"}, ["gradient must take the arguments of gradient without out"]),
        ({"optimum": [0.0, 0.0, 0.0]}, ["problem.optimum must lead to an optimum"]),
        ({"guess": [0.0]}, ["problem.guess must have as many numbers as problem.dimension = 3, got 1"]),
        ({"normals": 2}, ["problem.normals has no use with problem.data"]),
        ({"data": None}, ["problem.data is required where nothing is drawn"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, changes, said):
    (folder / "broken.py").write_text("def gradient(:\n")
    with pytest.raises(SpecError) as caught:
        load_spec(tables(**changes), base=folder)
    (line,) = caught.value.lines
    assert "\n" not in line and all(text in line for text in said), line


def test_a_right_gradient_passes_the_check(folder):
    load_spec(tables(loss="loss"), base=folder)


def test_the_identity_follows_the_text_of_the_file_and_the_data(folder):
    first = load_spec(tables(), base=folder).identity()
    assert load_spec(tables(), base=folder).identity() == first
    (folder / "copy.py").write_text(SQUARES)
    assert load_spec(tables("copy.py:gradient"), base=folder).identity() == first
    (folder / "squares.py").write_text(SQUARES + "\n# changed\n")
    assert load_spec(tables(), base=folder).identity() != first
    np.save(folder / "pool.npy", np.load(folder / "pool.npy") * 1.01)
    assert load_spec(tables("copy.py:gradient"), base=folder).identity() != first


def test_a_stored_run_does_not_import_the_file(folder):
    path = folder / "own.h5"
    spec = load_spec(tables(), base=folder)
    fastsgd.run(spec, path)
    (folder / "squares.py").write_text("raise RuntimeError('imported')")
    run = fastsgd.store.open_run(path)
    assert run.spec.identity() == spec.identity()
    assert fastsgd.ratio(run).rows
    assert isinstance(run.spec, Spec)
    own._last.clear()
    with pytest.raises(InputError, match="its code is not kept in a run"):
        problems.build(run.spec)


def test_toml_names_the_file_again(folder, tmp_path):
    spec = load_spec(tables(), base=folder)
    (tmp_path / "again.toml").write_text(spec.to_toml())
    assert load_spec(tmp_path / "again.toml").identity() == spec.identity()

"""Newsvendor: closed forms against SciPy and big samples, the kernel against plain Python, runs against their prediction."""

from pathlib import Path

import numpy as np
import pytest
from reference_normal import fma, normals
from scipy import integrate, special, stats

import fastsgd
from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.problems.exact import gauss_legendre, normal_cdf, normal_density, normal_quantile
from fastsgd.spec import load_spec

RUNS = Path(__file__).resolve().parent.parent / "runs"
COST, PRICE, SALVAGE = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.6, 2.0]), np.array([0.25, 1.0, 0.0])
MEAN, DEVIATION = np.array([5.0, 8.0, 4.0]), np.array([1.0, 2.0, 1.5])
R = np.array([[1.0, 0.6, -0.4], [0.6, 1.0, 0.1], [-0.4, 0.1, 1.0]])


def tables(folder=None, law="normal", **problem):
    demand = {"law": law, "mean": MEAN.tolist(), "deviation": DEVIATION.tolist()}
    if folder is not None:
        np.save(folder / "R.npy", R)
        demand["correlation"] = {"file": "R.npy"}
    costs = {"cost": COST.tolist(), "price": PRICE.tolist(), "salvage": SALVAGE.tolist()}
    return {
        "name": "stock",
        "seed": 3,
        "replicates": 40,
        "problem": {"kind": "newsvendor", "dimension": 3, **costs, "demand": demand} | problem,
        "sampling": {"batch": 5},
        "step": {"size": 0.05},
        "record": {"steps": [0, 7, 60]},
    }


def built(folder, law="normal"):
    return problems.build(load_spec(tables(folder, law), base=folder))


def margins(law):
    if law == "normal":
        return [stats.norm(m, s) for m, s in zip(MEAN, DEVIATION, strict=True)]
    sigma = np.sqrt(np.log1p((DEVIATION / MEAN) ** 2))
    return [stats.lognorm(s, scale=np.exp(np.log(m) - s * s / 2)) for m, s in zip(MEAN, sigma, strict=True)]


def test_normal_law_in_decimals_is_scipys():
    from decimal import Decimal

    for p in (1e-9, 0.01, 0.3, 0.5, 0.77, 1 - 1e-6):
        z = normal_quantile(Decimal(p))
        assert abs(float(normal_cdf(z)) / p - 1) < 1e-15
        assert abs(float(z) - stats.norm.ppf(p)) < 1e-13 * max(1.0, abs(float(z)))
        assert abs(float(normal_density(z)) / stats.norm.pdf(float(z)) - 1) < 1e-14
    nodes, weights = gauss_legendre(16)
    assert max(abs(weights @ nodes**k - (1 + (-1) ** k) / (k + 1)) for k in range(32)) < 1e-15


def bivariate(h, k, rho):
    """P(Z_1 <= h, Z_2 <= k) from Owen's T function."""

    def part(a, b):
        return special.owens_t(a, (b - rho * a) / (a * np.sqrt((1 - rho) * (1 + rho))))

    both = 0.5 * (special.ndtr(h) + special.ndtr(k)) - part(h, k) - part(k, h)
    return both - (0.5 if h * k < 0 else 0.0)


@pytest.mark.parametrize("rho", [-0.9999, -0.93, -0.3, 0.01, 0.5, 0.9, 0.99, 0.999999])
def test_bivariate_normal_probabilities_against_owens_function(rho):
    from fastsgd.kernels.quadrature import joint_excess

    z = np.array([0.3, -1.2, 2.5, 0.3001, -4.0, 0.9])
    out, correlation = np.empty((6, 6)), np.full((6, 6), rho)
    joint_excess(z, correlation, *gauss_legendre(16), out)
    for i in range(6):
        for j in range(i):
            expected = bivariate(z[i], z[j], rho) - special.ndtr(z[i]) * special.ndtr(z[j])
            assert abs(out[i, j] - expected) < 2e-14, (i, j, out[i, j], expected)
            assert out[i, j] == out[j, i]
    off = np.empty((6, 6))
    joint_excess(z, correlation * 0.9, *gauss_legendre(16), off)
    assert np.abs(off - out).max() > 1e-5  # control


@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_optimum_and_hessian_against_scipys_laws_and_differences_of_the_loss(tmp_path, law):
    problem = built(tmp_path, law)
    over, under, demand = COST - SALVAGE, PRICE - COST, margins(law)
    for j, law_j in enumerate(demand):
        assert abs(problem.optimum[j] - law_j.ppf(under[j] / (under[j] + over[j]))) < 1e-12 * problem.optimum[j]
        expected = (over[j] + under[j]) * law_j.pdf(problem.optimum[j])
        assert abs(problem.hessian[j, j] / expected - 1) < 1e-12

        def slope(theta, j=j, law_j=law_j):
            # d/dtheta of E[o (theta - D)^+ + u (D - theta)^+], each an integral of a distribution function.
            def loss(t):
                left = integrate.quad(law_j.cdf, law_j.ppf(1e-18), t, limit=200, epsabs=1e-12)[0]
                right = integrate.quad(law_j.sf, t, law_j.isf(1e-18), limit=200, epsabs=1e-12)[0]
                return over[j] * left + under[j] * right

            return (loss(theta + 1e-4) - loss(theta - 1e-4)) / 2e-4

        assert abs(slope(problem.optimum[j])) < 1e-6
        width = 1e-2
        curvature = (slope(problem.optimum[j] + width) - slope(problem.optimum[j] - width)) / (2 * width)
        assert abs(curvature / problem.hessian[j, j] - 1) < 1e-3
    assert np.count_nonzero(problem.hessian) == 3


def test_noise_against_a_big_sample(tmp_path):
    """Each entry of Cov g within 5 of its standard errors; another correlation and no correlation are not."""
    problem, n = built(tmp_path), 400_000
    rng = np.random.default_rng(1)
    demand = MEAN + DEVIATION * (rng.standard_normal((n, 3)) @ np.linalg.cholesky(R).T)
    g = np.where(demand <= problem.optimum, COST - SALVAGE, COST - PRICE)
    assert np.abs(g.mean(axis=0) / (g.std(axis=0) / np.sqrt(n))).max() < 5
    c = g - g.mean(axis=0)
    product = c[:, :, None] * c[:, None, :]
    error = product.std(axis=0) / np.sqrt(n)

    def z(noise):
        return np.abs((product.mean(axis=0) - noise) / error).max()

    assert z(problem.noise) < 5
    other = problems.build(load_spec(flat(0.55), base=tmp_path))
    assert z(other.noise) > 8 and z(np.diag(np.diagonal(problem.noise))) > 8


def flat(correlation):
    spec = tables()
    spec["problem"]["demand"]["correlation"] = correlation
    return spec


def reference(problem, seed, replicate, steps, batch, eta):
    """The recursion in plain Python: draws of a step in the order of the samples."""
    d = problem.dimension
    params = problem.simulator.params.tolist()
    over, under, location = params[:d], params[d : 2 * d], params[2 * d : 3 * d]
    delta = [0.0] * d
    for step in range(steps):
        z = normals(seed, "noise", replicate, step, batch * d)
        total = [0.0] * d
        theta = [o + x for o, x in zip(problem.optimum.tolist(), delta, strict=True)]
        for i in range(batch):
            at = 3 * d
            for j in range(d):
                demand = location[j]
                for k in range(j + 1):
                    demand = fma(params[at], z[i * d + k], demand)
                    at += 1
                demand = float(np.exp(demand)) if problem.simulator.shape[1] else demand
                total[j] += -under[j] if demand > theta[j] else over[j]
        delta = [fma(-eta, t * (1.0 / batch), x) for t, x in zip(total, delta, strict=True)]
    return delta


@pytest.mark.parametrize(("law", "batch", "steps"), [("normal", 5, 4), ("normal", 67, 2), ("lognormal", 1, 30)])
def test_the_kernel_is_the_plain_recursion_to_the_bit(tmp_path, law, batch, steps):
    """For a lognormal demand NumPy's exponential may differ in the last bit, which changes no comparison here."""
    problem = built(tmp_path, law)
    stepper = problem.stepper([problems.Arm(problem=problem, batch=batch, design="fresh", covariance=problem.noise)])
    delta = np.zeros((1, 19, 3))
    stepper.advance(delta, np.full((1, steps), 0.05), 11, 2**32 - 1, 0)
    for row in (0, 1, 18):
        assert delta[0, row].tolist() == reference(problem, 11, 2**32 - 1 + row, steps, batch, 0.05)
    assert delta[0, 0].tolist() != reference(problem, 12, 2**32 - 1, steps, batch, 0.05)  # control


def test_steps_in_pieces_and_arms_side_by_side_give_the_same_bits(tmp_path):
    problem = built(tmp_path)
    arm = problems.Arm(problem=problem, batch=3, design="fresh", covariance=problem.noise / 3)
    both, one = problem.stepper([arm, arm]), problem.stepper([arm])
    whole, pieces = np.zeros((2, 21, 3)), np.zeros((1, 21, 3))
    both.advance(whole, np.array([[0.05] * 50, [0.1] * 50]), 1, 0, 0)
    for first, last in ((0, 1), (1, 30), (30, 50)):
        part = pieces[:, 4:].copy()
        one.advance(part, np.full((1, last - first), 0.1), 1, 4, first)
        pieces[:, 4:] = part
    assert np.array_equal(whole[1, 4:], pieces[0, 4:])
    assert not np.array_equal(whole[0], whole[1])


@pytest.mark.slow
def test_runs_meet_the_prediction_and_controls_do_not(tmp_path):
    changes = ["replicates=12000", "record.steps=[60,120,180,240]", "problem.demand.law='normal'"]
    run = fastsgd.run(RUNS / "newsvendor.toml", tmp_path / "run.h5", overrides=changes)
    assert fastsgd.ratio(run).verdict == "consistent"
    for wrong in ("problem.demand.correlation=0.3", "sampling.batch=9", "problem.price=[3.2,2.7,4.4,2.2]"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong
    again = fastsgd.store.open_run(tmp_path / "run.h5")
    assert again.spec.identity() == run.spec.identity()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"price": 0.5}, "problem.price must be above problem.cost, got 0.5 against 1.0 for product 0"),
        ({"cost": [1.0, 2.0]}, "problem.cost must have as many numbers as problem.dimension = 3, got 2"),
        ({"salvage": 1.5}, "problem.cost must be above problem.salvage"),
        ({"demand": {"mean": 1.0, "deviation": 0.0}}, "problem.demand.deviation must be > 0, got 0.0"),
        ({"demand": {"law": "lognormal", "mean": 0.0, "deviation": 1.0}}, "problem.demand.mean must be > 0"),
        (
            {"demand": {"mean": 1.0, "deviation": 1.0, "correlation": -0.6}},
            "must be > -1/(d - 1) = -0.5 for 3 products",
        ),
        ({"demand": {"mean": 1.0, "deviation": 1.0, "correlation": 1.5}}, "problem.demand.correlation must be < 1"),
        ({"demand": {"mean": 1.0, "deviation": 1.0, "correlation": {"file": "no.npy"}}}, "cannot be used"),
        ({"demand": {"mean": 1.0, "deviation": 1.0, "law": "normol"}}, 'did you mean "normal"?'),
        ({"demands": {}}, "problem.demands is not a key of problem, got {}; did you mean problem.demand?"),
        ({"price": 1e9}, "problem.price must give a fractile"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, changes, said):
    with pytest.raises(SpecError) as caught:
        load_spec(tables(**changes), base=tmp_path)
    assert said in caught.value.lines[0] and len(caught.value.lines) == 1, caught.value.lines


def test_a_matrix_that_is_no_correlation_is_refused(tmp_path):
    spec = tables(tmp_path)
    np.save(tmp_path / "R.npy", 2 * np.eye(3))
    with pytest.raises(SpecError, match="must have ones on its diagonal, got 2 in row 1"):
        load_spec(spec, base=tmp_path)

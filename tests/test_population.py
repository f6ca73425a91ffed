"""Fresh generated data: geometry against other quadratures, differences and big samples; the kernel; runs and refusals."""

from pathlib import Path

import numpy as np
import pytest
from reference_normal import fma
from reference_simulator import recursion
from scipy import integrate, special, stats

import fastsgd
from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.problems import population as fresh
from fastsgd.problems.data import generate
from fastsgd.problems.families import FAMILIES
from fastsgd.problems.likelihood import Model
from fastsgd.spec import load_spec
from fastsgd.spec.sections import Generate

RUNS = Path(__file__).resolve().parent.parent / "runs"
CASES = {
    "logistic": {"family": "logistic"},
    "probit fit to logistic data": {"family": "probit", "truth": "logistic"},
    "logistic fit to probit data": {"family": "logistic", "truth": "probit", "ridge": 0.05},
    "probit": {"family": "probit", "ridge": 0.1},
    "poisson": {"family": "poisson", "ridge": 0.2, "scale": 0.5},
    "linear": {"family": "linear", "contamination": 0.1, "outlier": 5.0, "ridge": 0.3},
    "huber": {"family": "huber", "contamination": 0.1, "ridge": 0.3, "threshold": 1.2},
}
SPREAD = {"scale": 1.1, "dimension": 2, "correlation": 0.6, "seed": 4}


def of(family, ridge=0.0, threshold=1.345, intercept=True, **source):
    return fresh.Population(family, ridge, threshold, intercept, Generate(**(SPREAD | source)))


def hermite(population, count=150):
    """x float64[m, d], weights float64[m]: Gauss-Hermite over the two features."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    weights = weights / weights.sum()
    z1, z2 = (v.ravel() for v in np.meshgrid(nodes, nodes, indexing="ij"))
    rho = population.source.correlation
    x = np.column_stack([np.ones(count**2), z1, rho * z1 + np.sqrt(1 - rho**2) * z2])
    return x, np.outer(weights, weights).ravel()


def two_classes(population, x, theta):
    """Means over y of score, its square and the curvature, from SciPy's functions."""
    t, z = x @ population.beta(), x @ theta
    p = special.expit(t) if population.truth == "logistic" else special.ndtr(t)
    if population.family == "logistic":
        m = special.expit(z)
        return m - p, p * (1 - m) ** 2 + (1 - p) * m**2, m * (1 - m)
    one, zero = -np.exp(stats.norm.logpdf(z) - special.log_ndtr(z)), np.exp(stats.norm.logpdf(z) - special.log_ndtr(-z))
    return p * one + (1 - p) * zero, p * one**2 + (1 - p) * zero**2, p * one * (one - z) + (1 - p) * zero * (zero - z)


@pytest.mark.parametrize("case", ["logistic", "probit fit to logistic data", "logistic fit to probit data", "probit"])
def test_geometry_of_two_classes_against_gauss_hermite(case):
    population = of(**CASES[case])
    theta = fresh.optimum(population)
    points = population.at(theta)
    x, w = hermite(population)
    mean, square, curvature = two_classes(population, x, theta)
    ridge = population.ridge
    assert np.abs(x.T @ (w * mean) + ridge * theta).max() < 1e-12
    hessian = (x.T * (w * curvature)) @ x + ridge * np.eye(3)
    noise = (x.T * (w * square)) @ x - ridge**2 * np.outer(theta, theta)
    np.testing.assert_allclose(population.hessian(points), hessian, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(population.noise(theta, points), noise, rtol=1e-10, atol=1e-12)
    if case == "logistic":
        assert np.array_equal(theta, population.beta())
        np.testing.assert_allclose(population.fisher(points), population.noise(theta, points), rtol=1e-11, atol=1e-13)
    elif population.truth != population.family:
        # The pseudo-true coefficients are another multiple of beta, and G is neither H nor F.
        assert np.abs(noise - hessian + ridge * np.eye(3)).max() > 1e-3
        assert np.abs(theta - population.beta()).max() > 0.1


def test_poisson_and_linear_against_closed_forms():
    """E exp(s u) = exp(s^2/2) and its derivatives; a Gaussian linear model has fourth moments by Isserlis."""
    population = of("poisson", scale=0.5)
    theta, sigma = population.beta(), np.array([[1.0, 0.6], [0.6, 1.0]])
    points, v = population.at(theta), sigma @ theta[1:]
    mean = np.exp(theta[1:] @ v / 2)
    expected = mean * np.block([[np.ones((1, 1)), v[None]], [v[:, None], sigma + np.outer(v, v)]])
    for found in (population.hessian(points), population.noise(theta, points), population.fisher(points)):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    population = of("linear", ridge=0.3, contamination=0.1, outlier=5.0, intercept=False)
    theta, beta = fresh.optimum(population), population.beta()
    np.testing.assert_allclose(theta, np.linalg.solve(sigma + 0.3 * np.eye(2), sigma @ beta), rtol=1e-12)
    gap = sigma @ (theta - beta)
    noise = (1 + 0.1 * 24 + (theta - beta) @ gap) * sigma + 2 * np.outer(gap, gap) - 0.09 * np.outer(theta, theta)
    np.testing.assert_allclose(population.noise(theta, population.at(theta)), noise, rtol=1e-11, atol=1e-13)


def test_means_of_the_huber_score_against_adaptive_quadrature():
    population = of(**CASES["huber"])
    shifts, source, c = np.array([-3.0, -0.4, 0.0, 1.1, 6.0]), population.source, population.threshold
    found = np.array(population._huber(shifts))

    def mean(f, shift):
        laws = ((1 - source.contamination, source.noise), (source.contamination, source.noise * source.outlier))
        cuts = sorted({-c, c, shift})
        return sum(
            share * integrate.quad(lambda x, s=s: f(x) * stats.norm.pdf(x, shift, s), a, b, epsabs=1e-13, limit=200)[0]
            for share, s in laws
            for a, b in zip([-60 * s, *cuts], [*cuts, 60 * s], strict=True)
            if a < b
        )

    for i, shift in enumerate(shifts):
        parts = (lambda x: np.clip(x, -c, c), lambda x: np.clip(x, -c, c) ** 2, lambda x: float(abs(x) < c))
        np.testing.assert_allclose(found[:, i], [mean(f, shift) for f in parts], atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_hessian_is_the_difference_of_the_gradient_and_sums_have_converged(case):
    population = of(**CASES[case])
    theta = fresh.optimum(population)
    points = population.at(theta)
    hessian, noise = population.hessian(points), population.noise(theta, points)
    rows = []
    for j in range(3):
        step = 1e-4 * np.eye(3)[j]
        ahead, behind = (population.gradient(at, population.at(at)) for at in (theta + step, theta - step))
        rows.append((ahead - behind) / 2e-4)
    np.testing.assert_allclose(np.array(rows), hessian, rtol=1e-6, atol=1e-7)
    assert np.abs(population.gradient(theta, points)).max() < 1e-12
    finer = population.at(theta, finer=2)
    assert np.abs(population.hessian(finer) - hessian).max() < 1e-12 * np.abs(hessian).max()
    assert np.abs(population.noise(theta, finer) - noise).max() < 1e-12 * np.abs(noise).max()


@pytest.mark.parametrize("case", CASES)
def test_a_big_generated_pool_has_the_optimum_and_the_noise_of_its_population(case):
    population, n = of(**CASES[case], samples=200_000), 200_000
    theta = fresh.optimum(population)
    x, y, coefficients = generate(population.source, population.family)
    assert np.array_equal(coefficients, population.beta()[1:])
    model = Model(population.family, np.column_stack([np.ones(n), x]), y, population.ridge, population.threshold)

    def z(theta):
        g = model.scores(theta)
        return np.abs(g.mean(axis=0) / g.std(axis=0) * np.sqrt(n)).max()

    assert z(theta) < 5 and z(1.1 * theta) > 5
    g = model.scores(theta)
    products = g[:, :, None] * g[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    noise = population.noise(theta, population.at(theta))
    assert np.abs((products.mean(axis=0) - noise) / error).max() < 5
    assert np.abs((products.mean(axis=0) - 1.1 * noise) / error).max() > 5


def plain_gradient(population):
    """One sample from its draws in plain Python; exponentials of NumPy."""
    source, beta = population.source, population.beta()[-population.source.dimension :].tolist()
    rho, rest, truth = source.correlation, float(np.sqrt(1 - source.correlation**2)), population.truth

    def gradient(theta, z, u, e, total):
        x = [z[0]]
        for j in range(1, len(beta)):
            x.append(fma(rho, x[-1], rest * z[j]))
        t = 0.0
        for a, b in zip(beta, x, strict=True):
            t = fma(a, b, t)
        if truth == "logistic":
            y = float(u[0] < special.expit(t))
        elif truth == "probit":
            y = float(t + z[-1] > 0)
        elif truth == "poisson":
            y = float(stats.poisson.ppf(u[0], np.exp(t)))
        else:
            y = t + source.noise * z[-1] * (source.outlier if u and u[0] < source.contamination else 1.0)
        row = [1.0, *x] if population.intercept else x
        margin = sum(a * b for a, b in zip(row, theta, strict=True))
        sign = 2 * y - 1
        slope = {
            "logistic": lambda: special.expit(margin) - y,
            "probit": lambda: -sign * stats.norm.pdf(margin) / special.ndtr(sign * margin),
            "poisson": lambda: np.exp(margin) - y,
            "linear": lambda: margin - y,
            "huber": lambda: float(np.clip(margin - y, -population.threshold, population.threshold)),
        }[population.family]()
        for j, value in enumerate(row):
            total[j] += float(slope) * value + population.ridge * theta[j]

    return gradient


def spec(replicates=40, batch=3, size=0.05, intercept=True, family="logistic", ridge=0.0, threshold=None, **source):
    problem = {"kind": "glm", "family": family, "ridge": ridge}
    problem |= {} if threshold is None else {"threshold": threshold}
    problem["data"] = {"generate": SPREAD | source, "intercept": intercept}
    sampling = {"design": "fresh", "batch": batch}
    record = {"steps": [0, 10]}
    tables = {"seed": 3, "replicates": replicates, "problem": problem, "sampling": sampling, "record": record}
    return tables | {"step": {"size": size}}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("intercept", [True, False])
def test_the_kernel_is_the_plain_recursion(case, intercept):
    population = of(**CASES[case], intercept=intercept)
    problem = problems.build(load_spec(spec(**CASES[case], intercept=intercept)))
    stepper = problem.stepper([problems.Arm(problem=problem, batch=7, design="fresh", covariance=problem.noise)])
    delta = np.zeros((1, 18, problem.dimension))
    stepper.advance(delta, np.full((1, 5), 0.3), 9, 100, 0)
    counts = problem.simulator.counts.tolist()
    plain = plain_gradient(population)
    for row in (0, 17):
        expected = recursion(plain, problem.optimum.tolist(), counts, 9, 100 + row, 5, 7, 0.3)
        np.testing.assert_allclose(delta[0, row], expected, rtol=1e-11, atol=1e-13)
    assert np.abs(delta[0, 0] - delta[0, 17]).max() > 1e-3


def test_identity_keeps_what_matters():
    base = load_spec(spec()).identity()
    assert load_spec(spec(samples=50)).identity() == base
    assert load_spec(spec(truth="logistic")).identity() == base
    assert load_spec(spec(truth="probit")).identity() != base
    again = load_spec(spec(truth="probit", family="logistic"))
    assert type(again).from_document(again.document(), again.arrays()).identity() == again.identity()


@pytest.mark.slow
@pytest.mark.parametrize("file", ["fresh-logistic.toml", "fresh-huber.toml"])
def test_runs_meet_the_prediction_and_controls_do_not(tmp_path, file):
    run = fastsgd.run(RUNS / file, tmp_path / "run.h5", overrides=["replicates=10000"])
    assert fastsgd.ratio(run).verdict == "consistent"
    source = "problem.data.generate"
    laws = (
        [f"{source}.truth='logistic'"] if "logistic" in file else [f"{source}.contamination=0.0", f"{source}.noise=1.3"]
    )
    for wrong in ("sampling.batch=9", *laws):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "poisson", "truth": "probit"}, 'truth is only for family = "logistic" or "probit"'),
        ({"family": "poisson", "scale": 3.0}, "log-means with a standard deviation of at most 1"),
        ({"family": "logistic", "contamination": 0.1}, 'contamination is only for family = "linear" or "huber"'),
        ({"family": "linear", "threshold": 2.0}, 'problem.threshold is only for family = "huber", got 2.0; remove it'),
        ({"family": "huber", "threshold": 0.0}, "problem.threshold must be > 0, got 0.0"),
        ({"family": "logistic", "truth": "cauchit"}, 'truth must be "logistic" or "probit", got "cauchit"'),
        ({"scale": 1e4, "ridge": 0.1}, "margins must have a standard deviation below 25"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes, said):
    with pytest.raises(SpecError) as caught:
        load_spec(spec(**changes))
    assert said in caught.value.lines[0] and len(caught.value.lines) == 1, caught.value.lines


def test_a_pool_needs_its_size_and_a_file_is_no_population(tmp_path):
    with pytest.raises(SpecError, match=r"problem.data.generate.samples is required, got nothing"):
        load_spec(spec() | {"sampling": {"batch": 2}})
    tables = spec()
    tables["problem"]["data"] = {"file": "x.csv", "target": "y"}
    with pytest.raises(SpecError, match=r"sampling.design must be"):
        load_spec(tables, base=tmp_path)
    assert FAMILIES["huber"].code == 4

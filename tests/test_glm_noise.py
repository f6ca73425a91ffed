"""One step of mini-batch SGD from the optimum: its covariance is eta^2 times that of Lemma 4.1, exactly."""

import numpy as np
import pytest
from fastsgd.kernels.glm import advance_glm, pack_pool

from fastsgd.problems.families import FAMILIES
from fastsgd.problems.likelihood import Model, optimum

U = np.uint64
REPLICATES = 200_000


def small_pool(family: str, n: int = 20, d: int = 2) -> Model:
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, d))])
    y = {"linear": rng.normal(size=n), "poisson": rng.poisson(2.0, n) * 1.0}.get(family, (rng.random(n) < 0.5) * 1.0)
    return Model(family, x, y, 0.05)


def one_step(model: Model, batch: int, design: int, eta: float = 0.5) -> np.ndarray:
    theta = optimum(model)
    delta = np.zeros((1, REPLICATES, len(theta)))
    pool, n = pack_pool(model.features, model.targets), len(model.targets)
    code = FAMILIES[model.family].code
    etas = np.full((1, 1), eta)
    advance_glm(delta, theta, pool, n, model.ridge, code, batch, design, etas, U(8), U(0), U(0), 2)
    return delta[0] / eta


def deviation(sample: np.ndarray, covariance: np.ndarray) -> float:
    """Largest |z| of the mean squares along the eigenvectors of the predicted covariance, by their scatter."""
    values, vectors = np.linalg.eigh(covariance)
    squares = (sample @ vectors) ** 2 / values
    return float(np.max(np.abs(squares.mean(axis=0) - 1) / (squares.std(axis=0) / np.sqrt(len(sample)))))


@pytest.mark.parametrize("family", FAMILIES)
def test_without_replacement_has_the_factor_of_the_pool(family: str) -> None:
    """|z| < 5 over three directions: false alarm 2e-6. The factor with 1/(n-1) in S_n is 20/19 larger, and without a
    factor the noise is 19/15 larger: both are told apart."""
    model, n, b = small_pool(family), 20, 5
    sample, s_n = one_step(model, b, 0), model.noise(optimum(model))
    assert deviation(sample, (n - b) / (n - 1) / b * s_n) < 5
    assert deviation(sample, (n - b) / (n - 1) / b * s_n * n / (n - 1)) > 8
    assert deviation(sample, s_n / b) > 30


def test_with_replacement_has_none() -> None:
    model, n, b = small_pool("logistic"), 20, 5
    sample, s_n = one_step(model, b, 1), model.noise(optimum(model))
    assert deviation(sample, s_n / b) < 5
    assert deviation(sample, (n - b) / (n - 1) / b * s_n) > 30


def test_the_whole_pool_has_no_noise() -> None:
    model = small_pool("poisson")
    assert np.max(np.abs(one_step(model, 20, 0))) < 1e-14

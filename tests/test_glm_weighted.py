"""The kernel of weighted batches: the same bits as its recursion in exact arithmetic rounded where documented."""

import math

import numpy as np
import pytest
from test_weighted_draws import drawn, importance, reshuffle

from fastsgd.designs import Draws
from fastsgd.designs.draws import binomial
from fastsgd.problems.likelihood import Model
from fastsgd.problems.weighted import WeightedGlmStepper

SEED, FIRST, STEP = 5, 2**32 + 1, 2**32 - 4


def case(n: int, d: int) -> tuple[Model, np.ndarray]:
    rng = np.random.default_rng(d)
    features = rng.normal(size=(n, d))
    return Model("linear", features, features @ rng.normal(size=d) + rng.normal(size=n), 0.125), rng.normal(size=d)


def advance(
    model: Model, theta: np.ndarray, draws: Draws, delta: np.ndarray, sizes: np.ndarray, first=FIRST, step=STEP
):
    out = delta.copy()
    WeightedGlmStepper(model, theta, draws).advance(out, sizes, SEED, first, step)
    return out


def bernoulli(n: int, b: int) -> Draws:
    chances, lowest = binomial(n, b)
    return Draws("bernoulli", n, b, lowest + len(chances) - 1, chances=chances, lowest=lowest)


def slow(model: Model, theta: np.ndarray, delta: np.ndarray, sizes: np.ndarray, batches: list) -> np.ndarray:
    out = delta.copy()
    for a in range(out.shape[0]):
        for r in range(out.shape[1]):
            for k in range(sizes.shape[1]):
                at, total = theta + out[a, r], np.zeros(len(theta))
                for i, w in zip(*batches[r][k], strict=True):
                    lanes = [0.0] * 8
                    for j in range(len(at)):
                        lanes[j % 8] = fma(model.features[i, j], at[j], lanes[j % 8])
                    p = [lanes[q] + lanes[q + 4] for q in range(4)]
                    z = (p[0] + p[2]) + (p[1] + p[3])
                    factor = (z - model.targets[i]) * w
                    total = np.array([fma(factor, x, t) for x, t in zip(model.features[i], total, strict=True)])
                g = [fma(model.ridge, x, t) for x, t in zip(at, total, strict=True)]
                out[a, r] = [fma(-sizes[a, k], x, y) for x, y in zip(g, out[a, r], strict=True)]
    return out


def fma(a: float, b: float, c: float) -> float:
    from fractions import Fraction

    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return exact.numerator / exact.denominator if math.isfinite(float(a) * float(b)) else math.nan


@pytest.mark.parametrize(("n", "d", "design"), [(17, 3, "bernoulli"), (23, 9, "importance"), (40, 34, "reshuffle")])
def test_equal_to_exact_arithmetic_rounded_where_documented(n: int, d: int, design: str) -> None:
    model, theta = case(n, d)
    p = np.arange(1.0, n + 1) / (n * (n + 1) / 2)
    draws = {"bernoulli": bernoulli(n, 2), "importance": importance(p, 5), "reshuffle": reshuffle(n, 9)}[design]
    delta, sizes = np.random.default_rng(1).normal(size=(2, 3, d)), np.array([[0.1] * 9, [0.05] * 9])
    batches = drawn(draws, 3, 9, FIRST, STEP)
    got = advance(model, theta, draws, delta, sizes, FIRST)
    from_seed_of_draws = slow(model, theta, delta, sizes, batches_of(draws, 3, 9))
    assert np.array_equal(got, from_seed_of_draws)
    assert design != "bernoulli" or any(not row[k][0] for row in batches for k in range(9)), "an empty batch"


def batches_of(draws: Draws, replicates: int, steps: int) -> list:
    import test_weighted_draws

    seed, test_weighted_draws.SEED = test_weighted_draws.SEED, SEED
    try:
        return drawn(draws, replicates, steps, FIRST, STEP)
    finally:
        test_weighted_draws.SEED = seed


@pytest.mark.parametrize("design", ["bernoulli", "reshuffle"])
def test_cuts_threads_and_company_do_not_matter(design: str) -> None:
    import numba

    model, theta = case(50, 4)
    draws = bernoulli(50, 8) if design == "bernoulli" else reshuffle(50, 8)
    delta, sizes = np.zeros((1, 70, 4)), np.full((1, 20), 0.1)
    whole = advance(model, theta, draws, delta, sizes)
    half = advance(model, theta, draws, delta, sizes[:, :9])
    assert np.array_equal(advance(model, theta, draws, half, sizes[:, 9:], FIRST, STEP + 9), whole)
    assert np.array_equal(advance(model, theta, draws, delta[:, :5], sizes, FIRST + 60)[:, :5], whole[:, 60:65])
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert np.array_equal(advance(model, theta, draws, delta, sizes), whole)
    finally:
        numba.set_num_threads(before)

"""A million draws of each weighted design against its own covariance, and against wrong ones, which are rejected."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chi2

from fastsgd import designs
from fastsgd.problems.batches import Sampler
from fastsgd.theory import sampling as formulas

DRAWS = 1_000_000
N, D = 60, 3
RNG = np.random.default_rng(7)
SIZE = np.exp(RNG.normal(size=N))
CLASS = (np.arange(N) % 6 == 0).astype(float)
GRADIENTS = SIZE[:, None] * RNG.normal(size=(N, D)) + 2.0 * CLASS[:, None] + np.array([0.3, -0.2, 0.5])
POOL = designs.Pool(
    GRADIENTS, CLASS, np.diag([1.0, 2.0, 3.0]), lambda: GRADIENTS, lambda _: SIZE, lambda _: SIZE
)  # fmt: skip


def sampling(batch: int, **keys: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{"strata": None, "allocation": None, "probabilities": None, "uniform": None} | keys, batch=batch
    )


def column(**keys: object) -> SimpleNamespace:
    return SimpleNamespace(**{"column": "size", "groups": None, "file": None} | keys)


def estimates(draws: designs.Draws, count: int = DRAWS) -> np.ndarray:
    """sum_i w_i g_i of `count` batches, float64[count, D], of 1000 replicates."""
    steps, found = count // 1000, np.empty((1000, count // 1000, D))
    for part in Sampler(draws).walk(1000, steps, 11, 0, 0, 2):
        here, there = part.size.shape
        pitch, many = int(part.pitch), here * there * int(part.pitch)
        index, weight = (v[:many].reshape(here, there, pitch) for v in (part.indices, part.weight))
        inside = np.arange(pitch) < part.size[:, :, None]
        used = np.where(inside, weight, 0.0)
        found[part.row : part.row + here, part.column : part.column + there] = np.einsum(
            "rki,rkij->rkj", used, GRADIENTS[np.where(inside, index, 0)]
        )
    return found.reshape(-1, D)


def z_of_covariance(values: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(measured - expected) / standard error of every entry of the covariance, errors from the fourth moments."""
    i, j = np.tril_indices(D)
    u = values - mean
    products = u[:, i] * u[:, j]
    return (products.mean(0) - covariance[i, j]) / (products.std(0) / np.sqrt(len(values)))


SRS = formulas.given_pool(formulas.pool_covariance(GRADIENTS), 9, N)
LABELS = CLASS.astype(int)
STRATA = [GRADIENTS[h == LABELS] for h in (0, 1)]
CENTRED = GRADIENTS - GRADIENTS.mean(0)
P = 0.8 * SIZE / SIZE.sum() + 0.2 / N
NORM = np.linalg.norm(GRADIENTS, axis=1)
CASES = {
    "bernoulli": (sampling(9), formulas.poisson(GRADIENTS, 9 / N), {"centred": formulas.poisson(CENTRED, 9 / N), "srs": SRS}),
    "stratified": (
        sampling(9, strata="target", allocation=(4, 5)),
        formulas.stratified(STRATA, [4, 5]),
        {"allocation": formulas.stratified(STRATA, [5, 4]), "srs": SRS},
    ),
    "proportional": (
        sampling(12, strata="target", allocation="proportional"),
        formulas.stratified(STRATA, [10, 2]),
        {"no finite pool": sum((len(s) / N) ** 2 * np.cov(s.T, bias=True) / k for s, k in zip(STRATA, [10, 2], strict=True))},
    ),
    "importance": (
        sampling(9, probabilities=column(), uniform=0.2),
        formulas.importance(GRADIENTS, P, 9),
        {"unmixed": formulas.importance(GRADIENTS, SIZE / SIZE.sum(), 9), "srs": SRS},
    ),
    "gradient": (
        sampling(9, probabilities="gradient", uniform=0.0),
        formulas.importance(GRADIENTS, NORM / NORM.sum(), 9),
        {"equal": formulas.importance(GRADIENTS, np.full(N, 1 / N), 9)},
    ),
    "reshuffle": (
        sampling(9),
        SRS,
        {"1/(n-1)": (1 / 9) * (1 - 9 / N) * np.cov(GRADIENTS.T, bias=True), "with": np.cov(GRADIENTS.T, bias=True) / 9},
    ),
}  # fmt: skip
NAMES = {"proportional": "stratified", "gradient": "importance"}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_million_draws(case: str) -> None:
    """Unbiased; covariance as stated; |z| <= 5 an entry (6e-7), and a wrong covariance is off by more than 8."""
    keys, right, wrong = CASES[case]
    design = designs.get(NAMES.get(case, case))
    covariance = design.covariance(POOL, keys)
    assert np.allclose(covariance, right, rtol=1e-12, atol=1e-14)
    values = estimates(design.draws(POOL, keys))
    # Batches of reshuffling are dependent, which makes its mean more exact than that of independent ones.
    z = (values.mean(0) - GRADIENTS.mean(0)) / (values.std(0) / np.sqrt(len(values)))
    assert np.all(np.abs(z) < 5)
    mean = GRADIENTS.mean(0)
    assert np.all(np.abs(z_of_covariance(values, mean, covariance)) < 5)
    for name, other in wrong.items():
        assert np.max(np.abs(z_of_covariance(values, mean, other))) > 8, name


@pytest.mark.slow
def test_an_epoch_is_negatively_correlated() -> None:
    """Two steps of an epoch: Cov = -S_n/(n-1); of different epochs: 0. n = 60, b = 9: six steps, six samples left out."""
    values = estimates(designs.get("reshuffle").draws(POOL, sampling(9)), 600_000).reshape(1000, 100, 6, D)
    u = values - GRADIENTS.mean(0)
    within = (u[:, :, 0] * u[:, :, 3]).reshape(-1, D)
    across = (u[:, :-1, 5] * u[:, 1:, 0]).reshape(-1, D)
    right = -GRADIENTS.var(0) / (N - 1)
    error = within.std(0) / np.sqrt(len(within))
    assert np.all(np.abs(within.mean(0) - right) < 5 * error)
    assert np.max(np.abs(within.mean(0)) / error) > 8, "control: no correlation"
    assert np.all(np.abs(across.mean(0)) < 5 * across.std(0) / np.sqrt(len(across)))


def test_sizes_of_bernoulli_batches() -> None:
    draws = designs.get("bernoulli").draws(POOL, sampling(2))
    sizes = np.concatenate([part.size.ravel() for part in Sampler(draws).walk(100, 500, 5, 0, 0, 2)])
    from scipy.stats import binom

    observed = np.bincount(sizes, minlength=8)[:8].astype(float)
    expected = len(sizes) * binom.pmf(np.arange(8), N, 2 / N)
    assert observed[0] > 0
    assert ((observed - expected) ** 2 / expected).sum() < chi2.isf(1e-6, 7)


def test_neyman_is_the_best_allocation_and_norms_the_best_chances() -> None:
    stratified, metric = designs.get("stratified"), POOL.metric
    best = np.trace(metric @ stratified.covariance(POOL, sampling(12, strata="target", allocation="neyman")))
    others = [
        np.trace(metric @ stratified.covariance(POOL, sampling(12, strata="target", allocation=(12 - k, k))))
        for k in range(1, 11)
    ]
    assert best == pytest.approx(min(others), rel=1e-12) and best < 0.9 * np.median(others)
    importance = designs.get("importance")
    trace = [
        np.trace(importance.covariance(POOL, sampling(9, probabilities=q, uniform=0.0)))
        for q in ("gradient", column(file="x", column=None))
    ]
    assert trace[0] < trace[1]


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("stratified", sampling(9, strata="target", allocation=(1, 2)), "add up to sampling.batch = 9, got 3"),
        ("stratified", sampling(13, strata="target", allocation=(2, 11)), "got 11 for stratum 1 of 10 samples"),
        ("stratified", sampling(9, strata="target", allocation=(9,)), "one size for each of the 2 strata"),
        ("stratified", sampling(1, strata="target"), "at least the 2 strata"),
        ("stratified", sampling(9, strata=column(groups=61)), "groups must be <= the pool size 60"),
        ("importance", sampling(9, probabilities=column(file="p", column=None)), "not be negative, got -0.5 in row 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(name: str, keys: SimpleNamespace, words: str) -> None:
    bad = np.where(np.arange(N) == 2, -0.5, SIZE)
    pool = designs.Pool(GRADIENTS, CLASS, POOL.metric, lambda: GRADIENTS, lambda _: SIZE, lambda _: bad)
    with pytest.raises(ValueError, match="sampling") as caught:
        designs.get(name).form(pool, keys)
    assert words in str(caught.value) and "\n" not in str(caught.value)

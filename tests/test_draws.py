"""Mini-batch indices: equal to the slow reference, uniform over subsets, independent of threads and history."""

from math import comb

import numpy as np
import pytest
import reference_draws as reference
from fastsgd.kernels._jit import jit
from fastsgd.kernels.draws import (
    FLOYD,
    SHUFFLE,
    WITH_REPLACEMENT,
    WITHOUT_REPLACEMENT,
    draw,
    draw_batches,
    make_scratch,
    plan_by,
    uses_shuffle,
)
from scipy.stats import chi2

U = np.uint64
SEED, REPLICATE, STEP = 0xFEDCBA9876543210, 2**32 + 7, 2**32 - 30  # high bits of all three, step crosses a word


def batches(
    n: int, b: int, design: int, shape: tuple[int, int], replicate: int = REPLICATE, step: int = STEP, tasks: int = 1
) -> np.ndarray:
    out = np.zeros((*shape, b), np.uint32)
    assert draw_batches(n, b, design, U(SEED), U(replicate), U(step), tasks, out) == 0
    return out


@jit
def _draw_by(plan, out):
    scratch = make_scratch(plan)
    bulk = np.zeros(plan.size, np.uint32)
    for k in range(U(0), U(out.shape[0]), plan.steps):
        steps = min(plan.steps, U(out.shape[0]) - k)
        draw(plan, scratch, U(1), U(2), k, steps, bulk, U(0))
        for s in range(steps):
            out[k + s] = bulk[s * plan.pitch : s * plan.pitch + plan.b]


def by_method(n: int, b: int, shuffle: bool, count: int) -> np.ndarray:
    out = np.zeros((count, b), np.uint32)
    _draw_by(plan_by(n, b, SHUFFLE if shuffle else FLOYD), out)
    return out


SIZES = [
    (10, 1), (3_000_000_000, 1), (10, 3), (20, 5), (64, 64), (66, 65), (100, 99), (100, 100), (1000, 32), (1000, 33),
    (2000, 300), (16, 2), (70, 4), (300, 8), (400, 7), (1100, 16), (1100, 13), (4096, 32), (9000, 40), (20_000, 64),
    (70_000, 3000), (2**21, 100), (2**31 + 5, 7), (3_000_000_000, 64), (2**32 - 1, 33),
]  # fmt: skip


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_equal_to_the_reference(n: int, b: int) -> None:
    """Every method and both designs; pools near 2^32 reject about every other word."""
    without, with_ = batches(n, b, WITHOUT_REPLACEMENT, (2, 70)), batches(n, b, WITH_REPLACEMENT, (2, 70))
    for r in range(2):
        for k in range(0, 70, 1 if b < 100 else 23):
            address = SEED, REPLICATE + r, STEP + k
            assert without[r, k].tolist() == reference.without_replacement(n, b, *address)
            assert with_[r, k].tolist() == reference.with_replacement(n, b, *address)


def test_threads_and_neighbours_do_not_matter() -> None:
    for n, b in [(50, 6), (500, 100)]:
        whole = batches(n, b, WITHOUT_REPLACEMENT, (11, 80))
        for tasks in (2, 3, 16):
            assert np.array_equal(whole, batches(n, b, WITHOUT_REPLACEMENT, (11, 80), tasks=tasks))
        alone = batches(n, b, WITHOUT_REPLACEMENT, (1, 9), replicate=REPLICATE + 7, step=STEP + 33)
        assert np.array_equal(whole[7:8, 33:42], alone)


def statistic(counts: np.ndarray, expected: float) -> float:
    return float(((counts - expected) ** 2).sum() / expected)


def subset_counts(drawn: np.ndarray, n: int, b: int) -> np.ndarray:
    """How often each of the C(n, b) subsets came."""
    codes = (np.int64(1) << drawn.astype(np.int64)).sum(axis=1)
    values, counts = np.unique(codes, return_counts=True)
    assert all(int(v).bit_count() == b and int(v) < 2**n for v in values), "a batch with an index twice or out of range"
    return np.concatenate([counts, np.zeros(comb(n, b) - values.size)])


# False alarm of a test 1e-6: quantile of chi-square with C(n, b) - 1 degrees of freedom.
@pytest.mark.parametrize(("n", "b"), [(5, 1), (6, 3), (7, 5), (9, 2), (5, 5)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_subset_equally_often(n: int, b: int, shuffle: bool) -> None:
    drawn = by_method(n, b, shuffle, 60_000)
    limit = chi2.isf(1e-6, max(comb(n, b) - 1, 1))
    assert statistic(subset_counts(drawn, n, b), len(drawn) / comb(n, b)) < limit


@pytest.mark.parametrize(("n", "b", "shuffle"), [(66, 65, True), (67, 65, True), (66, 65, False), (70, 67, False)])
def test_complements_of_large_batches(n: int, b: int, shuffle: bool) -> None:
    """Shuffle and bitmap (Floyd above 64): what a batch leaves out is uniform, counted by its smallest pair."""
    drawn = by_method(n, b, shuffle, 60_000)
    left = np.ones((len(drawn), n), bool)
    np.put_along_axis(left, drawn.astype(np.int64), False, axis=1)
    assert np.all(left.sum(axis=1) == n - b), "a batch with an index twice"
    first = left.argmax(axis=1)
    probability = np.array([comb(n - 1 - i, n - b - 1) / comb(n, b) for i in range(b + 1)])
    counts = np.bincount(first, minlength=b + 1)
    kept = probability * len(drawn) > 20
    expected = probability[kept] * len(drawn)
    assert ((counts[kept] - expected) ** 2 / expected).sum() < chi2.isf(1e-6, kept.sum())


def test_a_biased_draw_would_be_seen() -> None:
    """Negative control: duplicates of draws with replacement moved to the next free index."""
    n, b = 6, 3
    drawn = batches(n, b, WITH_REPLACEMENT, (60, 1000)).reshape(-1, b).astype(np.int64)
    for i in range(1, b):
        for _ in range(b):
            taken = (drawn[:, :i] == drawn[:, i : i + 1]).any(axis=1)
            drawn[taken, i] = (drawn[taken, i] + 1) % n
    assert statistic(subset_counts(drawn, n, b), len(drawn) / comb(n, b)) > 10 * chi2.isf(1e-6, comb(n, b) - 1)


def test_with_replacement_is_uniform_and_independent() -> None:
    drawn = batches(7, 2, WITH_REPLACEMENT, (50, 1000)).reshape(-1, 2).astype(np.int64)
    counts = np.bincount(drawn[:, 0] * 7 + drawn[:, 1], minlength=49)
    assert statistic(counts, len(drawn) / 49) < chi2.isf(1e-6, 48)


def test_batches_of_different_addresses_are_independent() -> None:
    """Inclusion of one index at neighbouring steps and replicates: correlation 0 within 5 standard errors."""
    inside = (batches(20, 5, WITHOUT_REPLACEMENT, (200, 200)) == 0).any(axis=2).astype(float) - 0.25
    count = 199 * 200
    for product in (inside[1:] * inside[:-1], inside[:, 1:] * inside[:, :-1]):
        assert abs(product.sum() / count / (0.25 * 0.75)) < 5 / np.sqrt(count)


def test_covariance_of_the_batch_mean_and_the_wrong_normaliser() -> None:
    """n = 20, b = 5: Cov = (1/b)(n-b)/(n-1) S_n with S_n over n; with S_n over n - 1 it is 20/19 larger: told apart."""
    n, b, count = 20, 5, 400_000
    g = np.sin(np.arange(1, n + 1) ** 2) * 3
    means = g[batches(n, b, WITHOUT_REPLACEMENT, (400, count // 400)).reshape(-1, b)].mean(axis=1)
    right = (n - b) / (n - 1) / b * g.var()
    wrong = (n - b) / (n - 1) / b * g.var(ddof=1)
    squares = (means - g.mean()) ** 2
    error = squares.std() / np.sqrt(count)
    assert abs(squares.mean() - right) < 5 * error
    assert abs(squares.mean() - wrong) > 8 * error


def test_plan_chooses_the_documented_method() -> None:
    for n, b in [
        *SIZES,
        (15, 2),
        (16, 2),
        (2**14 - 1, 64),
        (2**14, 64),
        (2**15, 65),
        (2**15 + 1, 65),
        (2**21, 2**16),
        (2**21, 2**16 + 1),
    ]:
        assert uses_shuffle(n, b) == reference.uses_shuffle(n, b)

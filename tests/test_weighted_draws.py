"""Weighted batches: equal to the slow reference, independent of threads, history and how a run is cut."""

import numpy as np
import pytest
import reference_weighted as reference
from scipy.stats import binom

from fastsgd.designs.draws import Draws, binomial
from fastsgd.problems.batches import Sampler

SEED, REPLICATE, STEP = 0xFEDCBA9876543210, 2**32 + 7, 2**32 - 30


def strata_of(labels: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(labels == h).tolist() for h in range(labels.max() + 1)]


def stratified(labels: np.ndarray, allocation: list[int]) -> Draws:
    strata = strata_of(labels)
    return Draws(
        "stratified", len(labels), sum(allocation), sum(allocation), np.concatenate(strata).astype(np.uint32),
        np.cumsum([0, *map(len, strata)]).astype(np.uint64), np.array(allocation, np.uint64),
        np.array([len(s) / len(labels) / a for s, a in zip(strata, allocation, strict=True)]),
    )  # fmt: skip


def importance(p: np.ndarray, b: int) -> Draws:
    return Draws("importance", len(p), b, b, weights=1.0 / (b * len(p) * p), probabilities=p)


def bernoulli(n: int, b: int) -> Draws:
    chances, lowest = binomial(n, b)
    return Draws("bernoulli", n, b, lowest + len(chances) - 1, chances=chances, lowest=lowest)


def reshuffle(n: int, b: int) -> Draws:
    return Draws("reshuffle", n, b, b)


def drawn(draws: Draws, replicates: int, steps: int, replicate=REPLICATE, step=STEP, tasks=3) -> list:
    """[r][k] -> (indices, weights)."""
    found = [[None] * steps for _ in range(replicates)]
    for part in Sampler(draws).walk(replicates, steps, SEED, replicate, step, tasks):
        pitch = int(part.pitch)
        for r in range(part.size.shape[0]):
            for k in range(part.size.shape[1]):
                at, of = (r * part.size.shape[1] + k) * pitch, int(part.size[r, k])
                batch = part.indices[at : at + of].tolist(), part.weight[at : at + of].tolist()
                found[part.row + r][part.column + k] = batch
    return found


LABELS = np.array([0, 1, 1, 2, 0, 1, 2, 2, 2, 1, 0, 2, 2, 1, 2, 2, 1])
P = np.arange(1.0, 18.0) ** 2
P /= P.sum()
CASES = {
    "reshuffle": (reshuffle(17, 4), lambda r, k: reference.reshuffle(17, 4, SEED, r, k)),
    "bernoulli": (
        bernoulli(17, 4),
        lambda r, k: reference.bernoulli(17, 4, [int(c) for c in binomial(17, 4)[0]], binomial(17, 4)[1], SEED, r, k),
    ),
    "stratified": (
        stratified(LABELS, [1, 3, 4]),
        lambda r, k: reference.stratified(strata_of(LABELS), [1, 3, 4], SEED, r, k),
    ),
    "importance": (importance(P, 5), lambda r, k: reference.importance(P, 5, SEED, r, k)),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_to_the_reference(name: str) -> None:
    draws, slow = CASES[name]
    got = drawn(draws, 3, 70)
    for r in range(3):
        for k in range(70):
            assert got[r][k] == slow(REPLICATE + r, STEP + k), (name, r, k)


@pytest.mark.parametrize("name", CASES)
def test_threads_neighbours_and_cuts_do_not_matter(name: str) -> None:
    draws, _ = CASES[name]
    whole = drawn(draws, 5, 40)
    assert drawn(draws, 5, 40, tasks=16) == whole
    assert drawn(draws, 1, 9, replicate=REPLICATE + 3, step=STEP + 22, tasks=1)[0] == whole[3][22:31]


def test_long_permutations_are_taken_up_anywhere() -> None:
    """A pool whose permutation needs many blocks of words, with words rejected, cut in the middle of an epoch."""
    draws = reshuffle(1000, 30)
    whole = drawn(draws, 2, 66)
    for k in (0, 5, 17, 32, 33, 65):
        assert whole[1][k] == reference.reshuffle(1000, 30, SEED, REPLICATE + 1, STEP + k)
    assert drawn(draws, 1, 1, replicate=REPLICATE, step=STEP + 40)[0][0] == whole[0][40]


def test_an_epoch_is_a_permutation_without_its_rest() -> None:
    epochs = np.array([[batch[0] for batch in row] for row in drawn(reshuffle(17, 4), 200, 8, 0, 0)])
    epochs = epochs.reshape(200, 2, 16)
    assert all(len(set(epoch)) == 16 for epoch in epochs.reshape(-1, 16).tolist())
    assert len({tuple(epoch) for epoch in epochs.reshape(-1, 16).tolist()}) == 400


@pytest.mark.parametrize(("n", "b"), [(1, 1), (2, 1), (17, 4), (17, 16), (1000, 999), (100_000, 3), (100_000, 5000)])
def test_sizes_are_binomial(n: int, b: int) -> None:
    chances, lowest = binomial(n, b)
    sizes = lowest + np.arange(len(chances))
    table = np.array([float(c) for c in chances]) / 2.0**64
    if n > b:
        assert np.allclose(np.diff(table, prepend=0.0), binom.pmf(sizes, n, b / n), rtol=1e-9, atol=3e-16)
        assert binom.cdf(lowest - 1, n, b / n) < 1e-18 and binom.sf(sizes[-1], n, b / n) < 1e-18
    else:
        assert lowest == n and len(chances) == 1

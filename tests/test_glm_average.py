"""Time averages of mini-batch SGD taken on the way: the bits of samples that are added up one by one."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from fastsgd.kernels.average import GROUP, add_sample, padded, tiles
from fastsgd.kernels.glm import advance_glm, pack_pool
from fastsgd.kernels.glm_average import average_glm
from fastsgd.kernels.links import LOGISTIC

pytestmark = pytest.mark.slow

U = np.uint64
N, SEED, FIRST, STEP, RIDGE = 200, 5, 2**33 + 16, 3, 0.01
BURN_IN, BATCHES = 9, 4


class Case:
    """R replicates of two arms in d dimensions with batches of b, sampled every `thin` steps."""

    def __init__(self, d: int, b: int, design: int, thin: int, replicates: int, steps: int, dense: bool) -> None:
        rng = np.random.default_rng(d)
        self.design, self.b, self.thin, self.dense = design, b, thin, dense
        self.burn_in = BURN_IN
        self.samples = (STEP + steps - 4 - BURN_IN) // thin  # the last few steps come after the last sample
        self.pool = pack_pool(rng.normal(size=(N, d)) / np.sqrt(d), (rng.random(N) < 0.5).astype(float))
        self.optimum, self.start = rng.normal(size=d), rng.normal(size=(2, replicates, d))
        self.etas = rng.random((2, steps))
        side = padded(d)
        self.metric = np.zeros((2, side, side) if dense else (2, side))
        self.metric[:, *([slice(d)] * (2 if dense else 1))] = rng.random((d, d) if dense else d)
        self.metric = self.metric.reshape(2, -1)

    def sums(self) -> tuple[np.ndarray, ...]:
        arms, replicates, d = self.start.shape
        groups = -(-replicates // GROUP)
        shapes = (groups, arms, padded(d)), (groups, arms, tiles(d)), (arms, replicates, BATCHES)
        return tuple(np.zeros(shape) for shape in shapes)

    def head(self, k0: int, k1: int):
        etas = np.ascontiguousarray(self.etas[:, k0:k1])
        kind = LOGISTIC, self.b, self.design
        return self.optimum, self.pool, N, RIDGE, *kind, etas, U(SEED), U(FIRST), U(STEP + k0)

    def fused(self, cuts: tuple[int, ...] = ()) -> list[np.ndarray]:
        delta, sums = self.start.copy(), self.sums()
        for k0, k1 in pairwise([0, *cuts, self.etas.shape[1]]):
            when = self.burn_in, self.thin, self.samples, self.metric, not self.dense
            average_glm(delta, *self.head(k0, k1), *when, *sums)
        return [delta, *sums]

    def one_by_one(self) -> list[np.ndarray]:
        delta, sums = self.start.copy(), self.sums()
        for k in range(self.etas.shape[1]):
            advance_glm(delta, *self.head(k, k + 1), 3)
            number, rest = divmod(STEP + k + 1 - self.burn_in, self.thin)
            if rest == 0 and 1 <= number <= self.samples:
                batch = (number - 1) * BATCHES // self.samples
                add_sample(delta, self.metric, not self.dense, batch, *sums)
        return [delta, *sums]


CASES = [
    (3, 1, 0, 1, 37, 60, False),  # flights of eight replicates, a last group that is not full
    (20, 2, 1, 7, 16, 90, True),
    (20, 8, 0, 1, 33, 70, False),  # more samples than are held at once
    (70, 5, 0, 2, 5, 40, False),  # rows longer than code without loops is made for
]


@pytest.mark.parametrize("case", CASES)
def test_sums_are_those_of_samples_added_one_by_one(case) -> None:
    made = Case(*case)
    assert made.samples >= BATCHES
    whole = made.fused()
    for found, expected in zip(whole, made.one_by_one(), strict=True):
        assert np.any(expected != 0.0)
        np.testing.assert_array_equal(found, expected)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        for found, expected in zip(made.fused(cuts=(5, 6, 31)), whole, strict=True):
            np.testing.assert_array_equal(found, expected)
    finally:
        numba.set_num_threads(before)


def test_samples_taken_a_step_late_are_seen() -> None:
    made, late = Case(*CASES[0]), Case(*CASES[0])
    late.burn_in += 1
    found, expected = made.fused(), late.one_by_one()
    np.testing.assert_array_equal(found[0], expected[0])
    assert not any(np.array_equal(a, b) for a, b in zip(found[1:], expected[1:], strict=True))

"""Streaming time averages: sums against plain loops over the same iterates, and what they must not depend on."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from fastsgd.kernels.average import GROUP, add_sample, average_quadratic, padded, tiles, untile
from fastsgd.kernels.philox import PURPOSE_NOISE
from fastsgd.kernels.quadratic import advance_quadratic, pack

U = np.uint64


class Case:
    """A recursion of R replicates in d dimensions with `arms` arms, and its sampling plan."""

    def __init__(self, d, replicates, arms=1, dense=False):
        rng = np.random.default_rng(d)
        roots = rng.standard_normal((arms, d, d))
        self.d, self.replicates, self.arms, self.dense = d, replicates, arms, dense
        self.coefficients, self.starts = pack(np.linalg.cholesky(roots @ roots.transpose(0, 2, 1) + np.eye(d)))
        self.minus_lam = -np.tile(np.linspace(1, 5, d), (arms, 1))
        self.burn_in, self.thin, self.samples, self.batches = 7, 3, 10, 4
        self.last = self.burn_in + self.thin * self.samples
        self.metric = np.diag(np.linspace(1, 5, d)) + (0.1 if dense else 0.0)

    def stored_metric(self):
        side = padded(self.d)
        if not self.dense:
            return np.stack([np.pad(np.diag(self.metric), (0, side - self.d))] * self.arms)
        square = np.zeros((side, side))
        square[: self.d, : self.d] = self.metric
        return np.stack([square.ravel()] * self.arms)

    def sums(self):
        groups = -(-self.replicates // GROUP)
        first = np.zeros((groups, self.arms, padded(self.d)))
        second = np.zeros((groups, self.arms, tiles(self.d)))
        return first, second, np.zeros((self.arms, self.replicates, self.batches))

    def step(self, delta, first, last, sums=None, replicate=0):
        sizes = np.full((self.arms, last - first), 0.1)
        head = (self.minus_lam, self.coefficients, self.starts, sizes, U(1), PURPOSE_NOISE, U(replicate), U(first))
        if sums is None:
            advance_quadratic(*head, delta)
        else:
            plan = (self.burn_in, self.thin, self.samples, self.stored_metric(), not self.dense)
            average_quadratic(*head, *plan, delta, *sums)

    def fused(self, cuts=()):
        delta, sums = np.zeros((self.arms, self.replicates, self.d)), self.sums()
        edges = [0, *cuts, self.last + 5]
        for a, b in pairwise(edges):
            self.step(delta, a, b, sums)
        return delta, sums

    def plain(self):
        """The same by single calls and NumPy."""
        delta, sums = np.zeros((self.arms, self.replicates, self.d)), self.sums()
        first = np.zeros((self.arms, self.d))
        second, risk = np.zeros((self.arms, self.d, self.d)), np.zeros((self.arms, self.replicates, self.batches))
        now = 0
        for m in range(self.samples):
            after = self.burn_in + (m + 1) * self.thin
            self.step(delta, now, after)
            now, batch = after, m * self.batches // self.samples
            first += delta.sum(axis=1)
            second += np.einsum("ari,arj->aij", delta, delta)
            risk[..., batch] += np.einsum("ari,ij,arj->ar", delta, self.metric, delta)
            add_sample(delta, self.stored_metric(), not self.dense, batch, *sums)
        return first, second, risk, sums


@pytest.mark.parametrize(
    ("d", "replicates", "arms", "dense"), [(1, 5, 1, False), (2, 40, 1, False), (9, 17, 2, True), (50, 33, 1, False)]
)
def test_sums_equal_plain_loops(d, replicates, arms, dense):
    case = Case(d, replicates, arms, dense)
    _, (first, second, risk) = case.fused()
    want_first, want_second, want_risk, stepwise = case.plain()
    np.testing.assert_allclose(first.sum(axis=0)[:, :d], want_first, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(untile(second.sum(axis=0), d), want_second, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(risk, want_risk, rtol=1e-11)
    for fused, single in zip((first, second, risk), stepwise, strict=True):
        assert fused.tobytes() == single.tobytes()


def test_iterates_are_those_without_sampling():
    case = Case(11, 20)
    delta, _ = case.fused()
    alone = np.zeros_like(delta)
    case.step(alone, 0, case.last + 5)
    assert delta.tobytes() == alone.tobytes()


def test_segments_and_threads_leave_the_bits():
    case = Case(6, 50, arms=2)
    numba.set_num_threads(1)
    _, whole = case.fused()
    numba.set_num_threads(2)
    _, cut = case.fused(cuts=(1, 10, 11, 23, 37))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole, cut, strict=True))


def test_nothing_is_sampled_before_the_burn_in_or_after_the_last_sample():
    case = Case(3, 4)
    delta, sums = np.zeros((1, 4, 3)), case.sums()
    case.step(delta, 0, case.burn_in + case.thin - 1, sums)
    assert not any(s.any() for s in sums)
    case.step(delta, case.burn_in + case.thin - 1, case.last, sums)
    full = [s.copy() for s in sums]
    case.step(delta, case.last, case.last + 50, sums)
    assert all(np.array_equal(a, b) for a, b in zip(full, sums, strict=True))
    assert all(s.any() for s in sums)

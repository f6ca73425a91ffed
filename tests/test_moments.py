"""Moments of blocks and their tree: against NumPy, exact structure, and digits that naive sums would lose."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from fastsgd.kernels.moments import BLOCK, record_moments

from fastsgd.moments import PARTIAL, Node, join, places, push, reduce_blocks, total, unpack


def blocks(delta, basis=None, metric=None):
    """(risk, x, count, mean, second) of record_moments."""
    replicates, d = delta.shape
    n = -(-replicates // BLOCK)
    risk, x = np.empty(replicates), np.empty((replicates, d))
    count, mean, second = np.empty(n, dtype=np.int64), np.empty((n, d)), np.empty((n, d * (d + 1) // 2))
    rows = np.zeros((d, d)) if basis is None else basis
    metric = np.eye(d) if metric is None else metric
    record_moments(delta, rows, basis is not None, metric, risk, x, count, mean, second)
    return risk, x, count, mean, second


def nodes_of(x):
    """The list of nodes of a run whose replicates are the rows of x, one arm, one step."""
    _, _, count, mean, second = blocks(x)
    found = []
    for i in range(len(count)):
        level = 0 if (i + 1) * BLOCK <= len(x) else PARTIAL
        push(found, Node(level, i, count[i].reshape(1, 1), mean[i].reshape(1, 1, -1), second[i].reshape(1, 1, -1)))
    return found


@pytest.mark.parametrize("replicates", [1, 63, 64, 65, 200])
def test_blocks_equal_numpy(replicates):
    rng = np.random.default_rng(replicates)
    delta, metric = rng.standard_normal((replicates, 5)), np.diag([1.0, 2, 3, 4, 5]) + 0.1
    basis = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    risk, x, count, mean, second = blocks(delta, basis, metric)
    np.testing.assert_allclose(x, delta @ basis, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(risk, np.einsum("ri,ij,rj->r", x, metric, x), rtol=1e-12)
    for i in range(len(count)):
        rows = x[i * BLOCK : (i + 1) * BLOCK]
        centred = rows - rows.mean(axis=0)
        assert count[i] == len(rows)
        np.testing.assert_allclose(mean[i], rows.mean(axis=0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(unpack(second[i], 5), centred.T @ centred, rtol=1e-11, atol=1e-13)


def test_rows_that_are_not_finite_are_left_out_and_not_counted():
    x = np.random.default_rng(0).standard_normal((70, 3))
    x[5, 1], x[66, 0], x[8, 2] = np.inf, np.nan, 1e200
    risk, _, count, mean, _ = blocks(x)
    assert np.flatnonzero(np.isnan(risk)).tolist() == [5, 8, 66]
    assert count.tolist() == [62, 5]
    keep = np.delete(np.arange(64), [5, 8])
    np.testing.assert_allclose(mean[0], x[keep].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("replicates", [64, 640, 1000, 64 * 37 + 5])
def test_tree_total_equals_numpy(replicates):
    x = np.random.default_rng(1).standard_normal((replicates, 3)) + 7
    node = total(nodes_of(x))
    assert node.count[0, 0] == replicates
    np.testing.assert_allclose(node.mean[0, 0], x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(unpack(node.m2, 3)[0, 0] / (replicates - 1), np.cov(x.T), rtol=1e-11)


@pytest.mark.parametrize("cuts", [(0, 8, 16, 23), (0, 3, 11, 12, 23), (0, 1, 2, 23), (0, 7, 10, 16, 23)])
def test_total_does_not_depend_on_waves(cuts):
    """Blocks reduced a wave at a time and pushed one by one give the same bits."""
    x = np.random.default_rng(2).standard_normal((64 * 23, 2))
    one_by_one = nodes_of(x)
    _, _, count, mean, second = blocks(x)
    waves = []
    for first, last in pairwise(cuts):
        part = slice(first, last)
        here = places(first, last - first)
        reduced = reduce_blocks(first, count[part], mean[part], second[part])
        for (level, index), (c, m, s) in zip(here, reduced, strict=True):
            push(waves, Node(level, index, c.reshape(1, 1), m.reshape(1, 1, -1), s.reshape(1, 1, -1)))
    assert [(n.level, n.index) for n in waves] == [(n.level, n.index) for n in one_by_one] == places(0, 23)
    for a, b in zip(waves, one_by_one, strict=True):
        assert all(p.tobytes() == q.tobytes() for p, q in zip(a.parts(), b.parts(), strict=True))


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 22), (3, 13), (5, 11), (8, 8), (7, 1)])
def test_places_cover_a_range_with_whole_nodes(first, count):
    covered = [b for level, index in places(first, count) for b in range(index << level, (index + 1) << level)]
    assert covered == list(range(first, first + count))


def test_shards_pushed_one_after_another_give_the_tree_of_the_whole():
    x = np.random.default_rng(4).standard_normal((64 * 16, 2))
    whole = nodes_of(x)
    _, _, count, mean, second = blocks(x)

    def shard(first, blocks_):
        found = []
        for i in range(first, first + blocks_):
            push(found, Node(0, i, count[i].reshape(1, 1), mean[i].reshape(1, 1, -1), second[i].reshape(1, 1, -1)))
        return found

    merged = []
    for node in shard(0, 5) + shard(5, 7) + shard(12, 4):
        push(merged, node)
    assert len(merged) == len(whole) == 1
    assert merged[0].m2.tobytes() == whole[0].m2.tobytes()


def test_digits_survive_a_large_mean():
    """Mean 10, standard deviation 1e-6: naive sums keep two or three digits of the variance, the tree ten."""
    noise = np.random.default_rng(5).standard_normal((6400, 1)) * 1e-6
    x = 10.0 + noise
    exact = np.var(x - 10.0, ddof=1)  # x - 10 is exact
    ours = total(nodes_of(x)).m2[0, 0, 0] / (len(x) - 1)
    naive = (np.sum(x * x) - len(x) * np.mean(x) ** 2) / (len(x) - 1)
    assert abs(ours / exact - 1) < 1e-9
    assert abs(naive / exact - 1) > 1e-5


def test_empty_halves_join():
    x = np.random.default_rng(6).standard_normal((64, 2))
    full = nodes_of(x)[0]
    nothing = Node(0, 1, *(np.zeros_like(p) for p in full.parts()))
    for pair in ((full, nothing), (nothing, full)):
        node = join(*pair, 1, 0)
        assert all(p.tobytes() == q.tobytes() for p, q in zip(node.parts(), full.parts(), strict=True))


def test_threads_leave_the_bits():
    x = np.random.default_rng(7).standard_normal((1000, 4))
    numba.set_num_threads(1)
    one = blocks(x)
    numba.set_num_threads(2)
    two = blocks(x)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))

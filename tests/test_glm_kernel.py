"""Mini-batch SGD on a pool: the bits of exact arithmetic rounded step by step, whatever the threads and neighbours."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import reference_draws
import reference_glm
from fastsgd.kernels import STREAM_VERSION, caches
from fastsgd.kernels.draws import draw_batches
from fastsgd.kernels.glm import advance_glm, pack_pool, row_width
from fastsgd.kernels.links import LINEAR, LOGISTIC, POISSON, PROBIT, SCORE, link_values

U = np.uint64
SEED, REPLICATE, STEP = 987654321987, 2**33 + 4, 2**32 - 2
RIDGE = 0.0125


def residual_of(family: int):
    def residual(z: list[float], y: list[float]) -> list[float]:
        pad = -len(z) % 8
        out = np.empty(len(z) + pad)
        link_values(SCORE, family, np.pad(np.array(z), (0, pad)), np.pad(np.array(y), (0, pad)), out)
        return out[: len(z)].tolist()

    return residual


class Case:
    """A small problem with two arms and three replicates."""

    def __init__(self, n: int, d: int, arms: int = 2, replicates: int = 3, steps: int = 4) -> None:
        rng = np.random.default_rng(n + d)
        self.features = rng.normal(size=(n, d)) / np.sqrt(d)
        self.targets = (rng.random(n) < 0.5).astype(float)
        self.pool = pack_pool(self.features, self.targets)
        self.optimum = rng.normal(size=d)
        self.start = rng.normal(size=(arms, replicates, d))
        self.etas = rng.random((arms, steps))

    def advance(
        self, family: int, b: int, design: int, tasks: int = 1, cuts: tuple[int, ...] = (), first: int = 0, last=None
    ):
        delta = self.start[:, first:last].copy()
        edges = [0, *cuts, self.etas.shape[1]]
        for k0, k1 in pairwise(edges):
            etas = np.ascontiguousarray(self.etas[:, k0:k1])
            advance_glm(
                delta, self.optimum, self.pool, len(self.targets), RIDGE, family, b, design, etas,
                U(SEED), U(REPLICATE + first), U(STEP + k0), tasks,
            )  # fmt: skip
        return delta


def test_rows_are_aligned_and_hold_the_target_last() -> None:
    for d in (1, 7, 8, 15, 16, 20):
        case = Case(5, d)
        rows = case.pool.reshape(5, row_width(d))
        assert case.pool.ctypes.data % 64 == 0 and row_width(d) % 8 == 0
        assert np.array_equal(rows[:, :d], case.features) and np.array_equal(rows[:, -1], case.targets)
        assert not rows[:, d:-1].any()


SHAPES = [
    (30, 2, 1),
    (30, 3, 5),
    (30, 8, 8),
    (30, 20, 9),
    (90, 33, 70),
    (90, 50, 16),
    (20, 71, 3),
    (12, 1, 12),
    (12, 5, 11),
    (40, 40, 2),
    (40, 62, 6),
    (10, 3, 9),
]
SHAPES += [(2**17 + 3, 2, 3)]  # drawn by Floyd's method


@pytest.mark.parametrize("design", [0, 1])
@pytest.mark.parametrize(("n", "d", "b"), SHAPES)
def test_equal_to_exact_arithmetic_rounded_where_documented(n: int, d: int, b: int, design: int) -> None:
    family = (LINEAR, LOGISTIC, POISSON, PROBIT)[d % 4]
    case = Case(n, d)
    got = case.advance(family, b, design)
    drawn = (reference_draws.without_replacement, reference_draws.with_replacement)[design]
    for a in range(2):
        for r in range(3):
            delta = case.start[a, r].tolist()
            for k in range(4):
                batch = drawn(n, b, SEED, REPLICATE + r, STEP + k)
                delta = reference_glm.step(
                    delta, case.optimum.tolist(), case.features, case.targets, RIDGE, batch,
                    float(case.etas[a, k]), residual_of(family),
                )  # fmt: skip
            assert delta == got[a, r].tolist()


@pytest.mark.parametrize(("d", "b"), [(3, 2), (20, 32), (33, 80)])
def test_threads_chunks_and_neighbours_do_not_matter(d: int, b: int) -> None:
    case = Case(200, d, arms=2, replicates=7, steps=23)
    whole = case.advance(LOGISTIC, b, 0)
    for tasks in (2, 3, 7, 16):
        assert np.array_equal(whole, case.advance(LOGISTIC, b, 0, tasks=tasks))
    for cuts in [(1,), (9, 10), tuple(range(1, 23))]:
        assert np.array_equal(whole, case.advance(LOGISTIC, b, 0, cuts=cuts))
    for r in range(7):
        assert np.array_equal(whole[:, r : r + 1], case.advance(LOGISTIC, b, 0, first=r, last=r + 1))


def test_an_arm_alone_equals_the_arm_among_others() -> None:
    case = Case(100, 12, arms=3, replicates=4, steps=11)
    whole = case.advance(POISSON, 10, 0)
    case.start, case.etas = case.start[1:2], case.etas[1:2]
    assert np.array_equal(whole[1:2], case.advance(POISSON, 10, 0))


@pytest.mark.parametrize("family", [LINEAR, POISSON])
def test_divergence_ends_in_numbers_that_are_not_finite_and_spares_the_others(family: int) -> None:
    case = Case(50, 4, arms=2, replicates=3, steps=300)
    case.etas[:] = 0.1
    case.etas[1] = 1e4
    delta = case.advance(family, 5, 0)
    assert np.all(np.abs(delta[0]) < 10) and not np.isfinite(delta[1]).all(axis=1).any()


def test_golden_hash_of_stream_version_2() -> None:
    """Draws of every method and a few steps of every family; a change of any bit needs a new STREAM_VERSION."""
    assert STREAM_VERSION == 3
    digest = hashlib.sha256()
    for n, b in [(20, 1), (20, 3), (1000, 8), (1000, 32), (200_000, 40), (1_100_000, 70), (66, 65)]:
        for design in (0, 1):
            out = np.zeros((3, 40, b), np.uint32)
            draw_batches(n, b, design, U(5), U(7), U(2**32 - 20), 1, out)
            digest.update(out.tobytes())
    x = (np.arange(60 * 11) % 37 - 18).reshape(60, 11) / 16
    y = (np.arange(60) % 3 == 0) * 1.0
    pool, centre, etas = pack_pool(x, y), np.linspace(-1, 1, 11), np.full((2, 50), 0.05)
    for family in (LINEAR, LOGISTIC, POISSON, PROBIT):
        delta = np.stack([np.full((3, 11), 0.125), np.full((3, 11), -0.25)])
        advance_glm(delta, centre, pool, 60, RIDGE, family, 9, 0, etas, U(1), U(2), U(3), 1)
        digest.update(delta.tobytes())
    assert digest.hexdigest()[:16] == "398d84136dae1ffd"


def test_the_level_that_rows_are_asked_into_changes_no_bit(monkeypatch) -> None:
    for b in (2, 9):
        found = []
        for second, level in ((2**30, caches.FIRST), (2**15, caches.SECOND)):
            monkeypatch.setattr(caches, "second_level", lambda second=second: second)
            case = Case(600, 20)
            assert caches.level_of(case.pool) == level and caches.level_of(case.pool[:4096]) == caches.NOT
            found.append(case.advance(LOGISTIC, b, 0))
        assert np.array_equal(*found)

"""Sums over batches before a run against plain loops; a check that takes long ends, and says what it would take."""

from collections import Counter

import numpy as np
import pytest
import user_designs
from fastsgd.kernels.pilot_batches import accumulate, tally
from user_designs import tables

from fastsgd.errors import SpecError
from fastsgd.problems import own_design, own_design_check
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

PARTS, EACH, N, PITCH = 3, 7, 23, 6
RNG = np.random.default_rng(4)
SIZE = RNG.integers(0, PITCH + 1, (PARTS, EACH))
INDEX = RNG.integers(0, N, (PARTS, EACH, PITCH)).astype(np.uint32)
WEIGHT = RNG.normal(size=(PARTS, EACH, PITCH))
BATCHES = np.uint64(PITCH), INDEX.ravel(), WEIGHT.ravel(), SIZE


def batch(p, i):
    size = SIZE[p, i]
    return [int(k) for k in INDEX[p, i, :size]], WEIGHT[p, i, :size]


def test_errors_of_batch_means_are_those_of_plain_sums():
    values = RNG.normal(size=(N, 3))
    centre = values.mean(axis=0)
    sums, products, drawn = np.zeros((PARTS, 3)), np.zeros((PARTS, 3, 3)), np.zeros(N, np.uint8)
    accumulate(PARTS, values, centre, *BATCHES, sums, products, drawn)
    seen = set()
    for p in range(PARTS):
        errors = np.array([w @ values[k] - centre for k, w in (batch(p, i) for i in range(EACH))])
        assert np.allclose(sums[p], errors.sum(axis=0), rtol=1e-12, atol=1e-12)
        assert np.allclose(products[p], np.tril(errors.T @ errors), rtol=1e-12, atol=1e-12)
        seen.update(*(batch(p, i)[0] for i in range(EACH)))
    assert sorted(seen) == np.flatnonzero(drawn).tolist()


@pytest.mark.parametrize("bins", [N, 5])
def test_counts_are_those_of_plain_loops(bins):
    counts, squares = np.zeros((PARTS, 2, bins)), np.zeros((PARTS, 2, bins))
    repeated = np.zeros(PARTS, np.int64)
    tally(PARTS, N, bins, *BATCHES, counts, squares, repeated)
    for p in range(PARTS):
        number, weight = np.zeros((EACH, bins)), np.zeros((EACH, bins))
        again = 0
        for i in range(EACH):
            index, weights = batch(p, i)
            again += any(count > 1 for count in Counter(index).values())
            for k, w in zip(index, weights, strict=True):
                number[i, k * bins // N] += 1
                weight[i, k * bins // N] += w
        for j, values in enumerate((number, weight)):
            assert np.allclose(counts[p, j], values.sum(axis=0), rtol=1e-12, atol=1e-12)
            assert np.allclose(squares[p, j], (values**2).sum(axis=0), rtol=1e-12, atol=1e-12)
        assert repeated[p] == again
    assert 0 < repeated.sum() < PARTS * EACH


def test_a_pilot_that_would_take_long_is_refused(tmp_path, monkeypatch):
    folder = user_designs.make(tmp_path)
    monkeypatch.setattr(own_design_check, "_LONGEST", 0.0)
    monkeypatch.setattr(own_design_check, "_PATIENCE", 0.0)
    monkeypatch.setattr(own_design, "_checked", [])
    with pytest.raises(
        SpecError, match=r"sampling\.pilot is required .* ms a batch; give sampling\.pilot = 1024 or more"
    ):
        load_spec(tables(folder, "systematic"))
    load_spec(tables(folder, "systematic", pilot=1024))
    load_spec(tables(folder, "right"))


def test_what_is_found_does_not_depend_on_how_it_is_cut(tmp_path, monkeypatch):
    folder, found = user_designs.make(tmp_path), []
    spec = load_spec(tables(folder, "learnt", pilot=2048))
    from fastsgd import plan

    for at_once in (2**20, 200):
        monkeypatch.setattr(own_design, "_AT_ONCE", at_once)
        monkeypatch.setattr(own_design, "_covariances", {})
        found.append(plan.resolve_arm(spec).problem.arrays["design_parts"])
    assert np.array_equal(*found)

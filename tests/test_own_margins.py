"""Own gradients that run along the rows of the pool: the user's own Python, sample after sample, to rounding."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fastsgd.kernels.lane_rows import LANE_ROWS
from fastsgd.kernels.lane_source import Unfit
from fastsgd.kernels.own import POOL, Functions, make
from fastsgd.kernels.own_rewrite import Rewriting
from margin_code import ALONG, TURNED, intercept, loops, scale, survival
from numba import types
from numba.core.errors import TypingError

from fastsgd.problems.own import OwnStepper
from fastsgd.problems.own_code import Code
from fastsgd.problems.pilot import Pilot

SEED = 11
ETAS = np.array([[0.05] * 6 + [0.02] * 3, [0.03] * 9])
ROUNDING = 1e-13  # of the largest number: 9 steps of up to 16 samples and 17 features are below 500 roundings


def pilot_of(gradient, samples, how="margins"):
    code = Code(gradient, None, None, f"{how} {gradient.__name__}", "here")
    kernels = make(POOL, code.key, Functions(gradient), lanes=how == "margins")
    return Pilot(
        code=code, kernels=kernels, params=np.zeros(0), samples=samples, counts=np.zeros(3, np.int64), size=len(samples)
    )


def pool(gradient, d):
    rng = np.random.default_rng(d)
    width = d + {"survival": 2, "intercept": 0, "scale": 0}.get(gradient.__name__, 1)
    samples = rng.normal(size=(60, width))
    samples[:, -1] = rng.random(60) < 0.5
    return samples, 0.3 * rng.normal(size=d), 0.2 * rng.normal(size=(2, 5, d))


def arm_of(batch):
    return SimpleNamespace(batch=batch, draws=None, design="without-replacement", coefficient=None)


def moved(pilot, optimum, start, batch, first=0):
    delta = start.copy()
    OwnStepper(pilot, optimum, [arm_of(batch)]).advance(delta, ETAS, SEED, first, 0)
    return delta


def plain(gradient, samples, optimum, start, batch):
    """One sample after another, by the function as it was written."""
    from fastsgd.problems.batches import EqualSampler

    delta, (arms, replicates, d), steps = start.copy(), start.shape, ETAS.shape[1]
    sampler = EqualSampler(len(samples), batch, "without-replacement")
    (part,) = sampler.walk(replicates, steps, SEED, 0, 0, 1)
    index = part.indices[: replicates * steps * batch].reshape(replicates, steps, batch)
    for a in range(arms):
        for r in range(replicates):
            for k in range(steps):
                total = np.zeros(d)
                for i in index[r, k]:
                    out = np.full(d, np.nan)
                    gradient(optimum + delta[a, r], samples[i].copy(), out)
                    total += out
                delta[a, r] -= ETAS[a, k] * (total / batch)
    return delta


def distance(a, b):
    return np.max(np.abs(a - b)) / np.max(np.abs(b))


@pytest.mark.parametrize("gradient", [*ALONG, *TURNED], ids=lambda g: g.__name__)
def test_which_gradients_have_the_form(gradient):
    def found():
        return Rewriting(8, rows=True).function(gradient, (False, True, True))

    if gradient in ALONG:
        assert callable(found())
    else:
        with pytest.raises((Unfit, TypingError)):
            found().compile((types.Array(types.float64, 1, "C"), LANE_ROWS))


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ALONG, ids=lambda g: g.__name__)
def test_the_steps_are_those_of_the_function_as_written(gradient):
    d, batch = (3, 7) if gradient in (intercept, scale) else (17, 16)
    samples, optimum, start = pool(gradient, d)
    expected = plain(gradient, samples, optimum, start, batch)
    pilot = pilot_of(gradient, samples)
    _, advance = pilot.kernels.lanes(batch, False, samples.shape[1], d)
    assert "own_margins" in advance.__module__
    assert distance(moved(pilot, optimum, start, batch), expected) < ROUNDING
    wrong = replace(pilot, samples=samples * (1.0 + 1e-9))
    assert distance(moved(wrong, optimum, start, batch), expected) > ROUNDING  # control


@pytest.mark.slow
def test_bits_do_not_depend_on_what_is_side_by_side():
    samples, optimum, start = pool(loops, 17)
    pilot = pilot_of(loops, samples)
    together = moved(pilot, optimum, start, 7)
    for r in range(start.shape[1]):
        alone = moved(pilot, optimum, np.ascontiguousarray(start[:, r : r + 1]), 7, first=r)
        assert np.array_equal(alone[:, 0], together[:, r])


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 7, 8, 40, 71])
def test_rows_of_every_number_of_cache_lines(d):
    samples, optimum, start = pool(loops, d)
    found = moved(pilot_of(loops, samples), optimum, start, 9)
    assert distance(found, plain(loops, samples, optimum, start, 9)) < 5 * ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [loops, survival], ids=lambda g: g.__name__)
def test_nothing_beside_what_a_gradient_reads_counts(gradient):
    samples, optimum, start = pool(gradient, 17)
    expected = plain(gradient, samples, optimum, start, 16)
    pilot = pilot_of(gradient, samples)
    (n, p), width = samples.shape, pilot.packed.shape[1]
    memory = np.full((n + 2) * width, np.nan)
    skip = (-memory.ctypes.data // 8) % 8
    rows = memory[skip : skip + n * width].reshape(n, width)
    rows[:, :p] = samples
    pilot.__dict__["packed"] = rows
    assert distance(moved(pilot, optimum, start, 16), expected) < ROUNDING
    rows[-1, p - 1] = np.nan  # control: the last number of the last sample is read
    assert not distance(moved(pilot, optimum, start, 16), expected) < ROUNDING


@pytest.mark.slow
def test_batches_of_different_sizes_and_weights(tmp_path):
    from own_code import make as folder_of
    from own_code import moved as moved_arm
    from own_code import resolved

    folder_of(tmp_path)
    own = {"kind": "code.py:logistic", "dimension": 3, "data": {"file": "pool.npy"}}
    for design in ("bernoulli", "stratified"):
        strata = {"strata": {"column": "0", "groups": 3}, "allocation": "neyman"}
        more = strata if design == "stratified" else {}
        arm, problem = resolved(tmp_path, own, design=design, batch=9, **more)
        pilot = problem.pilot
        slow = make(POOL, pilot.code.key, Functions(pilot.code.gradient), lanes=False)
        one = moved_arm(arm, arms=2, pilot=replace(pilot, kernels=slow))
        assert distance(moved_arm(arm, arms=2), one) < ROUNDING


@pytest.mark.slow
def test_pairs_of_long_rows_have_the_bits_of_one_sample_after_another():
    samples, optimum, start = pool(loops, 70)
    found = [moved(pilot_of(loops, samples, how), optimum, start, 2) for how in ("margins", "one at a time")]
    assert np.array_equal(*found) and not np.array_equal(found[0], start)

"""Normals: bits against the slow reference, accuracy against high precision, moments and independence of many draws."""

import mpmath
import numpy as np
import pytest
from fastsgd.kernels._jit import LANES, jit
from fastsgd.kernels.elementary import log, sincos_quarter
from fastsgd.kernels.normal import box_muller, normals
from fastsgd.kernels.philox import PURPOSE_NOISE
from fastsgd.kernels.vector import load, store
from reference_normal import normals as slow_normals
from scipy import stats

U = np.uint64


@jit
def _log(x, out):
    for i in range(0, x.size, 8):
        store(out, U(i), log(load(x, U(i), 8)))


@jit
def _sincos(x, sine, cosine):
    for i in range(0, x.size, 8):
        s, c = sincos_quarter(load(x, U(i), 8))
        store(sine, U(i), s)
        store(cosine, U(i), c)


@jit
def _box_muller(words, out):
    a, b = box_muller(load(words, U(0), 8), load(words, U(8), 8), load(words, U(16), 8), load(words, U(24), 8))
    store(out, U(0), a)
    store(out, U(8), b)


def draw(seed, replicate, step, count):
    """Normals [count, LANES] of LANES replicates."""
    out = np.empty((count + 1) // 2 * 2 * LANES)
    normals(U(seed), PURPOSE_NOISE, U(replicate), U(step), U(count), out)
    return out.reshape(-1, LANES)[:count]


def ulps(got, exact):
    return max(
        abs(mpmath.mpf(float(g)) - e) / mpmath.mpf(float(np.spacing(abs(float(e)))))
        for g, e in zip(got, exact, strict=True)
    )


@pytest.mark.parametrize(("seed", "replicate", "step"), [(0, 0, 0), (20261123, 5, 7), (2**64 - 1, 2**39, 2**47 + 3)])
def test_bits_equal_reference(seed, replicate, step):
    got = draw(seed, replicate, step, 7)
    for lane in (0, 1, LANES - 1):
        assert got[:, lane].tolist() == slow_normals(seed, "noise", replicate + lane, step, 7)


def test_prefix_of_a_longer_draw():
    assert np.array_equal(draw(3, 0, 9, 40)[:11], draw(3, 0, 9, 11))


def test_log_is_accurate_everywhere_it_is_used():
    rng = np.random.default_rng(1)
    x = np.concatenate([
        rng.uniform(0, 1, 400), 1.0 - 2.0**-52 * rng.integers(0, 2**20, 200), 2.0 ** -rng.uniform(0, 52, 200),
        [1.0, 2.0**-52, np.nextafter(1.0, 0.0), 0.5, np.sqrt(0.5), np.nextafter(np.sqrt(0.5), 0), 0.75, 0.25],
    ])  # fmt: skip
    out = np.empty_like(x)
    _log(x, out)
    with mpmath.workdps(40):
        exact = [mpmath.log(mpmath.mpf(float(v))) for v in x]
        inner = [(g, e) for g, e in zip(out, exact, strict=True) if e != 0]
        assert ulps(*zip(*inner, strict=True)) < 0.8
    assert out[x == 1.0].tolist() == [0.0]


def test_sine_and_cosine_are_accurate():
    x = np.concatenate(
        [np.random.default_rng(2).uniform(-0.5, 0.5, 792), [-0.5, 0.5, 0.0, 1e-8, -1e-8, 0.25, -0.25, 0.4999]]
    )
    sine, cosine = np.empty_like(x), np.empty_like(x)
    _sincos(x, sine, cosine)
    with mpmath.workdps(40):
        angle = [mpmath.pi * mpmath.mpf(float(v)) / 2 for v in x]
        assert ulps(cosine, [mpmath.cos(a) for a in angle]) < 1.0
        pairs = [(g, mpmath.sin(a)) for g, a in zip(sine, angle, strict=True) if a != 0]
        assert ulps(*zip(*pairs, strict=True)) < 1.5


def test_extreme_words():
    """All zeros, all ones: the ends of the range, and finite."""
    words = np.zeros(32, dtype=U)
    out = np.empty(16)
    _box_muller(words, out)
    assert out[0] == 0.0
    words[:] = U(0xFFFFFFFF)
    _box_muller(words, out)
    assert np.isfinite(out).all()
    assert np.hypot(out[0], out[8]) == pytest.approx(np.sqrt(104 * np.log(2)), rel=1e-12)


def sample(steps=2000, count=50):
    return np.stack([draw(11, 0, k, count) for k in range(steps)])  # [step, draw, replicate]


def test_distribution_and_moments():
    z = sample().ravel()
    n = z.size
    # Sample moments of n standard normals have variances 1/n, 2/n, 15/n, 96/n; 5 standard errors: 6e-7 false alarms.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - mean) < 5 * np.sqrt(variance / n)
    assert stats.kstest(z[:400_000], "norm").pvalue > 1e-4
    # Control: the same tests see a scale that is 1 % off.
    assert abs(np.mean((1.01 * z) ** 2) - 1) > 5 * np.sqrt(2 / n)
    assert stats.kstest(1.02 * z[:400_000], "norm").pvalue < 1e-4


def test_no_correlation_between_draws_steps_and_replicates():
    z = sample()
    n = z[:-1].size
    pairs = {
        "steps": np.mean(z[1:] * z[:-1]),
        "draws": np.mean(z[:, 1:] * z[:, :-1]),
        "replicates": np.mean(z[..., 1:] * z[..., :-1]),
        "squares": np.mean((z[:, 1:] ** 2 - 1) * (z[:, :-1] ** 2 - 1)) / 2,
    }
    for name, value in pairs.items():
        assert abs(value) < 5 / np.sqrt(0.9 * n), name
    # Control: a stream that leaks 1 % of its neighbour is seen.
    assert abs(np.mean((z[1:] + 0.01 * z[:-1]) * z[:-1])) > 5 / np.sqrt(0.9 * n)


def test_tails():
    z = sample().ravel()
    for edge in (2.0, 3.0, 4.0):
        chance = 2 * stats.norm.sf(edge)
        assert abs(np.mean(np.abs(z) > edge) - chance) < 5 * np.sqrt(chance / z.size)

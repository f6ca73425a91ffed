"""Normals in single precision: bits against the slow reference, accuracy, the moments of their law, and of many draws."""

import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from fastsgd.kernels._jit import LANES, uncached
from fastsgd.kernels.normal_single import direction, normals_single, radius
from fastsgd.kernels.philox import PURPOSE_SINGLE
from fastsgd.kernels.vector import load, low_halves, store, widened
from reference_normal_single import normals as slow_normals
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from verification import normals as law

U = np.uint64
EDGES = (0, 1, 2, 3, 2**23, 2**24 + 1, 2**30, 2**31 - 1, 2**31, 2**31 + 1, 3 * 2**30, 2**32 - 2, 2**32 - 1)


@uncached
def _parts(words, r, x, y):
    for i in range(U(0), U(words.size), U(8)):
        word = low_halves(load(words, i, 8))
        a, b = direction(word)
        store(r, i, widened(radius(word)))
        store(x, i, widened(a))
        store(y, i, widened(b))


def parts(words):
    """Radius and the two coordinates of the direction that each word gives."""
    given = np.resize(np.asarray(words, dtype=U), -(-len(words) // 8) * 8)
    found = [np.empty(given.size) for _ in range(3)]
    _parts(given, *found)
    return [values[: len(words)] for values in found]


def draw(seed, replicate, step, count):
    """Normals [count, LANES] of LANES replicates."""
    out = np.empty((count + 3) // 4 * 4 * LANES)
    normals_single(U(seed), PURPOSE_SINGLE, U(replicate), U(step), U(count), out)
    return out.reshape(-1, LANES)[:count]


@pytest.mark.parametrize(("seed", "replicate", "step"), [(0, 0, 0), (20261123, 5, 7), (2**64 - 1, 2**39, 2**47 + 3)])
def test_bits_equal_reference(seed, replicate, step):
    got = draw(seed, replicate, step, 11)
    for lane in (0, 1, LANES // 2, LANES - 1):
        assert got[:, lane].tolist() == slow_normals(seed, "single", replicate + lane, step, 11)


def test_prefix_of_a_longer_draw():
    assert np.array_equal(draw(3, 0, 9, 40)[:11], draw(3, 0, 9, 11))


def sample_words():
    """The ends of the range, words near them on every scale, and words from all over."""
    rng = np.random.default_rng(1)
    near = (2.0 ** rng.uniform(0, 31, 1500)).astype(np.int64)
    return np.concatenate([EDGES, near, 2**32 - near, 2**31 - near, 2**31 + near, rng.integers(0, 2**32, 2000)]) % 2**32


@pytest.mark.slow
def test_radius_is_accurate_from_end_to_end():
    """Against the uniform number that a word stands for, in high precision: both ends of (0, 1) keep all digits."""
    words = sample_words()
    got = parts(words)[0]
    with mpmath.workdps(40):
        place = [mpmath.mpf(2 * (w - 2**32 * (w >> 31)) + 1) / 2**33 for w in words.tolist()]
        exact = [mpmath.sqrt(-2 * (mpmath.log(t) if t > 0 else mpmath.log1p(t))) for t in place]
        worst = max(abs(mpmath.mpf(g) / e - 1) for g, e in zip(got.tolist(), exact, strict=True))
    assert worst < law.RADIUS
    assert np.array_equal(got, got.astype(np.float32))
    assert got.max() == pytest.approx(np.sqrt(66 * np.log(2)), rel=1e-7)
    assert got.min() == pytest.approx(2.0**-16, rel=1e-7)


def test_directions_are_accurate_and_in_every_octant():
    words = sample_words()
    x, y = parts(words)[1:]
    with mpmath.workdps(40):
        for word, a, b in zip(words.tolist(), x.tolist(), y.tolist(), strict=True):
            place = (word | 3) ^ 1
            angle = mpmath.pi * (place - 2**32 * (place >> 31)) / 2**33
            cosine, sine = mpmath.cos(angle) * (-1) ** (word & 1), mpmath.sin(angle)
            exact = (sine, cosine) if word & 2 else (cosine, sine)
            assert max(abs(mpmath.mpf(g) / e - 1) for g, e in zip((a, b), exact, strict=True)) < law.DIRECTION
    octants = (x > 0) * 4 + (y > 0) * 2 + (np.abs(x) > np.abs(y))
    assert len(set(octants.tolist())) == 8


def sample(steps=3000, count=64):
    return np.stack([draw(11, 0, k, count) for k in range(steps)])  # [step, draw, replicate]


@pytest.mark.slow
def test_distribution_and_moments_to_order_eight():
    z = sample().ravel()
    n = z.size

    def scores(z):
        # Var z^k = E z^2k - (E z^k)^2: the standard error of each mean is known.
        even = {k: float(np.prod(np.arange(1, k, 2))) for k in range(0, 17, 2)}
        mean = {k: even.get(k, 0.0) for k in range(1, 9)}
        power, found = np.ones_like(z), []
        for k in mean:
            power = power * z
            found.append((power.mean() - mean[k]) / np.sqrt((even[2 * k] - mean[k] ** 2) / n))
        return found

    assert np.abs(scores(z)).max() < 5
    assert stats.kstest(z[:400_000], "norm").pvalue > 1e-4
    edges = np.concatenate([[-np.inf], np.arange(-4.25, 4.5, 0.25), [np.inf]])
    expected = np.diff(stats.norm.cdf(edges)) * n
    assert expected.min() > 10
    assert stats.chisquare(np.histogram(z, edges)[0], expected).pvalue > 1e-4
    # Control: the same tests see a scale that is 1 % off, and the bins a tail that ends at four.
    assert np.abs(scores(1.01 * z)).max() > 5
    assert stats.kstest(1.02 * z[:400_000], "norm").pvalue < 1e-4
    assert stats.chisquare(np.histogram(np.clip(z, -4, 4), edges)[0], expected).pvalue < 1e-4


def test_the_four_of_a_block_are_independent():
    z = sample().reshape(-1, 4, LANES).transpose(1, 0, 2).reshape(4, -1)
    n = z.shape[1]

    def worst(z):
        pairs = [(i, j) for i in range(4) for j in range(i)]
        plain = [np.mean(z[i] * z[j]) for i, j in pairs]
        squares = [np.mean((z[i] ** 2 - 1) * (z[j] ** 2 - 1)) / 2 for i, j in pairs]
        return np.abs(np.array(plain + squares)).max() * np.sqrt(n)

    assert worst(z) < 5
    # All sixteen combinations of signs, and of small and large, are as frequent as each other.
    for below in (z < 0, np.abs(z) < stats.norm.ppf(0.75)):
        number = below[0] + 2 * below[1] + 4 * below[2] + 8 * below[3]
        assert stats.chisquare(np.bincount(number, minlength=16)).pvalue > 1e-4
    # Control: one of the four that leaks one percent of another is seen.
    assert worst(np.vstack([z[:3], z[3:] + 0.01 * z[:1]])) > 5


def test_no_correlation_between_steps_and_replicates():
    z = sample()
    n = z[:-1].size
    for value in (np.mean(z[1:] * z[:-1]), np.mean(z[..., 1:] * z[..., :-1]), np.mean(z[:, 4:] * z[:, :-4])):
        assert abs(value) < 5 / np.sqrt(0.9 * n)


@pytest.mark.slow
def test_errors_of_a_great_many_words():
    """Against double precision; `scripts/verify normals` does all. 67 is odd: every quadrant and both ends of u."""
    radius, direction = law.errors(stride=67)
    assert 2.0**-24 < radius < law.RADIUS
    assert 2.0**-24 < direction < law.DIRECTION


@pytest.mark.slow
def test_moments_of_the_law_are_those_of_a_normal_to_the_last_rounding():
    """Over all words. The control is a law that ends where |z| does, at one sigma less: its eighth moment is seen."""
    found, largest = law.moments()
    assert largest == parts([0])[0][0] < 6.7638
    for order in law.ORDERS:
        share = found[order] / law.normal_moment(order) - 1
        assert abs(share) < law.rounding(order), order
    cut = 2 * stats.norm.expect(lambda z: z**8, lb=largest - 1, ub=40)
    assert cut / 105 > law.rounding(8)

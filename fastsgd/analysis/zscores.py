"""From a statistic and its distribution under the prediction to an equivalent normal z.

Each function maps through the distribution, z = Phi^-1(P(X <= x)), so that a two-sided normal test of z has the stated
false-alarm rate also when X is skewed (few replicates, few dimensions). Far tails are evaluated by Barndorff-Nielsen's
r* = r + log(v / r) / r, which stays finite and monotone where a probability underflows. A z never exceeds `Z_LIMIT`.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Z_LIMIT = 1e6
NEAR_CENTRE = 0.02


def clip(z: float) -> float:
    """z limited to [-Z_LIMIT, Z_LIMIT]; an impossible value (infinite z) becomes the limit."""
    return max(-Z_LIMIT, min(Z_LIMIT, z))


def cornish_fisher(delta: float, skewness: float, excess: float) -> float:
    """Normal z of a standardised value near the centre (|delta| << 1), from skewness and excess kurtosis."""
    z = delta - skewness / 6 * (delta * delta - 1) - excess / 24 * (delta**3 - 3 * delta)
    return z + skewness * skewness / 36 * (4 * delta**3 - 7 * delta)


def r_star(r: float, v: float) -> float:
    """Barndorff-Nielsen's r* (both arguments of the sign of the deviation, away from 0)."""
    return r + math.log(v / r) / r


def z_gamma(shape: float, x: float) -> float:
    """z of x >= 0 under the gamma distribution with mean 1 and variance 1/shape (chi2_k / k: shape k/2); exact."""
    if x <= 0:
        x = 1e-300
    lower, upper = special.gammainc(shape, shape * x), special.gammaincc(shape, shape * x)
    if min(lower, upper) > 1e-280:
        return float(-special.ndtri(upper) if upper < lower else special.ndtri(lower))
    excess = x - 1 - math.log(x) if math.isfinite(x) else math.inf
    if not math.isfinite(excess):
        return Z_LIMIT
    sign = 1.0 if x > 1 else -1.0
    return clip(r_star(sign * math.sqrt(2 * shape * excess), math.sqrt(shape) * (x - 1)))


def z_pearson3(delta: float, skewness: float) -> float:
    """z of a standardised value under the shifted gamma with mean 0, variance 1 and the given skewness.

    Exact for a gamma variable; a three-moment approximation for weighted sums of chi-squares.
    """
    if skewness < 0:
        return -z_pearson3(-delta, -skewness)
    if skewness < 1e-6:
        return clip(delta)
    shape = 4 / skewness**2
    return z_gamma(shape, 1 + delta / math.sqrt(shape))


def z_student(t: float, degrees: float) -> float:
    """z of a Student t value (Wallace's approximation: relative error below 0.4 % for degrees >= 9)."""
    z = math.sqrt(degrees * math.log1p(t * t / degrees)) * (8 * degrees + 1) / (8 * degrees + 3)
    return clip(math.copysign(z, t))


def z_sample_mean(values: NDArray[np.float64], expected: float) -> tuple[float, float]:
    """(standard error, z) of the mean of values[R] against `expected`, nothing assumed but independence.

    Hall's (1992) monotone cubic transformation removes the skewness from the Student statistic. Needs R >= 2.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"a sample standard error needs at least 2 values, got {n}")
    unit = float(np.max(np.abs(values))) or 1.0
    scaled = values / unit
    mean, sd = float(np.mean(scaled)), float(np.std(scaled, ddof=1))
    error = sd / math.sqrt(n)
    if error <= 1e-15:
        return 0.0, z_exact(mean * unit, expected)
    t = (mean - expected / unit) / error
    g = float(np.mean(((scaled - mean) / sd) ** 3)) / math.sqrt(n)
    return error * unit, z_studentised(t, g, n - 1)


def z_studentised(t: float, skewness: float, degrees: float) -> float:
    """z of a Student statistic t of a mean of the given skewness, by Hall's (1992) monotone cubic transformation."""
    if abs(t) > Z_LIMIT:
        return clip(t)
    g = skewness
    return z_student(t + g * (t * t / 3 + 1 / 6) + g * g * t**3 / 27, degrees)


def z_exact(value: float, expected: float, floor: float = 0.0) -> float:
    """z of a value whose predicted variance is zero, in units of rounding: 1e-10 relative, `floor` absolute."""
    unit = 1e-10 * abs(expected) + floor
    if value == expected:
        return 0.0
    return clip((value - expected) / unit) if unit > 0 else math.copysign(Z_LIMIT, value - expected)

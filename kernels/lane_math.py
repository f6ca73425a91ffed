"""Elementary functions of a user's code on vectors of doubles, over the whole range of a double and with no libm.

Errors are in units in the last place, measured in tests/test_lane_math.py. NaN gives NaN.
"""

import numpy as np

from . import elementary
from ._jit import inline
from .elementary import SHIFT, exp_reduced, power_of_two
from .vector import absolute, as_double, as_words, fma, select

_SIGN = np.uint64(0x8000000000000000)
_NORMAL = 2.2250738585072014e-308
_2_54 = 18014398509481984.0
_LN_2_54 = 37.42994775023705
_INFINITY = np.inf
_NAN = np.nan


@inline
def exp(x):
    """exp(x); error below 1."""
    held = select(x > 710.0, 710.0, select(x < -746.0, -746.0, x))
    shifted, p = exp_reduced(held)
    # In two factors, since 2^k need not be a normal number.
    k = shifted - SHIFT
    half = fma(k, 0.5, SHIFT)
    return (p + 1.0) * power_of_two(half) * power_of_two(k - (half - SHIFT) + SHIFT)


@inline
def expm1(x):
    """exp(x) - 1; error below 2."""
    held = select(x > 600.0, 600.0, select(x < -40.0, -40.0, x))
    shifted, p = exp_reduced(held)
    two = power_of_two(shifted)
    return select(x > 600.0, exp(x), fma(two, p, two - 1.0))


@inline
def log(x):
    """Natural logarithm; error below 1 (subnormal numbers: 2)."""
    tiny = x < _NORMAL
    value = elementary.log(select(tiny, x * _2_54, x))
    value = select(tiny, value - _LN_2_54, value)
    value = select(x == 0.0, -_INFINITY, select(x < 0.0, _NAN, value))
    return select(x < _INFINITY, value, x)


@inline
def log1p(x):
    """log(1 + x); error below 2."""
    u = x + 1.0
    lost = select(x < 1.0, x - (u - 1.0), 1.0 - (u - x))
    value = log(u) + lost / u
    return select(u > 0.0, select(u < _INFINITY, value, x), log(u))


@inline
def tanh(x):
    """Hyperbolic tangent; error below 4."""
    size = absolute(x)
    e = expm1(select(size > 22.0, 44.0, size + size))
    value = e / (e + 2.0)
    return as_double(as_words(value) | (as_words(x) & _SIGN))


@inline
def minimum(a, b):
    """The smaller one; NaN if one of them is."""
    return select(a < b, a, select(a == a, b, a))


@inline
def maximum(a, b):
    """The larger one; NaN if one of them is."""
    return select(a > b, a, select(a == a, b, a))

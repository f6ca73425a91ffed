"""Elementary functions of a user's code on vectors of doubles, over the whole range of a double and with no libm.

Errors are in units in the last place, measured in tests/test_lane_math.py. NaN gives NaN.
"""

import numpy as np

from . import elementary
from ._jit import inline
from .vector import absolute, as_double, as_words, fma, select

_LOG2E = 1.4426950408889634
_LN2_HIGH = 0.6931471803691238  # 33 bits, so that k * _LN2_HIGH is exact
_LN2_LOW = 1.9082149292705877e-10
_SHIFT = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits
_BIAS = np.uint64(1023)
_52 = np.uint64(52)
_SIGN = np.uint64(0x8000000000000000)
_NORMAL = 2.2250738585072014e-308
_2_54 = 18014398509481984.0
_LN_2_54 = 37.42994775023705
_INFINITY = np.inf
_NAN = np.nan


@inline
def _reduced(x):
    """(k, p) with exp(x) = 2^k (1 + p), k an integer as a double."""
    k = fma(x, _LOG2E, _SHIFT) - _SHIFT
    r = fma(k, -_LN2_LOW, fma(k, -_LN2_HIGH, x))
    q = fma(r, 2.5100375929185925e-08, 2.762007600563138e-07)
    q = fma(r, q, 2.7557268480106926e-06)
    q = fma(r, q, 2.480152132210459e-05)
    q = fma(r, q, 0.00019841269863040675)
    q = fma(r, q, 0.001388888891719689)
    q = fma(r, q, 0.008333333333330065)
    q = fma(r, q, 0.041666666666624164)
    q = fma(r, q, 0.16666666666666669)
    q = fma(r, q, 0.5000000000000001)
    return k, fma(r * r, q, r)


@inline
def _power_of_two(k):
    """2^k for integers -1022 .. 1023 given as doubles."""
    return as_double((as_words(k + _SHIFT) + _BIAS) << _52)


@inline
def exp(x):
    """exp(x); error below 1."""
    held = select(x > 710.0, 710.0, select(x < -746.0, -746.0, x))
    k, p = _reduced(held)
    # In two factors, since 2^k need not be a normal number.
    half = fma(k, 0.5, _SHIFT) - _SHIFT
    return (p + 1.0) * _power_of_two(half) * _power_of_two(k - half)


@inline
def expm1(x):
    """exp(x) - 1; error below 2."""
    held = select(x > 600.0, 600.0, select(x < -40.0, -40.0, x))
    k, p = _reduced(held)
    two = _power_of_two(k)
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

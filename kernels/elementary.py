"""Elementary functions on vectors of doubles: the same bits on every CPU, no libm behind them.

Each step is correctly rounded (+ - * / sqrt fma) and the order is written out. Coefficients: scripts/coefficients.
"""

import numpy as np

from ._jit import inline
from .vector import as_double, as_words, exponent, fma

_LOG = (
    0.6666666666666734,
    0.39999999999414343,
    0.2857142874247136,
    0.22222198563735626,
    0.18183564858891624,
    0.15314035909787777,
    0.14796105847938532,
)
_TWICE_LOG = tuple(2.0 * c for c in _LOG)
_COS = (
    -1.2337005501361697,
    0.2536695079010469,
    -0.020863480763315442,
    0.0009192602742250169,
    -2.5202036991426026e-05,
    4.710615654225485e-07,
    -6.321892026782729e-09,
)
_SIN = (
    1.5707963267948966,
    -0.6459640975062443,
    0.07969262624604308,
    -0.004681754132342273,
    0.0001604411507521738,
    -3.5986433884509993e-06,
    5.6339385066888405e-08,
)
_EXP = (
    0.5000000000000001,
    0.16666666666666669,
    0.041666666666624164,
    0.008333333333330065,
    0.001388888891719689,
    0.00019841269863040675,
    2.480152132210459e-05,
    2.7557268480106926e-06,
    2.762007600563138e-07,
    2.5100375929185925e-08,
)
_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 with its last 21 bits zero, so that exponent * _LN2_HIGH is exact
_LN2_LOW = 1.90821492927058770002e-10

SHIFT = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer, which then stands in the low bits
_BIAS = np.uint64(1023)
_EXPONENT = np.uint64(52)
_MANTISSA = np.uint64(0x000FFFFFFFFFFFFF)
_SQRT_HALF_BITS = np.uint64(0x3FE6A09E667F3BCD)
_SQRT_HALF_SHIFT = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)  # moves sqrt(1/2) to the edge of a binade


@inline
def _seven(x, c):
    """c[0] + c[1] x + ... + c[6] x^6, by Horner's rule."""
    p = fma(x, c[6], c[5])
    p = fma(x, p, c[4])
    p = fma(x, p, c[3])
    p = fma(x, p, c[2])
    p = fma(x, p, c[1])
    return fma(x, p, c[0])


@inline
def log_begin(x):
    """First half of `log`, up to a division: other work may stand between the halves while it is under way."""
    bits = as_words(x)
    shifted = bits + _SQRT_HALF_SHIFT
    f = as_double((shifted & _MANTISSA) + _SQRT_HALF_BITS) - 1.0  # x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2)
    return exponent(as_double(shifted)), f, f / (f + 2.0)


@inline
def log_end(e, f, s):
    """Second half of `log`: from what `log_begin` returned."""
    z = s * s
    p = _seven(z, _LOG)
    half_square = (0.5 * f) * f
    tail = fma(s, fma(z, p, half_square), e * _LN2_LOW)
    return fma(e, _LN2_HIGH, f - (half_square - tail))


@inline
def minus_two_log_end(e, f, s):
    """-2 log x, from what `log_begin` returned: `log_end` with all sums doubled, which is exact and saves two operations."""
    z = s * s
    p = _seven(z, _TWICE_LOG)
    square = f * f
    tail = fma(s, fma(z, p, square), e * (2.0 * _LN2_LOW))
    return fma(-e, 2.0 * _LN2_HIGH, -fma(2.0, f, -(square - tail)))


@inline
def log(x):
    """Natural logarithm of positive, normal, finite doubles; error below 0.8 ulp (also next to 1)."""
    e, f, s = log_begin(x)
    return log_end(e, f, s)


@inline
def exp_reduced(x):
    """(k + SHIFT, p) with exp(x) = 2^k (1 + p), k an integer, for |x| < 746; error of the fit 1.3e-17."""
    shifted = fma(x, _LOG2E, SHIFT)
    k = shifted - SHIFT
    r = fma(k, -_LN2_LOW, fma(k, -_LN2_HIGH, x))
    q = fma(r, _EXP[9], _EXP[8])
    q = fma(r, q, _EXP[7])
    q = fma(r, q, _EXP[6])
    q = fma(r, q, _EXP[5])
    q = fma(r, q, _EXP[4])
    q = fma(r, q, _EXP[3])
    q = fma(r, q, _EXP[2])
    q = fma(r, q, _EXP[1])
    q = fma(r, q, _EXP[0])
    return shifted, fma(r * r, q, r)


@inline
def power_of_two(shifted):
    """2^k from k + SHIFT, k an integer of -1022 .. 1023."""
    return as_double((as_words(shifted) + _BIAS) << _EXPONENT)


@inline
def sincos_quarter(r):
    """sin and cos of pi r / 2 for |r| <= 1/2; error below 1 ulp."""
    t = r * r
    return r * _seven(t, _SIN), fma(t, _seven(t, _COS), 1.0)

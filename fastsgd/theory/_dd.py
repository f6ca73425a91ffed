"""Double-double arithmetic on arrays: a value is an unevaluated sum hi + lo of float64, about 32 digits.

Only + - * / are used, so results do not depend on the processor. Dekker (1971); Hida, Li and Bailey (2001).
Valid while no intermediate over- or underflows (magnitudes between 1e-140 and 1e140).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Pair = tuple[Array, Array]

_SPLITTER = 134217729.0  # 2^27 + 1
LN2: tuple[float, float] = (0.6931471805599453, 2.3190468138462996e-17)


def two_sum(a: ArrayLike, b: ArrayLike) -> Pair:
    """s + e == a + b exactly, s = fl(a + b)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    s = np.asarray(a + b)
    t = s - a
    return s, np.asarray((a - (s - t)) + (b - t))


def two_product(a: ArrayLike, b: ArrayLike) -> Pair:
    """p + e == a b exactly, p = fl(a b)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    p = np.asarray(a * b)
    ca, cb = _SPLITTER * a, _SPLITTER * b
    ah, bh = ca - (ca - a), cb - (cb - b)
    al, bl = a - ah, b - bh
    return p, np.asarray(((ah * bh - p) + ah * bl + al * bh) + al * bl)


def add(x: Pair, y: Pair) -> Pair:
    """x + y."""
    s, e = two_sum(x[0], y[0])
    t, f = two_sum(x[1], y[1])
    s, e = _quick(s, e + t)
    return _quick(s, e + f)


def multiply(x: Pair, y: Pair) -> Pair:
    """x y."""
    p, e = two_product(x[0], y[0])
    return _quick(p, e + (x[0] * y[1] + x[1] * y[0]))


def scale(x: Pair, factor: ArrayLike) -> Pair:
    """x times a float64 number or array."""
    p, e = two_product(x[0], factor)
    return _quick(p, e + x[1] * np.asarray(factor, np.float64))


def divide(x: Pair, y: Pair) -> Pair:
    """x / y."""
    q = x[0] / y[0]
    p = scale(y, q)
    r = add(x, (-p[0], -p[1]))
    return _quick(np.asarray(q), np.asarray((r[0] + r[1]) / y[0]))


def sqrt(x: Pair) -> Pair:
    """Square root of x > 0: one Newton step from the double root."""
    root = np.sqrt(x[0])
    p, e = two_product(root, root)
    rest = add(x, (-p, -e))
    return _quick(root, np.asarray((rest[0] + rest[1]) / (2.0 * root)))


def outer(operation: Callable[[Pair, Pair], Pair], x: Pair) -> Pair:
    """operation(x_i, x_j), float64[d, d]."""
    return operation((x[0][:, None], x[1][:, None]), (x[0][None, :], x[1][None, :]))


def _quick(a: Array, b: Array) -> Pair:
    s = np.asarray(a + b)
    return s, np.asarray(b - (s - a))


_RECIPROCALS = [Fraction(1, factorial(k)) for k in range(11)]
_INVERSE_FACTORIALS = [(float(q), float(q - Fraction(float(q)))) for q in _RECIPROCALS]


def exp(x: Pair) -> Pair:
    """e^x for |x| < 300, relative error about 1e-29: reduction by ln 2 and by 2^9, Taylor, squarings of e^r - 1."""
    n = np.rint(x[0] / LN2[0])
    product = two_product(n, LN2[0])
    r = add(add(x, (-product[0], -product[1])), (-n * LN2[1], np.zeros_like(n)))
    r = (r[0] / 512.0, r[1] / 512.0)
    total = (np.full_like(r[0], _INVERSE_FACTORIALS[10][0]), np.full_like(r[0], _INVERSE_FACTORIALS[10][1]))
    for hi, lo in reversed(_INVERSE_FACTORIALS[1:10]):
        total = add(multiply(total, r), (np.full_like(r[0], hi), np.full_like(r[0], lo)))
    total = multiply(total, r)
    for _ in range(9):  # (1 + t)^2 - 1 = 2 t + t^2
        square = multiply(total, total)
        total = add((2.0 * total[0], 2.0 * total[1]), square)
    total = add(total, (np.ones_like(r[0]), np.zeros_like(r[0])))
    exponent = n.astype(np.int64)
    return np.ldexp(total[0], exponent), np.ldexp(total[1], exponent)


def log(x: Array) -> Pair:
    """log x of positive float64: one Newton step y + (x e^-y - 1) from the double logarithm, error about 1e-30."""
    y = np.log(x)
    e = exp((-y, np.zeros_like(y)))
    product = scale(e, x)
    u = add(product, (-np.ones_like(y), np.zeros_like(y)))
    square = multiply(u, u)
    return add((y, np.zeros_like(y)), add(u, (-0.5 * square[0], -0.5 * square[1])))


def power(x: ArrayLike, exponent: float) -> Array:
    """x^exponent rounded to float64, x > 0: correctly rounded up to ties within 1e-14 of an ulp on every processor."""
    base = np.atleast_1d(np.asarray(x, np.float64))
    result = exp(scale(log(base), exponent))
    return result[0] + result[1]

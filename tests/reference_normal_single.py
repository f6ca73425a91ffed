"""Normals in single precision, one operation at a time in exact arithmetic rounded where the kernel rounds."""

import math
import struct
from fractions import Fraction

from fastsgd.kernels import normal_single as kernel
from reference_philox import block

F = Fraction


def nearest(x: Fraction) -> float:
    """x rounded to float32, ties to even. Normal range only."""
    if x == 0:
        return 0.0
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length()
    exponent -= abs(x) < F(2) ** exponent
    unit = F(2) ** (exponent - 23)
    return float(round(x / unit) * unit)


def fma(a: float, b: float, c: float) -> float:
    """a b + c, rounded once to float32."""
    return nearest(F(a) * F(b) + F(c))


def as_halves(x: float) -> int:
    return struct.unpack("<I", struct.pack("<f", x))[0]


def as_single(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def signed(word: int) -> int:
    return word - 2**32 if word >> 31 else word


def radius(word: int) -> float:
    t = fma(nearest(F(signed(word))), 2.0**-32, 2.0**-33)
    f, e = t, 0.0
    if t > 0:
        bits = as_halves(t)
        f = as_single((bits & 0x7FFFFF) | 0x3F000000) - 1.0
        e = float((bits >> 23) - 126)
    g = nearest(F(f) * F(f))
    sums = []
    for top in (9, 8):
        p = kernel._LOG[top]
        for power in range(top - 2, -1, -2):
            p = fma(g, p, kernel._LOG[power])
        sums.append(p)
    log1p = nearest(F(f) * F(fma(f, sums[0], sums[1])))
    return nearest(F(math.sqrt(fma(e, kernel._MINUS_2_LN2, log1p))))  # a double is long enough to round a root twice


def direction(word: int) -> tuple[float, float]:
    r = nearest(F(signed((word & ~3) | 2))) * 2.0**-32
    t = nearest(F(r) * F(r))
    c, s = kernel._COS[3], kernel._SIN[3]
    for power in (2, 1, 0):
        c, s = fma(t, c, kernel._COS[power]), fma(t, s, kernel._SIN[power])
    cosine, sine = fma(t, c, 1.0), nearest(F(r) * F(s))
    if word & 1:
        cosine = -cosine
    return (sine, cosine) if word & 2 else (cosine, sine)


def normals(seed: int, purpose: str, replicate: int, step: int, count: int) -> list[float]:
    """Normals 0 .. count - 1 of an address."""
    found: list[float] = []
    for number in range((count + 3) // 4):
        words = block(seed, purpose, replicate, step, number)
        for place in (0, 2):
            r = radius(words[place])
            found += [nearest(F(r) * F(x)) for x in direction(words[place + 1])]
    return found[:count]

"""Normals of one address, one operation at a time in exact arithmetic rounded where the kernel rounds."""

import math
import struct
from fractions import Fraction

from fastsgd.kernels import elementary
from reference_philox import block

LOW = 0xFFFFFFFF
ONE = 0x3FF0000000000000
MANTISSA = 0x000FFFFFFFFFFFFF


def fma(a: float, b: float, c: float) -> float:
    """a b + c, rounded once."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def as_double(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def as_words(x: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def log(x: float) -> float:
    bits = as_words(x)
    exponent = (bits + (ONE - 0x3FE6A09E667F3BCD)) >> 52
    f = as_double(bits - ((exponent - 1023) << 52)) - 1.0
    e = float(exponent - 1023)
    s = f / (f + 2.0)
    z = s * s
    p = elementary._LOG[6]
    for coefficient in elementary._LOG[5::-1]:
        p = fma(z, p, coefficient)
    half_square = (0.5 * f) * f
    tail = fma(s, fma(z, p, half_square), e * elementary._LN2_LOW)
    return fma(e, elementary._LN2_HIGH, f - (half_square - tail))


def sincos_quarter(r: float) -> tuple[float, float]:
    t = r * r
    c = elementary._COS[6]
    for coefficient in elementary._COS[5::-1]:
        c = fma(t, c, coefficient)
    s = elementary._SIN[6]
    for coefficient in elementary._SIN[5::-1]:
        s = fma(t, s, coefficient)
    return r * s, fma(t, c, 1.0)


def box_muller(w0: int, w1: int, w2: int, w3: int) -> tuple[float, float]:
    first, second = w0 | (w1 << 32), w2 | (w3 << 32)
    u = 2.0 - as_double((first >> 12) | ONE)
    radius = math.sqrt(-2.0 * log(u))
    sine, cosine = sincos_quarter(as_double(((second >> 10) & MANTISSA) | ONE) - 1.5)
    if second >> 63:
        cosine = -cosine
    if (second >> 62) & 1:
        sine, cosine = cosine, sine
    return radius * cosine, radius * sine


def normals(seed: int, purpose: str, replicate: int, step: int, count: int) -> list[float]:
    """Normals 0 .. count - 1 of an address."""
    found: list[float] = []
    for number in range((count + 1) // 2):
        found += box_muller(*block(seed, purpose, replicate, step, number))
    return found[:count]

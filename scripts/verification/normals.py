"""The law of normals in single precision, `normals = "single"`, from all 2^32 radii and all 2^32 directions that there are.

A normal is a radius times a coordinate of a direction. They are independent, so its moments are products of means over all
words; odd ones are zero by symmetry. The product is rounded to float32 once more, which can change an even moment of order
k by a share of k 2^-24 at most.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

HELP = "moments and accuracy of normals in single precision, over all words"

ORDERS = (2, 4, 6, 8)
RADIUS, DIRECTION = 1.8e-7, 1.75e-7  # no word has a larger relative error
WORDS = 2**32
CHUNK = 2**22


def normal_moment(order: int) -> int:
    """E z^order of a standard normal, for an even order."""
    return math.prod(range(1, order, 2))


def rounding(order: int) -> float:
    """By what share the rounding of the product can change E z^order at most."""
    return order * 2.0**-24


def moments() -> tuple[dict[int, float], float]:
    """E z^k of k in ORDERS before the product is rounded, and the largest radius; eight seconds of one core."""
    from fastsgd.kernels._jit import LANES, uncached
    from fastsgd.kernels.normal_single import direction, radius
    from fastsgd.kernels.vector import doubles, first_lane, lane_numbers, low_halves, reduce_add, select, widened

    @uncached
    def sums(first, last, out):
        zero = doubles(0.0, LANES)
        r2, r4, r6, r8, c2, c4, c6, c8, most = zero, zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(first, last, np.uint64(LANES)):
            words = low_halves(lane_numbers(LANES) + i)
            r, (x, y) = widened(radius(words)), direction(words)
            x, y = widened(x), widened(y)
            most = select(r > most, r, most)
            r, x, y = r * r, x * x, y * y
            r2, r4, r6, r8 = r2 + r, r4 + r * r, r6 + r * r * r, r8 + (r * r) * (r * r)
            c2, c4 = c2 + (x + y), c4 + (x * x + y * y)
            c6, c8 = c6 + (x * x * x + y * y * y), c8 + ((x * x) * (x * x) + (y * y) * (y * y))
        for k, total in enumerate((r2, r4, r6, r8, c2, c4, c6, c8)):
            out[k] = reduce_add(total)
        for lane in range(np.uint64(LANES)):
            out[8] = max(out[8], first_lane(most, lane))

    parts = np.zeros((WORDS // CHUNK, 9))
    for i, out in enumerate(parts):
        sums(np.uint64(i * CHUNK), np.uint64((i + 1) * CHUNK), out)
    means = [math.fsum(column) / WORDS for column in parts.T[:8]]
    found = {k: radius * both / 2 for k, radius, both in zip(ORDERS, means[:4], means[4:], strict=True)}
    return found, float(parts[:, 8].max())


def errors(stride: int = 1) -> tuple[float, float]:
    """Largest relative errors of radii and of coordinates of directions, over every stride-th word and the last."""
    from fastsgd.kernels._jit import LANES, uncached
    from fastsgd.kernels.elementary import log, sincos_quarter
    from fastsgd.kernels.normal_single import direction, radius
    from fastsgd.kernels.vector import (
        absolute,
        as_double,
        doubles,
        first_lane,
        lane_numbers,
        low_halves,
        select,
        sqrt,
        widened,
    )

    @uncached
    def worst(first, last, stride, out):
        radii, coordinates = doubles(0.0, LANES), doubles(0.0, LANES)
        for i in range(first, last, np.uint64(LANES)):
            places = (np.uint64(2**32) - np.uint64(1)) - (lane_numbers(LANES) + i) * stride
            words = low_halves(places)
            r, (x, y) = widened(radius(words)), direction(words)
            # The word as a signed integer, exactly, from the bits of a double between 2^52 and 2^53.
            signed = as_double((places ^ np.uint64(2**31)) | np.uint64(0x4330000000000000)) - (2.0**52 + 2.0**31)
            t = (signed + 0.5) * 2.0**-32
            exact = sqrt(-2.0 * log(select(t > 0.0, t, 1.0 + t)))
            error = absolute(r / exact - 1.0)
            radii = select(error > radii, error, radii)
            place = signed - as_double((places & np.uint64(3)) | np.uint64(0x4330000000000000)) + (2.0**52 + 2.0)
            sine, cosine = sincos_quarter(place * 2.0**-32)
            cosine = select((places & np.uint64(1)) != np.uint64(0), -cosine, cosine)
            turned = (places & np.uint64(2)) != np.uint64(0)
            for got, wanted in ((x, select(turned, sine, cosine)), (y, select(turned, cosine, sine))):
                error = absolute(widened(got) / wanted - 1.0)
                coordinates = select(error > coordinates, error, coordinates)
        for lane in range(np.uint64(LANES)):
            out[0] = max(out[0], first_lane(radii, lane))
            out[1] = max(out[1], first_lane(coordinates, lane))

    out = np.zeros(2)
    worst(np.uint64(0), np.uint64(WORDS // stride // LANES * LANES), np.uint64(stride), out)
    return float(out[0]), float(out[1])


def add(parser: argparse.ArgumentParser) -> None:
    """There is nothing to choose."""


def main(options: argparse.Namespace) -> int:
    """Print moments and errors; 1 if a moment is further from the normal's than the last rounding can hide."""
    found, largest = moments()
    print(f"largest |z| = {largest:.6f}; sqrt(66 ln 2) = {math.sqrt(66 * math.log(2)):.6f}")
    shares = {k: found[k] / normal_moment(k) - 1 for k in ORDERS}
    for k, share in shares.items():
        print(f"E z^{k} = {normal_moment(k)} (1 {share:+.1e}), and the last rounding at most {rounding(k):.1e} of it")
    radius, direction = errors()
    print(
        f"relative errors: radius {radius:.2e}, coordinate of a direction {direction:.2e}, of each normal one rounding more"
    )
    right = radius < RADIUS and direction < DIRECTION and all(abs(share) < rounding(k) for k, share in shares.items())
    return 0 if right else 1

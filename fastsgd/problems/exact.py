"""The normal law and quadrature rules in decimal arithmetic: correctly rounded doubles, the same bits on every machine."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CONTEXT = Context(prec=60)
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def normal_density(x: Decimal) -> Decimal:
    """phi(x) to about 50 digits."""
    with localcontext(_CONTEXT):
        return (-x * x / 2).exp() / (2 * _PI).sqrt()


def normal_cdf(x: Decimal) -> Decimal:
    """Phi(x) for |x| <= 12 to 1e-50 absolute: 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...)."""
    with localcontext(_CONTEXT):
        term = total = x
        k = 1
        while abs(term) > Decimal("1e-58"):
            k += 2
            term *= x * x / k
            total += term
        return Decimal("0.5") + normal_density(x) * total


def normal_quantile(p: Decimal) -> Decimal:
    """z with Phi(z) = p, for 1e-12 <= p <= 1 - 1e-12, to about 35 digits: Newton from a double."""
    with localcontext(_CONTEXT):
        x = Decimal(NormalDist().inv_cdf(float(min(max(p, Decimal("1e-13")), 1 - Decimal("1e-13")))))
        for _ in range(50):
            step = (normal_cdf(x) - p) / normal_density(x)
            x -= step
            if abs(step) < Decimal("1e-36"):
                return x
        raise ArithmeticError(f"no quantile of {p}")


@cache
def gauss_legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights float64[count] on [-1, 1], correctly rounded: exact for polynomials of degree < 2 count."""
    start = np.polynomial.legendre.leggauss(count)[0]
    nodes, weights = np.empty(count), np.empty(count)
    with localcontext(_CONTEXT):
        for i, guess in enumerate(start):
            x = Decimal(float(guess))
            for _ in range(4):
                before, here = Decimal(1), x
                for k in range(1, count):
                    before, here = here, ((2 * k + 1) * x * here - k * before) / (k + 1)
                slope = count * (x * here - before) / (x * x - 1)
                x -= here / slope
            nodes[i], weights[i] = float(x), float(2 / ((1 - x * x) * slope * slope))
    return nodes, weights

"""From a matrix of a spec (spectrum, eigenvalues or file) to an array whose bits are the same on every machine."""

from __future__ import annotations

from decimal import Context, Decimal
from math import fmod, fsum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Matrix

# Correctly rounded logarithms and exponentials, slow and exact: a libm would differ from machine to machine.
_EXACT = Context(prec=40)


def _between(low: float, high: float, fractions: list[Decimal]) -> list[float]:
    """low (high / low)^fraction, correctly rounded."""
    start = _EXACT.ln(Decimal(low))
    width = _EXACT.subtract(_EXACT.ln(Decimal(high)), start)
    values = [float(_EXACT.exp(_EXACT.add(start, _EXACT.multiply(width, f)))) for f in fractions]
    return [min(max(v, low), high) for v in values]


def spectrum(source: Matrix, dimension: int) -> NDArray[np.float64]:
    """Eigenvalues float64[d] of a matrix given by `eigenvalues` or `spectrum`, in the order of their coordinates."""
    if source.eigenvalues is not None:
        return np.array(source.eigenvalues)
    assert source.spectrum is not None and source.low is not None and source.high is not None
    low, high = float(source.low), float(source.high)
    if source.spectrum == "loguniform":
        from fastsgd.kernels.uniform import basis_uniforms

        draws = np.empty(dimension)
        basis_uniforms(np.uint64(source.seed), draws)
        return np.array(_between(low, high, [Decimal(float(u)) for u in draws]))
    last = max(dimension - 1, 1)
    if source.spectrum == "linspace":
        return np.array([low + (high - low) * (i / last) for i in range(dimension)])
    values = _between(low, high, [_EXACT.divide(Decimal(i), Decimal(last)) for i in range(dimension)])
    return np.array(values)


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def _sine(degrees: Decimal) -> Decimal:
    """sin of 0 <= degrees <= 45 by its series, to 50 digits."""
    context = Context(prec=50)
    x = context.divide(context.multiply(degrees, _PI), Decimal(180))
    square, term, total = context.multiply(x, x), x, x
    for n in range(2, 60, 2):
        term = context.divide(context.multiply(term, -square), Decimal(n * (n + 1)))
        total = context.add(total, term)
    return total


def rotation(angle: float) -> NDArray[np.float64]:
    """Rows float64[2, 2]: the axes turned counterclockwise by `angle` degrees, correctly rounded."""
    if angle < 0:
        return np.ascontiguousarray(rotation(-angle).T)
    reduced = fmod(angle, 360.0)
    turns = int(reduced // 90)
    rest = Decimal(reduced - 90.0 * turns)  # exact, as fmod is
    context = Context(prec=50)

    def other(s: Decimal) -> Decimal:
        return context.sqrt(context.subtract(Decimal(1), context.multiply(s, s)))

    if rest <= 45:
        sine = _sine(rest)
        cosine = other(sine)
    else:
        cosine = _sine(context.subtract(Decimal(90), rest))
        sine = other(cosine)
    c, s = float(cosine), float(sine)
    for _ in range(turns):
        c, s = -s, c
    return np.array([[c, s], [-s, c]]) + 0.0


def random_basis(seed: int, dimension: int) -> NDArray[np.float64]:
    """Orthonormal rows float64[d, d], uniform over the orthogonal group: orthonormalised standard normals."""
    from fastsgd.kernels.linalg import orthonormalise
    from fastsgd.kernels.philox import PURPOSE_BASIS
    from fastsgd.kernels.quadratic import add_normals

    rows = np.zeros((1, dimension, dimension))
    add_normals(np.eye(dimension)[None], seed, PURPOSE_BASIS, 0, rows)
    orthonormalise(rows[0])
    return rows[0]


def resolve(spec: Spec, source: Matrix, dimension: int) -> NDArray[np.float64]:
    """The symmetric float64[d, d] that a matrix of a spec stands for (files have been checked before)."""
    if source.file is not None:
        matrix = np.array(spec.array(source.file), dtype=np.float64, order="C")
        matrix = (matrix + matrix.T) * 0.5
    elif source.eigenvalues is None and source.spectrum is None:
        matrix = np.eye(dimension)
    else:
        values = spectrum(source, dimension)
        matrix = np.diag(values)
        if source.basis != "identity":
            from fastsgd.kernels.linalg import congruence

            turned = source.basis == "rotation" and source.angle is not None
            rows = rotation(source.angle) if turned else random_basis(source.seed, dimension)  # type: ignore[arg-type]
            congruence(np.ascontiguousarray(rows.T), matrix.copy(), matrix)
    if getattr(source, "kind", None) == "isotropic":
        matrix = np.eye(dimension) * (fsum(np.diag(matrix)) / dimension)
    return np.ascontiguousarray(matrix)

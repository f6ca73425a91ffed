"""From a matrix of a spec (spectrum, eigenvalues or file) to an array whose bits are the same on every machine."""

from __future__ import annotations

from decimal import Context, Decimal
from math import fsum
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
        if source.basis == "random":
            from fastsgd.kernels.linalg import congruence

            rows = random_basis(source.seed, dimension)
            congruence(np.ascontiguousarray(rows.T), matrix.copy(), matrix)
    if getattr(source, "kind", None) == "isotropic":
        matrix = np.eye(dimension) * (fsum(np.diag(matrix)) / dimension)
    return np.ascontiguousarray(matrix)

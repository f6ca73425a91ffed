"""Stocks of d products under random, correlated demand D: the newsvendor with a pathwise gradient.

    l(theta; D) = sum_j o_j (theta_j - D_j)^+ + u_j (D_j - theta_j)^+      o = cost - salvage, u = price - cost
    g_j = o_j where D_j <= theta_j, -u_j where D_j > theta_j

The law of demand has a Gaussian copula with correlation R; its margins are normal or lognormal, with distribution functions
F_j and densities f_j. With q_j = u_j / (u_j + o_j), z_j = Phi^-1(q_j) and (Z_i, Z_j) normal with correlation R_ij:

    theta*_j = F_j^-1(q_j)                                                   the critical fractile
    H        = diag((o_j + u_j) f_j(theta*_j))
    G_ij     = (o_i + u_i)(o_j + u_j) (P(Z_i <= z_i, Z_j <= z_j) - q_i q_j),     G_jj = o_j u_j

theta* and H are correctly rounded; the bivariate probabilities have an absolute error below 1e-14.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, cast

import numpy as np

from fastsgd.problems.base import Array
from fastsgd.problems.exact import gauss_legendre, normal_density, normal_quantile
from fastsgd.problems.matrices_check import check_file
from fastsgd.problems.simulated import SimulatedProblem, Simulator, check_metric, metric_matrix
from fastsgd.spec.tables import each

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.simulated import Newsvendor

_EXTREME = Decimal("1e-6")


def check(spec: Spec) -> tuple[list[str], int, None]:
    """What the correlation matrix and the metric have wrong, d, and no pool."""
    section = cast("Newsvendor", spec.problem)
    d, correlation = section.dimension, section.demand.correlation
    lines = check_metric(spec, d)
    if not isinstance(correlation, float):
        key = "problem.demand.correlation.file"
        wrong = check_file(spec, key, correlation.file, d, definite=False)
        if not wrong:
            diagonal = np.diagonal(spec.array(correlation.file))
            j = int(np.argmax(np.abs(diagonal - 1.0)))
            if abs(diagonal[j] - 1.0) > 1e-12:
                wrong = [
                    f"{key} must have ones on its diagonal, got {diagonal[j]:.6g} in row {j + 1}; save correlations"
                ]
        lines += wrong
    for j, (over, under) in enumerate(zip(*_costs(section), strict=True)):
        share = under / (under + over)
        if not _EXTREME <= share <= 1 - _EXTREME:
            rule = f"problem.price must give a fractile (price - cost)/(price - salvage) in [1e-6, 1 - 1e-6] for product {j}"
            lines.append(f"{rule}, got {float(share):.3g}; give less extreme prices")
            break
    return lines, d, None


def build(spec: Spec) -> SimulatedProblem:
    """Closed forms of a checked spec."""
    from fastsgd.kernels.quadrature import joint_excess

    section = cast("Newsvendor", spec.problem)
    d, lognormal = section.dimension, section.demand.law == "lognormal"
    over, under = _costs(section)
    optimum, hessian, z, location, scale = (np.empty(d) for _ in range(5))
    for j, (o, u) in enumerate(zip(over, under, strict=True)):
        location[j], scale[j], z[j], optimum[j], hessian[j] = _product(section, j, o, u)
    correlation = _correlation(spec)
    noise, weight = np.empty((d, d)), np.array([float(o + u) for o, u in zip(over, under, strict=True)])
    joint_excess(z, correlation, *gauss_legendre(16), noise)
    noise *= weight[:, None] * weight
    noise[np.diag_indices(d)] = [float(o * u) for o, u in zip(over, under, strict=True)]
    # Of an antithetic pair: Z and -Z have correlation -R.
    other, q = np.empty((d, d)), np.array([float(u / (u + o)) for o, u in zip(over, under, strict=True)])
    joint_excess(z, -correlation, *gauss_legendre(16), other)
    other[np.diag_indices(d)] = np.maximum(2.0 * q - 1.0, 0.0) - q * q
    other *= weight[:, None] * weight
    simulator = _simulator(over, under, location, scale, correlation, lognormal)
    return SimulatedProblem(
        kind="newsvendor",
        coordinates=[str(j) for j in range(d)],
        optimum=optimum,
        hessian=np.diag(hessian),
        noise=noise,
        metric=metric_matrix(spec, hessian=np.diag(hessian), noise=noise),
        simulator=simulator,
        paired=0.5 * (noise + other),
        # Cov(-(o + u) 1{(C z)_j > scale_j z_j}, z_k) = -(o + u) phi(z_j) R^(1/2)_jk
        cross=-(weight * _density(z))[:, None] * _root(correlation),
    )


def _density(z: Array) -> Array:
    return np.array([float(normal_density(Decimal(float(x)))) for x in z])


def _root(correlation: Array) -> Array:
    """Lower triangular root of R."""
    from fastsgd.kernels.linalg import triangular_factor

    root = np.empty_like(correlation)
    triangular_factor(correlation, root)
    return root


def _costs(section: Newsvendor) -> tuple[list[Decimal], list[Decimal]]:
    """o and u of every product, exactly as the given doubles say."""
    rows = zip(*(each(v, section.dimension) for v in (section.cost, section.price, section.salvage)), strict=True)
    exact = [tuple(Decimal(v) for v in row) for row in rows]
    with localcontext(prec=60):
        return [c - s for c, _, s in exact], [p - c for c, p, _ in exact]


def _product(section: Newsvendor, j: int, over: Decimal, under: Decimal) -> tuple[float, float, float, float, float]:
    """Location and scale of the normal variable behind demand j, z_j, theta*_j and H_jj."""
    mean = Decimal(each(section.demand.mean, section.dimension)[j])
    deviation = Decimal(each(section.demand.deviation, section.dimension)[j])
    with localcontext(prec=60):
        z = normal_quantile(under / (under + over))
        if section.demand.law == "normal":
            theta, density = mean + deviation * z, normal_density(z) / deviation
            return float(mean), float(deviation), float(z), float(theta), float((over + under) * density)
        variance = (1 + (deviation / mean) ** 2).ln()
        scale, location = variance.sqrt(), mean.ln() - variance / 2
        theta = (location + scale * z).exp()
        density = normal_density(z) / (scale * theta)
        return float(location), float(scale), float(z), float(theta), float((over + under) * density)


def _correlation(spec: Spec) -> Array:
    """R, float64[d, d]."""
    section = cast("Newsvendor", spec.problem)
    correlation = section.demand.correlation
    if not isinstance(correlation, float):
        return np.array(spec.array(correlation.file), dtype=np.float64, order="C")
    matrix = np.full((section.dimension, section.dimension), correlation)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _simulator(
    over: list[Decimal], under: list[Decimal], location: Array, scale: Array, correlation: Array, lognormal: bool
) -> Simulator:
    from fastsgd.kernels.linalg import triangular_factor

    d, root = len(location), np.empty_like(correlation)
    triangular_factor(correlation, root)
    rows = (scale[:, None] * root)[np.tril_indices(d)]
    costs = np.array([[float(v) for v in over], [float(v) for v in under]])
    return Simulator(
        kernel="newsvendor",
        params=np.concatenate([*costs, location, rows]),
        shape=np.array([d, lognormal], dtype=np.int64),
        counts=np.array([d, 0, 0], dtype=np.int64),
        width=d,
    )

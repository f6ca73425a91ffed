"""A quadratic loss with additive Gaussian gradient noise: the linear recursion (36), exact at every step.

L(theta) = (theta - theta*)' H (theta - theta*) / 2, theta* = 0, per-sample gradients H Delta + xi with xi ~ N(0, G).
The mean of b of them is drawn as one N(H Delta, G / b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.matrices import resolve
from fastsgd.problems.samples import Samples, Sums

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Linear


def _section(spec: Spec) -> Linear:
    from fastsgd.spec.sections import Linear

    assert isinstance(spec.problem, Linear)
    return spec.problem


def dimension(spec: Spec) -> int:
    """d, from `dimension` or else from the first matrix that states it."""
    problem = _section(spec)
    if problem.dimension is not None:
        return problem.dimension
    for source in (problem.hessian, problem.noise):
        if source.eigenvalues is not None:
            return len(source.eigenvalues)
        if source.file is not None:
            return len(spec.array(source.file))
    raise AssertionError("a checked spec states its dimension")


def check(spec: Spec) -> tuple[list[str], int | None, None]:
    """Problems of the matrices, d if it could be told, and no pool."""
    from fastsgd.problems.matrices_check import check_matrices

    lines = check_matrices(spec)
    return lines, (None if lines else dimension(spec)), None


def build(spec: Spec) -> QuadraticProblem:
    """Resolve the matrices of a checked spec (of one arm)."""
    from fastsgd.kernels.linalg import symmetric_eigen

    d, section = dimension(spec), _section(spec)
    hessian = resolve(spec, section.hessian, d)
    noise = resolve(spec, section.noise, d)
    eigenvalues, rows = np.empty(d), np.empty((d, d))
    symmetric_eigen(hessian, eigenvalues, rows)
    metric = section.metric
    if isinstance(metric, str):
        matrix = {"hessian": hessian, "noise": noise, "identity": np.eye(d)}[metric]
    else:
        matrix = np.array(spec.array(metric.file), dtype=np.float64, order="C")
    return QuadraticProblem(
        kind="quadratic",
        coordinates=[str(i) for i in range(d)],
        optimum=np.zeros(d),
        hessian=hessian,
        noise=noise,
        metric=matrix,
        exact=True,
        basis=None if np.array_equal(rows, np.eye(d)) else rows,
        eigenvalues=eigenvalues,
        single=section.normal_precision == "single",
    )


@dataclass(frozen=True, kw_only=True)
class QuadraticProblem(Problem):
    """`eigenvalues`: float64[d], of H along the working directions."""

    eigenvalues: Array
    mixes_designs = True

    def stepper(self, arms: Sequence[Arm]) -> QuadraticStepper:
        return QuadraticStepper(arms)


class QuadraticStepper:
    """The recursion in the eigenbasis of H; all arms use the same normals."""

    def __init__(self, arms: Sequence[Arm]):
        from fastsgd.problems.working import factor

        eigenvalues = np.stack([arm.problem.eigenvalues for arm in arms])  # type: ignore[attr-defined]
        self._prepare(arms, eigenvalues, np.stack([factor(a.problem.basis, a.covariance) for a in arms]))

    def _prepare(self, arms: Sequence[Arm], eigenvalues: Array, factors: Array) -> None:
        """Keep eigenvalues float64[A, d] and roots of covariances float64[A, d, d] as the kernel reads them."""
        from fastsgd.kernels.philox import PURPOSE_NOISE, PURPOSE_SINGLE
        from fastsgd.kernels.quadratic import pack

        self._purpose = PURPOSE_SINGLE if arms[0].problem.single else PURPOSE_NOISE
        self._minus_lam = -eigenvalues
        self._coefficients, self._starts = pack(factors)

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        from fastsgd.kernels.quadratic import advance_quadratic

        advance_quadratic(
            self._minus_lam,
            self._coefficients,
            self._starts,
            sizes,
            np.uint64(seed),
            self._purpose,
            np.uint64(first_replicate),
            np.uint64(first_step),
            delta,
        )

    def advance_sampling(
        self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int, samples: Samples, sums: Sums
    ) -> None:
        from fastsgd.kernels.average import average_quadratic

        average_quadratic(
            self._minus_lam,
            self._coefficients,
            self._starts,
            sizes,
            np.uint64(seed),
            self._purpose,
            np.uint64(first_replicate),
            np.uint64(first_step),
            samples.burn_in,
            samples.thin,
            samples.count,
            samples.metric,
            samples.diagonal,
            delta,
            sums.first,
            sums.second,
            sums.risk,
        )

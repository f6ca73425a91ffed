"""The normalised Ornstein-Uhlenbeck process (54): dX = -eta H X dt + sqrt(eta/b) G^{1/2} dW, theta* = 0.

Both schemes are the recursion of the quadratic kernel, Delta' = Delta + s (C z - lam Delta) along the eigenvectors of H
with eigenvalues l_i; h = eta dt and R = G/b in that basis.

    euler   s = h, lam_i = l_i, C C' = R / h: Delta - h H Delta + sqrt(h/b) G^{1/2} z
    exact   s = 1, lam_i = 1 - exp(-h l_i), (C C')_ij = R_ij (1 - exp(-h (l_i + l_j))) / (l_i + l_j)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Context, Decimal
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from fastsgd.problems import quadratic
from fastsgd.problems.base import Arm, Array
from fastsgd.problems.quadratic import QuadraticProblem, QuadraticStepper, check
from fastsgd.problems.samples import Samples, Sums

if TYPE_CHECKING:
    from fastsgd.spec import Spec

__all__ = ["OuProblem", "OuStepper", "build", "check"]

# 1 - exp(-x) keeps 17 digits for x down to 1e-60.
_EXACT = Context(prec=80)


BUILT_FROM = ("problem", "step")  # eta dt is in the transition


def build(spec: Spec) -> OuProblem:
    """Resolve a checked spec (of one arm)."""
    from fastsgd.spec.sections import ConstantStep, Ou

    section, step = spec.problem, spec.step
    assert isinstance(section, Ou) and isinstance(step, ConstantStep)
    base = quadratic.build(spec)
    same = {field.name: getattr(base, field.name) for field in fields(base)} | {"kind": "ou"}
    return OuProblem(**same, scheme=section.scheme, time=step.size * section.time_step, unit=section.time_step)


@dataclass(frozen=True, kw_only=True)
class OuProblem(QuadraticProblem):
    """`scheme`: euler or exact; `time`: h = eta dt of one step; `unit`: dt."""

    scheme: str
    time: float
    unit: float

    def largest_stable_step(self) -> float:
        return super().largest_stable_step() / self.unit if self.scheme == "euler" else inf

    def stationary(self, covariance: Array, size: float) -> Array:
        if self.scheme == "euler":
            return super().stationary(covariance / self.time, self.time)
        from fastsgd.kernels.linalg import congruence

        rows = np.eye(self.dimension) if self.basis is None else self.basis
        inner, out = np.empty_like(covariance), np.empty_like(covariance)
        congruence(rows, covariance, inner)
        congruence(np.ascontiguousarray(rows.T), inner / np.add.outer(self.eigenvalues, self.eigenvalues), out)
        return out

    def transition(self) -> tuple[float, Array, Array]:
        """(s, lam float64[d], (C C')_ij / R_ij float64[d, d]) of one step; the same bits on every machine."""
        d = self.dimension
        if self.scheme == "euler":
            return self.time, self.eigenvalues, np.full((d, d), 1.0 / self.time)
        time = Decimal(self.time)
        values = [Decimal(float(v)) for v in self.eigenvalues]
        decay = [_EXACT.exp(_EXACT.multiply(-time, v)) for v in values]
        lost = np.array([float(_EXACT.subtract(Decimal(1), e)) for e in decay])
        growth = np.empty((d, d))
        for i in range(d):
            for j in range(i + 1):
                gone = _EXACT.subtract(Decimal(1), _EXACT.multiply(decay[i], decay[j]))
                growth[i, j] = growth[j, i] = float(_EXACT.divide(gone, _EXACT.add(values[i], values[j])))
        return 1.0, lost, growth

    def stepper(self, arms: Sequence[Arm]) -> OuStepper:
        return OuStepper(arms)


class OuStepper(QuadraticStepper):
    """The process through the kernel of the quadratic; all arms use the same normals."""

    def __init__(self, arms: Sequence[Arm]):
        from fastsgd.kernels.linalg import triangular_factor
        from fastsgd.problems.working import matrix_to_working

        steps = [arm.problem.transition() for arm in arms]  # type: ignore[attr-defined]
        factors = np.empty((len(arms), *arms[0].covariance.shape))
        for arm, (_, _, growth), factor in zip(arms, steps, factors, strict=True):
            triangular_factor(matrix_to_working(arm.problem.basis, arm.covariance) * growth, factor)
        self._prepare(arms, np.stack([lam for _, lam, _ in steps]), factors)
        self._sizes = np.array([[size] for size, _, _ in steps])

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        """As `Stepper.advance`; eta and dt are in the transition, so `sizes` counts the steps only."""
        own = np.repeat(self._sizes, sizes.shape[1], axis=1)
        super().advance(delta, own, seed, first_replicate, first_step)

    def advance_sampling(
        self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int, samples: Samples, sums: Sums
    ) -> None:
        own = np.repeat(self._sizes, sizes.shape[1], axis=1)
        super().advance_sampling(delta, own, seed, first_replicate, first_step, samples, sums)

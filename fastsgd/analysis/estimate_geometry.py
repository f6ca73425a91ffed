"""Geometry of an estimated problem, and the step sizes and batches that suit it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FORGOTTEN = 0.01  # what may be left of the start after the given number of epochs


@dataclass(frozen=True)
class Geometry:
    """Scalars of H, G = S_n and F, in double precision (`theory.geometry` has the same to more digits).

    Attributes:
        mu_F: contraction rate in the metric F (17); at most 0: Assumption 6.2 fails.
        condition_number: kappa of G on its range; effective_dimension: tr G / lambda_max G (18).
        condition_number_hessian, generalised_condition_number: of H, of the pair (H, G) on range(G).
        largest_curvature, smallest_curvature: eigenvalues of H; trace_noise: tr G.
        sampling_risk: tr(F H^-1 G H^-1)/n, mean risk of the estimate itself over data sets of n rows.
        largest_stable_step: 2/lambda_max(H).
        balanced_temperature: tau = eta/b at which the plateau of SGD has the risk `sampling_risk`, at leading order.
    """

    mu_F: float
    condition_number: float
    effective_dimension: float
    condition_number_hessian: float
    generalised_condition_number: float
    largest_curvature: float
    smallest_curvature: float
    trace_noise: float
    sampling_risk: float
    largest_stable_step: float
    balanced_temperature: float

    @classmethod
    def of(cls, H: Array, G: Array, F: Array, rows: int) -> Geometry:
        """From H positive definite, G and F positive semidefinite, float64[d, d]."""
        h, V = np.linalg.eigh(H)
        g, U = np.linalg.eigh(G)
        inside = g > 10 * len(g) * np.finfo(float).eps * g[-1]
        root = U[:, inside] / np.sqrt(g[inside])
        pair = np.linalg.eigvalsh(root.T @ H @ root)
        inner_F, inner_G = V.T @ F @ V, V.T @ G @ V
        risk = float(np.sum(inner_F * inner_G / np.multiply.outer(h, h))) / rows
        plateau = float(np.sum(inner_F * inner_G / np.add.outer(h, h)))  # of a unit temperature
        return cls(
            mu_F=_contraction(F, H),
            condition_number=float(g[-1] / g[inside][0]),
            effective_dimension=float(np.sum(g[inside]) / g[-1]),
            condition_number_hessian=float(h[-1] / h[0]),
            generalised_condition_number=float(pair[-1] / pair[0]),
            largest_curvature=float(h[-1]),
            smallest_curvature=float(h[0]),
            trace_noise=float(np.sum(g[inside])),
            sampling_risk=risk,
            largest_stable_step=2.0 / float(h[-1]),
            balanced_temperature=risk / plateau,
        )

    def as_dict(self) -> dict[str, float]:
        """The attributes by name."""
        return asdict(self)


def _contraction(F: Array, H: Array) -> float:
    f, U = np.linalg.eigh(F)
    inside = f > 10 * len(f) * np.finfo(float).eps * f[-1]
    root = np.sqrt(f[inside])
    inner = U[:, inside].T @ H @ U[:, inside]
    return float(np.linalg.eigvalsh(0.5 * inner * (np.divide.outer(root, root) + np.divide.outer(root, root).T))[0])


@dataclass(frozen=True)
class Steps:
    """Step sizes for one batch b, sampled without replacement.

    Attributes:
        low: forgets the start to 1 % in every direction within the given epochs.
        high: the smaller of `stable`, half the stability limit in mean square (`estimate_stability`), and `quiet`, where
            the plateau of SGD has the sampling risk of the estimate; infinite `quiet`: no noise (b = n).
        suggested: half of `high`.
        epochs: passes over the data that forgetting takes at `suggested`.
    """

    batch: int
    low: float
    high: float
    stable: float
    quiet: float
    suggested: float
    epochs: float

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def steps_for(batch: int, rows: int, geometry: Geometry, plateau: Plateau, epochs: float, limit: float) -> Steps:
    """`Steps` of one batch; `limit` is its largest stable step."""
    factor = 0.0 if batch >= rows else (rows - batch) / ((rows - 1) * batch)
    quiet = plateau.step_of(geometry.sampling_risk / factor) if factor > 0 else math.inf
    stable = 0.5 * limit
    high = min(stable, quiet)
    steps = -math.log(FORGOTTEN)
    low = steps * batch / (geometry.smallest_curvature * epochs * rows)
    suggested = 0.5 * high
    shrunk = min(suggested * geometry.smallest_curvature, 0.999)
    needed = steps / -math.log1p(-shrunk) * batch / rows if shrunk > 0 else math.inf
    return Steps(batch, low, high, stable, quiet, suggested, needed)


@dataclass(frozen=True)
class Plateau:
    """Stationary risk tr(F S) against the step size, gradient covariance G (37); in the eigenbasis of H."""

    values: Array
    products: Array

    @classmethod
    def of(cls, H: Array, G: Array, F: Array) -> Plateau:
        """From float64[d, d] each."""
        h, V = np.linalg.eigh(H)
        return cls(h, (V.T @ F @ V) * (V.T @ G @ V))

    def risk(self, eta: float) -> float:
        """tr(F S), 0 < eta < 2/lambda_max(H)."""
        decay = self.values[:, None] * (1.0 - 0.5 * eta * self.values[None, :])
        return float(np.sum(self.products * eta / (decay + decay.T)))

    def step_of(self, risk: float) -> float:
        """eta at which the plateau has this risk: it grows with eta from 0 without bound."""
        top = 2.0 / float(self.values[-1])
        low, high = 0.0, top
        for _ in range(200):
            middle = 0.5 * (low + high)
            if middle in (low, high) or middle >= top:
                break
            low, high = (middle, high) if self.risk(middle) < risk else (low, middle)
        return low


def suggested_batch(rows: int, geometry: Geometry, limit: float) -> int:
    """Power of two nearest below the batch whose quiet step is half the stability limit, 1 <= b <= n/2.

    Below it the step is limited by noise and grows with the batch: nothing is lost by averaging more. Above it the step
    is limited by curvature and a larger batch only costs samples.
    """
    critical = 0.5 * limit / geometry.balanced_temperature
    most = max(1, rows // 2)
    return 1 << max(0, min(int(critical), most)).bit_length() - 1 if min(critical, most) >= 1 else 1

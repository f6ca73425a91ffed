"""The distribution of the mean risk over replicates: a quadratic form of Gaussian vectors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fastsgd.analysis.zscores import NEAR_CENTRE, Z_LIMIT, clip, cornish_fisher, r_star, z_exact

Array = NDArray[np.float64]


@dataclass(frozen=True)
class QuadraticForm:
    """r = x'Fx for x ~ N(m, S), written r / unit = constant + sum_i (weight_i z_i^2 + 2 linear_i z_i), z_i N(0, 1).

    `unit` = E r, so nothing over- or underflows. Exact cumulants, and the distribution of the mean of n independent
    copies by the saddlepoint approximation (Kuonen 1999; Barndorff-Nielsen's r*), whose relative error is small in both
    tails and for every n >= 1.
    """

    weight: Array
    linear: Array
    constant: float
    unit: float

    @classmethod
    def of(cls, metric: Array, mean: Array, covariance: Array) -> "QuadraticForm":
        """From F[d, d] and S[d, d], both positive semi-definite (possibly singular), and m[d]."""
        # Through the correlation matrix, so that coordinates of very different sizes keep their digits.
        deviation = np.sqrt(np.clip(np.diagonal(covariance), 0, None))
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
        root = deviation[:, None] * vectors * np.sqrt(np.clip(values, 0, None))
        weight, rotation = np.linalg.eigh(root.T @ metric @ root)
        linear, constant = rotation.T @ (root.T @ (metric @ mean)), float(mean @ metric @ mean)
        unit = constant + float(np.sum(weight))
        if unit <= 0:
            return cls(np.zeros_like(weight), np.zeros_like(weight), 0.0, 0.0)
        return cls(weight / unit, linear / unit, constant / unit, unit)

    def relative_cumulant(self, order: int) -> float:
        """Cumulant of r / unit: 2^(s-1) (s-1)! [sum w^s + s sum w^(s-2) c^2], plus the constant for s = 1."""
        w, c = self.weight, self.linear
        if order == 1:
            return self.constant + float(np.sum(w))
        total = np.sum(w**order) + order * np.sum(w ** (order - 2) * c * c)
        return float(2 ** (order - 1) * math.factorial(order - 1) * total)

    @property
    def deviation(self) -> float:
        """Standard deviation of one copy."""
        return self.unit * math.sqrt(self.relative_cumulant(2))

    @property
    def skewness(self) -> float:
        """kappa_3 / kappa_2^(3/2) of one copy; 0 when r is not random."""
        variance = self.relative_cumulant(2)
        return self.relative_cumulant(3) / variance**1.5 if variance > 0 else 0.0

    def z_of_mean(self, mean: float, n: int) -> float:
        """Normal z of an observed mean of n independent copies."""
        centre, variance = self.relative_cumulant(1), self.relative_cumulant(2) / n
        if variance <= 1e-22 / n or not math.isfinite(mean):
            return z_exact(mean, self.unit)
        x = mean / self.unit
        delta = (x - centre) / math.sqrt(variance)
        if abs(delta) < NEAR_CENTRE:
            excess = self.relative_cumulant(4) / self.relative_cumulant(2) ** 2 / n
            return cornish_fisher(delta, self.skewness / math.sqrt(n), excess)
        s = self._saddlepoint(x)
        if s is None or s == 0:
            return math.copysign(Z_LIMIT, delta)
        value, _, curvature = self._generating(s)
        r = math.copysign(math.sqrt(max(2 * n * (s * x - value), 0.0)), s)
        return clip(r_star(r, s * math.sqrt(n * curvature))) if r else delta

    def _generating(self, s: float) -> tuple[float, float, float]:
        """Cumulant generating function of r / unit and its first two derivatives at s."""
        w, c = self.weight, self.linear
        u = 1 - 2 * s * w
        value = s * self.constant + float(np.sum(-0.5 * np.log(u) + 2 * s * s * c * c / u))
        first = self.constant + float(np.sum(w / u + 4 * c * c * s * (1 - s * w) / u**2))
        return value, first, float(np.sum(2 * w * w / u**2 + 4 * c * c / u**3))

    def _saddlepoint(self, x: float) -> float | None:
        """s with K'(s) = x, or None when no s reaches it (x outside the support)."""
        side = 1.0 if x > self.relative_cumulant(1) else -1.0
        extreme = float(np.max(side * self.weight, initial=0.0))
        unit = 1 / math.sqrt(self.relative_cumulant(2))
        bound = 1 / (2 * extreme) if extreme > 0 else math.inf
        inner = 0.0
        for n in range(1, 50 if bound < math.inf else 150):
            outer = bound * (1 - 0.5**n) if bound < math.inf else unit * 2.0 ** (n - 1)
            if side * (self._generating(side * outer)[1] - x) >= 0:
                low, high = sorted((side * inner, side * outer))
                return float(optimize.brentq(lambda s: self._generating(s)[1] - x, low, high, xtol=1e-300, rtol=1e-14))
            inner = outer
        return None

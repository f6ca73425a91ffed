"""The covariance of a mini-batch gradient as a quadratic form in the gradients of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Form:
    """Cov = (1/n) sum_i a_i g_i g_i' - sum_h c_h m_h m_h', m_h the mean of the gradients of group h.

    It holds at any point, since which samples are drawn does not depend on it. Attributes: weights a float64[n]; groups
    int64[n], group of each sample; centres c float64[H].
    """

    weights: Array
    groups: NDArray[np.int64]
    centres: Array

    @classmethod
    def multiple(cls, n: int, factor: float) -> Form:
        """f S_n, with the normalisation 1/n."""
        return cls(np.full(n, factor), np.zeros(n, np.int64), np.array([factor]))

    def means(self, values: Array) -> Array:
        """Means of float64[n, d] over each group, float64[H, d]."""
        counts = np.bincount(self.groups, minlength=len(self.centres))
        total = np.zeros((len(self.centres), values.shape[1]))
        np.add.at(total, self.groups, values)
        result: Array = total / counts[:, None]
        return result

    def covariance(self, gradients: ArrayLike) -> Array:
        """Cov float64[d, d] from gradients float64[n, d]; centred by group first, so that nothing cancels."""
        g = np.asarray(gradients, dtype=np.float64)
        n, m = len(g), self.means(g)
        u = g - m[self.groups]
        mixed = np.zeros_like(m)
        np.add.at(mixed, self.groups, self.weights[:, None] * u)
        inside = (u.T * self.weights) @ u / n
        share = np.bincount(self.groups, self.weights, minlength=len(m)) / n - self.centres
        share[np.abs(share) < 1e-14 * self.centres] = 0.0
        cross = m.T @ mixed / n
        result: Array = inside + cross + cross.T + (m.T * share) @ m
        return 0.5 * (result + result.T)

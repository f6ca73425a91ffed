"""Least squares on a pool under a design whose samples have different weights: the noise at every state, exactly.

The covariance of a mini-batch gradient is (1/n) sum a_i g_i g_i' - sum_h c_h m_h m_h', m_h the mean over group h, at every
point. With g_i = x_i x_i' Delta - x_i e_i, H_h and q_h the means of x x' and x e over group h, M = E Delta Delta':

    excess(M) = (1/n) sum a_i x_i x_i' M x_i x_i' - sum_h c_h H_h M H_h
    cross(m)  = -(2/n) sum a_i e_i (x_i'm) x_i x_i' + sum_h c_h (H_h m q_h' + q_h m' H_h)
    noise     = (1/n) sum a_i e_i^2 x_i x_i' - sum_h c_h q_h q_h'

A penalty is the same whatever is drawn and is no part of g_i. The factor of the design is in the weights: it is 1 wherever
`least_squares` asks for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastsgd.theory._check import Array
from fastsgd.theory.eigen import Eigenbasis
from fastsgd.theory.least_squares import Pool
from fastsgd.theory.symmetric_space import pack_outer


@dataclass(frozen=True, eq=False)
class WeightedPool(Pool):
    """A pool with weights a float64[n], groups int64[n] and centres c float64[H]."""

    weights: Array
    groups: NDArray[np.int64]
    centres: Array

    def turned(self, basis: Eigenbasis) -> WeightedPool:
        features = self.features_in(basis)
        return WeightedPool(features, self.residuals, self.ridge, self.weights, self.groups, self.centres)

    def means(self, values: Array) -> Array:
        """Means of float64[n, ...] over each group, float64[H, ...]."""
        total = np.zeros((len(self.centres), *values.shape[1:]))
        np.add.at(total, self.groups, values)
        counts = np.bincount(self.groups, minlength=len(self.centres))
        result: Array = total / counts.reshape(-1, *[1] * (values.ndim - 1))
        return result

    @cached_property
    def used(self) -> list[int]:
        """Groups with c_h > 0."""
        return [h for h, c in enumerate(self.centres) if c > 0.0]

    @cached_property
    def second_moments(self) -> Array:
        """H_h of the groups that count, float64[used, d, d]."""
        found = [self.features[self.groups == h] for h in self.used]
        d = self.features.shape[1]
        return np.array([x.T @ x / len(x) for x in found]).reshape(len(found), d, d)

    @cached_property
    def noise(self) -> Array:
        """Covariance of the mini-batch gradient at the optimum, float64[d, d]."""
        g = self.features * self.residuals[:, None]
        q = self.means(g)
        result: Array = (g.T * self.weights) @ g / len(g) - (q.T * self.centres) @ q
        return 0.5 * (result + result.T)

    def excess(self, M: Array) -> Array:
        """Covariance of the part of the mini-batch gradient that is linear in Delta when E Delta Delta' = M."""
        total = self.fourth(M)
        for c, H in zip(self.centres[self.used], self.second_moments, strict=True):
            total = total - c * (H @ M @ H)
        return total

    def fourth(self, M: Array) -> Array:
        """(1/n) sum a_i x_i (x_i' M x_i) x_i', float64[d, d]."""
        from fastsgd.theory.least_squares import MATRIX_LIMIT
        from fastsgd.theory.symmetric_space import pack, unpack

        n, d = self.features.shape
        if d * (d + 1) // 2 <= min(MATRIX_LIMIT, n):
            return unpack(self.fourth_matrix @ pack(M), d)
        weights = self.weights * np.einsum("ni,ni->n", self.features @ M, self.features)
        result: Array = (self.features.T * weights) @ self.features / n
        return result

    @cached_property
    def fourth_matrix(self) -> Array:
        """`fourth` as float64[p, p] on packed symmetric matrices."""
        n, d = self.features.shape
        total = np.zeros((d * (d + 1) // 2, d * (d + 1) // 2))
        for start in range(0, n, 4096):
            Z = pack_outer(self.features[start : start + 4096])
            total += (Z.T * self.weights[start : start + 4096]) @ Z
        total /= n
        return total

    def cross(self, m: Array) -> Array:
        """Cross term of a nonzero mean, float64[d, d]."""
        weights = self.weights * self.residuals * (self.features @ m)
        total = -2.0 * (self.features.T * weights) @ self.features / len(self.features)
        q = self.means(self.features * self.residuals[:, None])[self.used]
        for c, H, mean in zip(self.centres[self.used], self.second_moments, q, strict=True):
            both = np.multiply.outer(H @ m, mean)
            total = total + c * (both + both.T)
        result: Array = total
        return result


def of_form(at: Pool, weights: Array, groups: NDArray[np.int64], centres: Array) -> WeightedPool:
    """`at` with the covariance (1/n) sum a_i g_i g_i' - sum_h c_h m_h m_h' of a mini-batch gradient."""
    return WeightedPool(at.features, at.residuals, at.ridge, weights, groups, centres)

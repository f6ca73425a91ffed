# madow.py
"""Systematic sampling with unequal chances (Madow 1949): b different samples, sample i with chance pi_i, from one uniform."""

import numpy as np
from numba import njit

import fastsgd
from fastsgd.stream import uniform


def cumulated(pool, batch):
    """0, pi_1, pi_1 + pi_2, ..., b: half of the chances equal, half in proportion to the length of a sample."""
    size = np.sqrt((pool.features**2).sum(axis=1))
    chances = batch * (0.5 / pool.size + 0.5 * size / size.sum())
    return np.concatenate([[0.0], np.cumsum(chances)])


@njit
def draw(n, b, stream, params, indices, weights):
    u, i = uniform(stream), 0
    for k in range(b):
        while i < n - 1 and params[i + 1] <= u + k:
            i += 1
        indices[k] = i
        weights[k] = 1.0 / (n * (params[i + 1] - params[i]))


def chances(n, batch, params):
    return np.diff(params)


design = fastsgd.OwnDesign(draw, prepare=cumulated, inclusion=chances)

"""A problem of one's own: how much of two products to stock when their demands move together.

A unit costs COST and sells for PRICE; demand is normal with the given mean, deviation and correlation. The loss of one
day is what was paid less what was sold. `inventory.toml` beside this file runs it:

    fastsgd run scripts/own_problem/inventory.toml
    fastsgd ratio scripts/own_problem/inventory.h5
"""

from numba import njit

COST = (1.0, 2.0)
PRICE = (3.0, 2.6)
MEAN = (5.0, 8.0)
DEVIATION = (1.0, 2.0)
CORRELATION = 0.6


@njit
def demand(j, normals):
    z = normals[0]
    if j == 1:
        z = CORRELATION * normals[0] + (1.0 - CORRELATION * CORRELATION) ** 0.5 * normals[1]
    return MEAN[j] + DEVIATION[j] * z


@njit
def loss(theta, sample):
    total = 0.0
    for j in range(2):
        total += COST[j] * theta[j] - PRICE[j] * min(theta[j], demand(j, sample.normals))
    return total


@njit
def gradient(theta, sample, out):
    for j in range(2):
        out[j] = COST[j]
        if demand(j, sample.normals) > theta[j]:
            out[j] -= PRICE[j]

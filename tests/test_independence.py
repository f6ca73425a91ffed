"""Independence of the random numbers of different addresses: replicates, steps, purposes, seeds.

Repeatability says nothing of this: an engine that gave two replicates the same noise would repeat perfectly.
"""

import numpy as np
import pytest
from fastsgd.kernels._jit import LANES, jit
from fastsgd.kernels.normal import normals
from fastsgd.kernels.philox import PURPOSE_BATCH, PURPOSE_NOISE, counter_high, philox4x32

from fastsgd.theory.statistics import sidak_z

U = np.uint64
DRAWS = 100_000
FALSE_ALARM = 1e-4


def streams(replicates, step=7, seed=20261123, purpose=PURPOSE_NOISE, draws=DRAWS):
    """Normals [replicates, draws] of replicates 0 ... at one step."""
    rows = []
    for first in range(0, replicates, LANES):
        out = np.empty((draws + 1) // 2 * 2 * LANES)
        normals(U(seed), purpose, U(first), U(step), U(draws), out)
        rows.append(out.reshape(-1, LANES)[:draws].T)
    return np.concatenate(rows)[:replicates]


def largest_correlation(x, y=None):
    """(largest |correlation| in standard errors, pairs) between rows of x, or of x with the rows of y."""
    n = x.shape[1]
    unit = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    if y is None:
        found = np.abs(unit @ unit.T)[np.triu_indices(len(x), 1)]
    else:
        other = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
        found = np.abs(np.sum(unit * other, axis=1))
    return float(found.max() / np.sqrt(n)), len(found)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 2])
def test_two_thousand_pairs_of_replicates(moment):
    """2016 pairs x 1e5 draws: no correlation of the numbers, nor of their squares, beyond chance."""
    x = streams(64) ** moment
    worst, pairs = largest_correlation(x)
    assert pairs >= 2000
    bound = sidak_z(FALSE_ALARM, pairs)
    assert worst < bound
    # Control: two replicates that share 3 % of their noise are seen.
    x[1] += 0.03 * x[0]
    assert largest_correlation(x)[0] > bound


@pytest.mark.parametrize(
    "other",
    [{"step": 8}, {"step": 7 + 2**32}, {"seed": 20261124}, {"seed": 20261123 + 2**32}, {"purpose": PURPOSE_BATCH}],
)
def test_the_same_replicates_at_another_address(other):
    x, y = streams(32, draws=20_000), streams(32, draws=20_000, **other)
    worst, pairs = largest_correlation(x, y)
    assert worst < sidak_z(FALSE_ALARM, pairs)
    assert largest_correlation(x, y + 0.05 * x)[0] > sidak_z(FALSE_ALARM, pairs)


@jit
def _words(addresses, out):
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for i in range(len(addresses)):
        seed, purpose, replicate, step, block = addresses[i]
        high = counter_high(purpose, replicate, step)
        w = philox4x32(block & low, step & low, replicate & low, high, seed & low, seed >> half)
        out[i, 0] = (w[0] & low) | (w[1] << half)
        out[i, 1] = (w[2] & low) | (w[3] << half)


def distinct(addresses):
    out = np.empty((len(addresses), 2), dtype=U)
    _words(np.ascontiguousarray(addresses, dtype=U), out)
    return len(np.unique(out, axis=0))


@pytest.mark.slow
def test_a_million_addresses_give_a_million_streams():
    """Every part of an address reaches the words, also the bits that share a counter word."""
    replicates = [0, 1, 2, 3, 2**16, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**40 - 1]
    steps = [*range(20), 2**16, 2**31, 2**32 - 1, 2**32, 2**48 - 1]
    parts = [
        np.array(list(part), dtype=U) for part in ([0, 1, 2**32, 2**64 - 1], range(8), replicates, steps, range(125))
    ]
    addresses = np.stack(np.meshgrid(*parts, indexing="ij")).reshape(5, -1).T
    assert len(addresses) == 1_000_000
    assert distinct(addresses) == len(addresses)
    # Control: addresses that lose the lowest bit of the replicate collide.
    fewer = addresses[:20_000].copy()
    fewer[:, 2] &= ~U(1)
    assert distinct(fewer) < len(fewer)

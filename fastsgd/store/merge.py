"""Adds the moments of tree nodes, for runs that are not finished."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastsgd.store.format import Node, packed_length

Moments = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


def merge_nodes(nodes: Iterable[Node], arm: int, steps: int, d: int) -> Moments:
    """count int64[S], mean float64[S, d] and m2 float64[S, d(d+1)/2] over all replicates of one arm's nodes.

    The update is that of Chan, Golub and LeVeque (1983), in the order of the replicates. The engine's own totals add in
    the order of the tree, so the last digits can differ.
    """
    count = np.zeros(steps, np.int64)
    mean, m2 = np.zeros((steps, d)), np.zeros((steps, packed_length(d)))
    rows, columns = np.tril_indices(d)
    for node in sorted(nodes, key=lambda node: node.index << max(node.level, 0)):
        other = node.count[arm]
        some = other > 0
        total = count + other
        share = np.divide(other, total, out=np.zeros(steps), where=some)
        delta = np.where(some[:, None], node.mean[arm] - mean, 0.0)
        mean = mean + share[:, None] * delta
        m2 = m2 + np.where(some[:, None], node.m2[arm], 0.0)
        m2 += (count * share)[:, None] * delta[:, rows] * delta[:, columns]
        count = total
    mean[count == 0] = np.nan
    return count, mean, m2


def covariance(count: NDArray[np.int64], m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[S, d, d] with divisor count - 1 from packed sums; NaN where count < 2."""
    d = int((np.sqrt(8 * m2.shape[1] + 1) - 1) / 2 + 0.5)
    rows, columns = np.tril_indices(d)
    full = np.empty((len(count), d, d))
    divisor = np.where(count > 1, count - 1, np.nan)[:, None]
    full[:, rows, columns] = full[:, columns, rows] = m2 / divisor
    return full

"""Moments over replicates as a sum that may be taken apart: nodes of a fixed binary tree over blocks of replicates.

Node (level, index) holds the moments of blocks index * 2^level to (index + 1) * 2^level - 1, and is always made by
joining its two halves. So a total depends on the set of replicates alone, not on threads, waves, shards or
interruptions. A last block that is not full stays outside the tree (level -1) until more replicates fill it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fastsgd.store.format import Node, packed_length

PARTIAL = -1


def places(first_block: int, blocks: int) -> list[tuple[int, int]]:
    """(level, index) of the largest whole nodes that cover `blocks` blocks from `first_block` on, left to right."""
    found = []
    at, end = first_block, first_block + blocks
    while at < end:
        level = (at & -at).bit_length() - 1 if at else 62
        while at + (1 << level) > end:
            level -= 1
        found.append((level, at >> level))
        at += 1 << level
    return found


def empty(level: int, index: int, arms: int, steps: int, dimension: int) -> Node:
    """A node with nothing in it yet."""
    return Node(
        level,
        index,
        np.zeros((arms, steps), dtype=np.int64),
        np.zeros((arms, steps, dimension)),
        np.zeros((arms, steps, packed_length(dimension))),
    )


def join(left: Node, right: Node, level: int, index: int) -> Node:
    """Moments of the union of two nodes."""
    from fastsgd.kernels.moments import join_moments

    shape_mean, shape_m2 = left.mean.shape, left.m2.shape
    count, mean, m2 = np.empty_like(left.count), np.empty(shape_mean), np.empty(shape_m2)
    join_moments(
        left.count.reshape(-1), _flat(left.mean), _flat(left.m2),
        right.count.reshape(-1), _flat(right.mean), _flat(right.m2),
        count.reshape(-1), _flat(mean), _flat(m2),
    )  # fmt: skip
    return Node(level, index, count, mean, m2)


def push(nodes: list[Node], node: Node) -> None:
    """Add a node to the right of a list of nodes, joining halves as long as there are two."""
    while nodes and node.level >= 0 and node.index % 2 == 1:
        if (nodes[-1].level, nodes[-1].index) != (node.level, node.index - 1):
            break
        node = join(nodes.pop(), node, node.level + 1, node.index // 2)
    nodes.append(node)


def total(nodes: Iterable[Node]) -> Node:
    """Moments of everything in a list of nodes, joined from left to right."""
    first, *rest = nodes
    for node in rest:
        first = join(first, node, PARTIAL, 0)
    return first


def columns(node: Node, count: int) -> Node:
    """The first `count` columns of a node."""
    return Node(node.level, node.index, *(part[:, :count] for part in node.parts()))


def unpack(m2: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    """Symmetric [..., d, d] of packed lower triangles [..., d (d + 1) / 2]."""
    out = np.empty((*m2.shape[:-1], dimension, dimension))
    rows, columns = np.tril_indices(dimension)
    out[..., rows, columns] = m2
    out[..., columns, rows] = m2
    return out


def reduce_blocks(
    first: int, count: NDArray[np.int64], mean: NDArray[np.float64], m2: NDArray[np.float64]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
    """Join the moments of whole blocks [n], [n, d], [n, p] of one wave as the tree does, level by level.

    Returns one (count[1], mean[1, d], m2[1, p]) for each of `places(first, n)`, left to right; `first` is the number of
    the wave's first block.
    """
    from fastsgd.kernels.moments import join_moments

    left, right_end = [], []
    while len(count) > 0:
        if first % 2 == 1:
            left.append((count[:1], mean[:1], m2[:1]))
            count, mean, m2 = count[1:], mean[1:], m2[1:]
        if len(count) % 2 == 1:
            right_end.append((count[-1:], mean[-1:], m2[-1:]))
        first = (first + 1) // 2
        pairs = len(count) // 2
        right = [np.ascontiguousarray(a[1 : 2 * pairs : 2]) for a in (count, mean, m2)]
        count = np.ascontiguousarray(count[0 : 2 * pairs : 2])
        mean = np.ascontiguousarray(mean[0 : 2 * pairs : 2])
        m2 = np.ascontiguousarray(m2[0 : 2 * pairs : 2])
        join_moments(count, mean, m2, *right, count, mean, m2)
    return left + right_end[::-1]


def _flat(array: NDArray[np.float64]) -> NDArray[np.float64]:
    return array.reshape(-1, array.shape[-1])

"""Expressions of whole arrays on lanes: the same bits as one replicate at a time, and what NumPy says."""

import ast
import math

import numpy as np
import pytest
from fastsgd.kernels.lane_source import _steady
from fastsgd.kernels.lane_zeros import unread
from fastsgd.kernels.own_rewrite import Rewriting
from numba import njit
from test_lane_source import entered, on_lanes, one_by_one, points  # noqa: F401

MATRIX = np.arange(25.0).reshape(5, 5) % 7.0 / 8.0 - 0.25
SHIFT = np.array([0.5, -0.25, 0.125, 1.0, -1.0])


@njit
def whole(theta, sample, out):
    """Terms with and without a name, parts of arrays, sums and products of them, constants."""
    x = sample[1:] * 2.0 - theta[:-1]
    r = 1.0 / (1.0 + math.exp(-(x @ theta[1:])))
    gap = np.maximum(theta - 0.25, -sample) / (1.0 + np.abs(sample)) ** 2
    out[:] = r * gap + np.where(sample > theta, sample, 0.5) - np.sum(theta * sample) + SHIFT * sample
    out[1:] = x * (theta - sample).sum() + MATRIX[0, :4] * x.size
    out[-2:] = x[0]


@njit
def changed(theta, sample, out):
    """Arrays that change in place, and parts that overlap."""
    g = np.zeros_like(theta)
    g += theta * sample
    g -= 0.5
    h = g * theta
    g *= h - sample[:1]
    out[:] = g + np.minimum(h, np.tanh(sample)) + np.exp(theta) * theta[0]
    out[1:] = out[:-1] * 2.0 + 1.0
    out += h / 3.0


@njit
def products(theta, sample, out):
    out[...] = MATRIX @ (theta - sample) + theta @ MATRIX - np.sqrt(np.clip(sample, 0.0, 1.0))


@njit
def sided(theta, sample, out):
    """A number that becomes a vector in a loop, compared: both sides of the usual stable form."""
    z = 0.0
    for j in range(theta.size):
        z += sample[j] * theta[j]
    if z >= 0:
        p = 1.0 / (1.0 + math.exp(-z))
    else:
        e = math.exp(z)
        p = e / (1.0 + e)
    out[:] = 0.0
    for j in range(theta.size):
        out[j] += p * sample[j]


@njit
def hinge(theta, sample, out):
    """Whole arrays that are set in branches."""
    gap = 1.0 - theta @ sample
    if gap > 0.0:
        out[:] = -2.0 * gap * sample + 0.5 * theta
        out[1:] *= 3.0
    else:
        out[:] = 0.5
    if sample[0] > 0.0:
        out[:-1] -= theta[1:]


@njit
def gaps(theta, sample, scale=2.0):
    found = np.zeros(theta.size)
    for j in range(theta.size):
        found[j] = theta[j] - sample[j]
    return found / scale


@njit
def shifted(x):
    return gaps(x, 0.25 * x) + gaps(x, x * x, 4.0)


@njit
def many(theta, sample, out):
    """Arrays of helpers, and of one turn of a loop that the next one reads, of more memory than a room has."""
    before, kept = gaps(theta, sample), shifted(sample)
    for i in range(40):
        after = np.empty(100 + i)
        for j in range(after.size):
            after[j] = before[j % before.size] * 0.5 + kept[j % kept.size] + i
        before = after
    last = shifted(theta * sample)
    for j in range(theta.size):
        out[j] = before[j] + before[before.size - 1] * kept[j] - last[j]
    out[1:] = out[:-1] + out[1:] * theta[:-1]
    out[:-1] = out[1:] - sample[1:]
    out[:] = out * out[:1] + (MATRIX[:, :4] @ (out[1:] * 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("function", [whole, changed, products, sided, hinge, many], ids=lambda f: f.__name__)
def test_whole_arrays_on_lanes_and_alone_agree_to_the_bit(function, points):  # noqa: F811
    lanes = on_lanes(function, *points)
    assert np.array_equal(lanes, one_by_one(entered(Rewriting(lanes=0).function(function)), *points))
    plain = one_by_one(Rewriting(lanes=0, compiled=False).function(function), *points)
    np.testing.assert_allclose(lanes, plain, rtol=1e-13, atol=1e-13)
    assert np.ptp(lanes, axis=1).min() > 0.01


def of(*lines):
    text = "def g(theta, sample, out):\n" + "\n".join("    " + line for line in lines)
    return ast.parse(text).body[0]


LOOP = "for j in range(len(out)):"


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        (["out[:] = 0.0", LOOP, "    out[j] += theta[j]"], True),
        ([LOOP, "    out[j] = 0", "for j, x in enumerate(sample):", "    out[j] -= x * theta[j]"], True),
        (["out[:] = 0.0", "out += theta"], True),
        (["out[:] = 0.0", "out[:] += theta"], True),
        (["out[:] = 1.0", LOOP, "    out[j] += theta[j]"], False),  # no zeros
        (["out[:] = 0.0", LOOP, "    out[j] += theta[j]", "    out[j] += sample[j]"], False),  # twice
        (["out[:] = 0.0", LOOP, "    out[j] += theta[j] + out[0]"], False),  # read
        (["out[:] = 0.0", LOOP, "    out[j] *= theta[j]"], False),
        (["out[:] = 0.0", "for j in range(-2, 2):", "    out[j] += theta[j]"], False),  # -2 may be 1
        (["out[:] = 0.0", "for k in range(3):", "    for j in range(2):", "        out[j] += sample[k]"], False),
        (["out[:] = 0.0", LOOP, "    j = 0", "    out[j] += theta[j]"], False),
        (["out[:] = 0.0", "out[0] = 1.0", LOOP, "    out[j] += theta[j]"], False),
        ([LOOP, "    out[j] += theta[j]", "out[:] = 0.0"], False),  # the other way round
    ],
)
def test_what_is_added_once_to_zeros_is_written(lines, changes):
    tree = of(*lines)
    unread(tree)
    assert any(isinstance(n, ast.AugAssign) for n in ast.walk(tree)) != changes
    if changes:
        space = {}
        exec(compile(ast.Module([tree], []), "changed", "exec"), space)
        exec(compile(ast.Module([of(*lines)], []), "given", "exec"), given := {})
        theta, sample = np.array([1.0, -0.0]), np.array([3.0, 4.0])
        found, right = np.full(2, np.nan), np.full(2, np.nan)
        space["g"](theta, sample, found)
        given["g"](theta, sample, right)
        assert found.tobytes() == right.tobytes()


@pytest.mark.parametrize(
    ("head", "gone"),
    [
        ("for j in range(len(out)):", True),
        ("for j in range(theta.size):", True),
        ("for j, t in enumerate(theta):", True),
        ("for j in range(len(sample)):", False),
        ("for j in range(2):", False),
    ],
)
def test_zeros_go_where_every_element_is_written(head, gone):
    tree = of("out[:] = 0.0", head, "    out[j] += sample[j]")
    unread(tree, "theta")
    assert isinstance(tree.body[0], ast.Pass) is gone
    tree = of("out[:] = 0.0", head, "    if j == 1:", "        continue", "    out[j] += sample[j]")
    unread(tree, "theta")
    assert isinstance(tree.body[0], ast.Assign)


@pytest.mark.parametrize(
    ("lines", "steady"),
    [
        (["g = 2.0 * sample", "out[:] = g"], True),
        (["z = 0.0", "z += 1.0", "g = z * sample", "out[0] = g[0]"], True),
        (["g = 2.0 * sample", "sample[0] = 1.0", "out[:] = g"], False),
        (["x = sample[1:]", "g = 2.0 * sample", "x += 1.0", "out[:] = g"], False),
        (["g = 2.0 * out", "out[:] = g"], False),
        (["g = 2.0 * sample", "fill(sample)", "out[:] = g"], False),
    ],
)
def test_an_expression_stands_for_its_name_where_no_array_changes(lines, steady):
    assert _steady(of(*lines)) is steady

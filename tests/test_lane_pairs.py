"""Loops that go along two rows at once: the same operations in the same order for each row, in plain Python."""

import ast
import inspect
import textwrap

import numpy as np
import pytest
from fastsgd.kernels.lane_pairs import Pairs


def packed(theta, z, params, out):
    at = theta.size
    for j in range(len(theta)):
        g = params[j] * theta[j]
        for k in range(j + 1):
            g += params[at] * z[k]
            at += 1
        if g > 0.0:
            h = g - 1.0
        else:
            h = -g
        out[j] = h
    return at, g, h, j, k


def banded(theta, z, params, out):
    d, at, total, n = theta.size, 0, 0.5, 3
    for j in range(d):
        g, low = 0.25, 0.0
        for k in range(n):
            g -= params[at + k] * z[k]
            low += theta[j]
        out[j] = g + low + total
        at += n
        total += theta[j] * 0.1
    return at, total, j


def below(theta, z, params, out):
    d = theta.size
    C = params[d:]
    for j in range(d):
        g = theta[j]
        for k in range(j):
            g -= C[j * 2 + k] * z[k]
        out[j] = g * max(g, 0.5) if g > 0 else g
    return g


def none(theta, z, params, out):
    at = -3
    for j in range(theta.size):
        g = theta[j]
        for k in range(at):
            g += z[k]
        out[j] = g
    return at, g


def left(theta, z, params, out):
    """g is left to the next row."""
    g = 0.0
    for j in range(theta.size):
        for k in range(j + 1):
            g += params[k] * z[k]
        out[j] = g
    return g


def written(theta, z, params, out):
    """out is read."""
    for j in range(theta.size):
        g = 0.0
        for k in range(j + 1):
            g += params[k] * z[k]
        out[j] = g + (out[j - 1] if j > 0 else 0.0)
    return g


def sometimes(theta, z, params, out):
    """last has a value from the row that had one."""
    last = 0.0
    for j in range(theta.size):
        g = 0.0
        for k in range(j + 1):
            g += params[k] * z[k]
        if g > 0.5:
            last = g
        out[j] = g
    return last


def halves(theta, z, params, out):
    """share grows by rounded sums, turn by turn."""
    share = 0.1
    for j in range(theta.size):
        g = 0.0
        for k in range(j + 1):
            g += params[k] * z[k]
            share += 1
        out[j] = g
    return share


def ended(theta, z, params, out):
    """A loop that may end early."""
    for j in range(theta.size):
        g = 0.0
        for k in range(j + 1):
            g += params[k] * z[k]
        if g > 3.0:
            break
        out[j] = g
    return g


def apart(theta, z, params, out):
    """Sums in an array of its own."""
    x = np.empty(theta.size)
    for j in range(theta.size):
        x[j] = theta[j]
        for k in range(j + 1):
            x[j] += params[k] * z[k]
    out[:] = x
    return x[0]


def changed(function):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    before = ast.dump(tree)
    node = tree.body[0]
    node = Pairs(node).visit(node)
    space = {"np": np}
    exec(compile(ast.fix_missing_locations(tree), "pairs", "exec"), space)
    return space[node.name], ast.dump(tree) != before


@pytest.mark.parametrize("function", [packed, banded, below, none, left, written, sometimes, halves, ended, apart])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
def test_pairs_do_what_the_loop_does(function, d):
    made, paired = changed(function)
    assert paired == (function in (packed, banded, below, none))
    rng = np.random.default_rng(d)
    theta, z, params = rng.normal(size=d), rng.normal(size=max(d, 3)), rng.normal(size=4 * d * d + 3)
    expected, found = np.full(d, np.nan), np.full(d, np.nan)
    left_over = function(theta, z, params, expected)
    assert made(theta, z, params, found) == left_over
    assert np.array_equal(expected, found, equal_nan=True) and np.isfinite(expected[0])


@pytest.mark.parametrize("function", [banded, none])
def test_a_loop_of_no_rows(function):
    def called(f):
        try:
            return f(np.zeros(0), np.zeros(3), np.zeros(3), np.zeros(0))
        except UnboundLocalError:  # of what no row has set
            return None

    assert called(changed(function)[0]) == called(function)

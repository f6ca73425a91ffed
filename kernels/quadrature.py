"""Integrals over normal laws by sums in a fixed order, so that what is made of them has the same bits on every machine."""

import numpy as np

from ._jit import jit
from .links import exponential
from .vector import load, store

_8 = np.uint64(8)
_PANELS = 64
_TWO_PI = 6.283185307179586


@jit
def _panel(h, k, low, high, nodes, weights, u, values):
    """Integral over tan(t/2) in [low, high] of exp(-(h^2 + k^2 - 2 h k sin t) / (2 cos^2 t)) dt."""
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    for i in range(nodes.size):
        u[i] = middle + half * nodes[i]
        square = u[i] * u[i]
        # With sin t = 2u/(1 + u^2), cos t = (1 - u^2)/(1 + u^2) the exponent is that of two squares.
        sine, below = 2.0 * u[i] / (1.0 + square), (1.0 - square) / (1.0 + square)
        values[i] = -0.5 * ((h - k) * (h - k) / (below * below) + 2.0 * h * k / (1.0 + sine))
    for i in range(np.uint64(0), np.uint64(nodes.size), _8):
        store(values, i, exponential(load(values, i, 8)))
    total = 0.0
    for i in range(nodes.size):
        total += weights[i] * (values[i] * (2.0 / (1.0 + u[i] * u[i])))
    return half * total


@jit
def joint_excess(z, correlation, nodes, weights, out):
    """out[i, j] = P(Z_i <= z_i, Z_j <= z_j) - P(Z_i <= z_i) P(Z_j <= z_j) of standard normals, i != j; 0 for i = j.

    z float64[d]; correlation float64[d, d]; nodes, weights: Gauss-Legendre on [-1, 1], a multiple of 8. Plackett's
    identity as an integral over t in [0, arcsin rho] (Drezner and Wesolowsky 1990), in u = tan(t/2) on panels that halve
    towards |u| = 1. Absolute error below 1e-14 with 16 nodes.
    """
    d = z.size
    out[:] = 0.0
    u, values = np.empty(nodes.size), np.empty(nodes.size)
    for i in range(d):
        for j in range(i):
            rho = correlation[i, j]
            if rho == 0.0:
                continue
            end = abs(rho) / (1.0 + np.sqrt((1.0 - rho) * (1.0 + rho)))
            sign = 1.0 if rho > 0.0 else -1.0
            low, total = 0.0, 0.0
            for _ in range(_PANELS):
                high = min(end, 0.5 + 0.5 * low)
                total += _panel(z[i], sign * z[j], low, high, nodes, weights, u, values)
                low = high
                if high == end:
                    break
            out[i, j] = out[j, i] = sign * total / _TWO_PI
    return 0

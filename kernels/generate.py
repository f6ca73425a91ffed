"""Random numbers of generated data sets: sample i stands at replicate i of the data draws."""

import numpy as np

from ._jit import LANES, jit
from .normal import normals
from .philox import PURPOSE_DATA, counter_high, philox4x32
from .uniform import unit

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@jit
def data_normals(seed, step, out):
    """out[i, j] = normal j of sample i at a step (uint64, as the seed) of the data draws: float64[n, m]."""
    rows, columns = out.shape
    lanes = np.empty((columns + 1) * LANES)
    for begin in range(0, rows, LANES):
        normals(seed, PURPOSE_DATA, np.uint64(begin), step, np.uint64(columns), lanes)
        for lane in range(min(LANES, rows - begin)):
            for j in range(columns):
                out[begin + lane, j] = lanes[j * LANES + lane]
    return 0


@jit
def data_uniforms(seed, step, out):
    """out[i] = a uniform on [0, 1) of sample i at a step (uint64, as the seed) of the data draws: float64[n]."""
    for i in range(out.shape[0]):
        row = np.uint64(i)
        high = counter_high(PURPOSE_DATA, row, step)
        w0, w1, _, _ = philox4x32(np.uint64(0), step & _LOW, row & _LOW, high, seed & _LOW, seed >> _32)
        out[i] = unit(w0, w1)
    return 0


@jit
def poisson_counts(mean, none, uniform, out):
    """out[i] = smallest k whose Poisson(mean[i]) distribution function exceeds uniform[i]; none[i] = exp(-mean[i])."""
    for i in range(mean.shape[0]):
        k, mass = 0.0, none[i]
        below = mass
        # The sum stays below a uniform next to 1 by rounding; no such count lies 40 standard deviations out.
        last = mean[i] + 40.0 * np.sqrt(mean[i]) + 60.0
        while below <= uniform[i] and k < last:
            k += 1.0
            mass *= mean[i] / k
            below += mass
        out[i] = k
    return 0

"""Uniform draws on [0, 1)."""

import numpy as np

from ._jit import inline, jit
from .philox import PURPOSE_BASIS, counter_high, philox4x32

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_2_53 = 1.0 / 9007199254740992.0


@inline
def unit(w0, w1):
    """A uniform on [0, 1) with 53 bits from two 32-bit words."""
    return np.float64(((w0 & _LOW) | (w1 << _32)) >> np.uint64(11)) * _2_53


@jit
def basis_uniforms(seed, out):
    """Uniforms on [0, 1) for a random spectrum: out[i] stands at replicate i, step 1 of the basis draws."""
    step = np.uint64(1)
    for i in range(out.shape[0]):
        row = np.uint64(i)
        high = counter_high(PURPOSE_BASIS, row, step)
        w0, w1, _, _ = philox4x32(np.uint64(0), step, row, high, seed & _LOW, seed >> _32)
        out[i] = unit(w0, w1)
    return 0

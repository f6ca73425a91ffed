"""Antithetic draws and control variates of `stream.Stream`, on numbers and on vectors of lanes alike."""

from ._jit import inline
from .lane_calls import EXPONENTIAL, LOGARITHM

_exp, _log = EXPONENTIAL, LOGARITHM


@inline
def turn(sample):
    """The antithetic draws of a sample, in place: normals -z, uniforms 1 - u, exponentials -log(1 - exp(-e))."""
    for i in range(sample.normals.size):
        sample.normals[i] = -sample.normals[i]
    for i in range(sample.uniforms.size):
        sample.uniforms[i] = 1.0 - sample.uniforms[i]
    for i in range(sample.exponentials.size):
        sample.exponentials[i] = -_log(1.0 - _exp(-sample.exponentials[i]))


@inline
def deviations(sample, sums):
    """Add the draws of a sample less their means 0, 1/2, 1 to sums: normals, uniforms, exponentials in this order."""
    at = 0
    for i in range(sample.normals.size):
        sums[at] = sums[at] + sample.normals[i]
        at += 1
    for i in range(sample.uniforms.size):
        sums[at] = sums[at] + (sample.uniforms[i] - 0.5)
        at += 1
    for i in range(sample.exponentials.size):
        sums[at] = sums[at] + (sample.exponentials[i] - 1.0)
        at += 1

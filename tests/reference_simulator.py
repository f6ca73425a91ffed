"""Draws of a simulated sample and the mini-batch recursion, in plain Python with the arithmetic of the kernels."""

from reference_normal import ONE, as_double, fma, log, normals
from reference_philox import philox4

LOW = 0xFFFFFFFF


def uniforms(seed, replicate, step, count, purpose=5):
    """Uniforms 0 .. count - 1 of an address, on (0, 1): odd multiples of 2^-53."""
    found = []
    for number in range((count + 1) // 2):
        last = (purpose << 24) | ((replicate >> 32) & 0xFF) << 16 | ((step >> 32) & 0xFFFF)
        w = philox4((number & LOW, step & LOW, replicate & LOW, last), (seed & LOW, seed >> 32))
        for low, high in ((w[0], w[1]), (w[2], w[3])):
            found.append(as_double(((low | (high << 32)) >> 12) | ONE) - (1.0 - 2.0**-53))
    return found[:count]


def exponentials(seed, replicate, step, count):
    return [-log(u) for u in uniforms(seed, replicate, step, count, purpose=6)]


def recursion(gradient, optimum, counts, seed, replicate, steps, batch, eta):
    """Delta after `steps` steps from zero; gradient(theta, normals, uniforms, exponentials, total) adds to total."""
    nz, nu, ne = counts
    delta = [0.0] * len(optimum)
    for step in range(steps):
        z = normals(seed, "noise", replicate, step, batch * nz)
        u = uniforms(seed, replicate, step, batch * nu)
        e = exponentials(seed, replicate, step, batch * ne)
        theta = [o + x for o, x in zip(optimum, delta, strict=True)]
        total = [0.0] * len(optimum)
        for i in range(batch):
            here = [row[i * n : (i + 1) * n] for row, n in ((z, nz), (u, nu), (e, ne))]
            gradient(theta, *here, total)
        delta = [fma(-eta, t * (1.0 / batch), x) for t, x in zip(total, delta, strict=True)]
    return delta

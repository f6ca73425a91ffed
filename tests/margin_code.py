"""Gradients that are functions of margins times the sample, as users write them, and some that are not."""

import math

import numpy as np


def loops(theta, sample, out):
    margin = 0.0
    for j in range(theta.size):
        margin += sample[j] * theta[j]
    residual = 1.0 / (1.0 + math.exp(-margin)) - sample[theta.size]
    for j in range(theta.size):
        out[j] = residual * sample[j]


def temporaries(theta, sample, out):
    d = len(theta)
    x, g = np.empty(d), np.zeros(d)
    for j in range(d):
        x[j] = sample[j]
    z = 0.0
    for j in range(d):
        z = z + x[j] * theta[j]
    r = math.tanh(z) - sample[d]
    for j in range(d):
        g[j] = r * x[j]
    for j in range(d):
        out[j] = g[j]


def summed(theta, sample, out):
    z = np.sum(sample[:-1] * theta)
    g = (z - sample[-1]) * sample[:-1]
    out[:] = g / 2.0


def counted(theta, sample, out):
    z = 0.0
    for j, t in enumerate(theta):
        z -= t * sample[j]
    for j, x in enumerate(sample[:-1]):
        out[j] = -(z + sample[-1]) * x


def intercept(theta, sample, out):
    u = theta[0]
    for j in range(1, theta.size):
        u += theta[j] * sample[j - 1]
    r = np.exp(u) - sample[-1]
    out[0] = r
    for j in range(1, theta.size):
        out[j] = r * sample[j - 1] + 0.3 * theta[j]


def ridge(theta, sample, out):
    x, y = sample[:-1], sample[-1]
    out[:] = (x @ theta - y) * x
    out += 0.25 * theta


def changed(theta, sample, out):
    d = theta.shape[0]
    r = -sample[d] + sample[:d].dot(theta)
    out[:] = 0.0
    for j in range(d):
        out[j] += r * sample[j]
    for j in range(d):
        out[j] += theta[j] * 0.5
    out[:] *= 0.5


def hinge(theta, sample, out):
    y = 2.0 * sample[-1] - 1.0
    m = np.dot(sample[:-1], theta)
    if y * m < 1.0:
        for j in range(theta.size):
            out[j] = -y * sample[j]
    else:
        for j in range(theta.size):
            out[j] = 0.0


def leaves(theta, sample, out):
    y = 2.0 * sample[-1] - 1.0
    if y * (sample[:-1] @ theta) >= 1.0:
        out[:] = 0.0
        return
    out[:] = -y * sample[:-1]


def scale(theta, sample, out):
    d = theta.size - 1
    s = math.exp(-theta[d])
    r = 0.0
    for x, t in zip(sample[1:], theta[:-1]):  # noqa: B905
        r += x * t
    r = (sample[0] - r) * s
    for j in range(d):
        out[j] = -r * s * sample[j + 1]
    out[-1] = 1.0 - r * r


def product(x, theta):
    u = 0.0
    for j in range(theta.size):
        u += x[j] * theta[j]
    return u


def helped(theta, sample, out):
    g = math.atan(product(sample[:-1], theta)) - sample[-1]
    for j in range(theta.size):
        xj = sample[j]
        out[j] = g * xj


def mean(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] - sample[j]


def survival(theta, sample, out):
    x, time, event = sample[2:], abs(sample[0]), sample[1]
    eta = 0.0
    for j in range(len(x)):
        eta += x[j] * theta[j]
    for j in range(len(x)):
        out[j] = (time * np.exp(eta) - event) * x[j]


def quantile(theta, sample, out):
    n = theta.size
    r = sample[n] - np.sum(theta * sample[:n])
    w = 0.7 if r > 0 else -0.3
    out[...] = 0.0
    out[:n] -= w * sample[:n]


def written_after(theta, sample, out):
    u = sample[: theta.size] @ theta
    for j in range(theta.size):
        out[j] = u * sample[j]
    out[1] = u - 0.5
    out[-1] = theta[2] + sample[0]


def written_before(theta, sample, out):
    u = sample[: theta.size] @ theta
    out[1] = u - 0.5
    for j in range(theta.size):
        out[j] = u * sample[j]


ALONG = (
    loops, temporaries, summed, counted, intercept, ridge, changed, hinge, leaves, scale, helped, mean, survival, quantile,
    written_after, written_before,
)  # fmt: skip


# ---- what has no such form -------------------------------------------------------------------------------------------


def squares(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] * sample[j] * sample[j]


def functions_of_features(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] + math.tanh(sample[j])


def factor_of_its_own(theta, sample, out):
    r = sample[:-1] @ theta
    for j in range(theta.size):
        out[j] = r * theta[j] * sample[j]


def norms(theta, sample, out):
    s = 0.0
    for j in range(theta.size):
        s += sample[j] * sample[j]
    for j in range(theta.size):
        out[j] = s * sample[j] + theta[j]


def reads(theta, sample, out):
    for j in range(theta.size):
        out[j] = sample[j]
    s = out[0]
    for j in range(theta.size):
        out[j] = s * sample[j]


def two_places(theta, sample, out):
    for j in range(theta.size - 1):
        out[j] = theta[j] - sample[j]
    for j in range(theta.size - 1, theta.size):
        out[j] = 2.0 * sample[j]


def depends(theta, sample, out):
    n = int(theta[0] > 0.0) + 1
    for j in range(n):
        out[j] = sample[j] - theta[j]


def reversed_order(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] - sample[theta.size - 1 - j]


def changes_its_sample(theta, sample, out):
    sample[0] = 1.0
    for j in range(theta.size):
        out[j] = theta[j] - sample[j]


def renamed_later(theta, sample, out):
    r = sample[-1]
    g = r * sample[:-1]
    r = 2.0 * r
    out[:] = g + theta


TURNED = (
    squares, functions_of_features, factor_of_its_own, norms, reads, two_places, depends, reversed_order,
    changes_its_sample, renamed_later,
)  # fmt: skip

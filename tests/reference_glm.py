"""Mini-batch SGD of a GLM in exact arithmetic, rounded where the kernels round: slow, for a few steps.

The residual alone is taken from the kernels (its accuracy has its own tests); everything else is `fractions.Fraction`.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np


def fma(a: float, b: float, c: float) -> float:
    """a b + c, rounded once."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def margin(x: Sequence[float], theta: Sequence[float]) -> float:
    p = [0.0] * 8
    for j in range(len(x)):
        p[j % 8] = fma(x[j], theta[j], p[j % 8])
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))


def step(
    delta: list[float],
    optimum: Sequence[float],
    features: np.ndarray,
    targets: np.ndarray,
    ridge: float,
    batch: Sequence[int],
    eta: float,
    residual: Callable[[list[float], list[float]], list[float]],
) -> list[float]:
    """One step of SGD on a drawn batch."""
    theta = [o + x for o, x in zip(optimum, delta, strict=True)]
    rows = [features[i].tolist() for i in batch]
    weights = residual([margin(x, theta) for x in rows], [float(targets[i]) for i in batch])
    inverse = 1.0 / len(batch)
    out = []
    for j in range(len(delta)):
        total = 0.0
        for weight, x in zip(weights, rows, strict=True):
            total = fma(weight, x[j], total)
        out.append(fma(-eta, fma(ridge, theta[j], total * inverse), delta[j]))
    return out

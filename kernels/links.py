"""Mean functions of generalised linear models, eight margins at a time, from additions, products and divisions alone.

`residual(family, z, y)` is dl/dz, the derivative of the negative log-likelihood at margin z = x'theta and target y:

    LINEAR    z - y                            target real, unit variance
    LOGISTIC  1/(1 + exp(-z)) - y              target 0 or 1
    POISSON   exp(z) - y                       target >= 0
    PROBIT    -s phi(z) / Phi(s z), s = 2y - 1 target 0 or 1
    HUBER     z - y held within [-1, 1]        target real; threshold 1

NaN comes out where NaN goes in; exp(z) is infinite above 709.43 and held at exp(-708) below, so that an iterate that
diverges ends in numbers that are not finite.
The Mills ratio is a minimax fit made in 60 digits; its relative error is 2.7e-17.
"""

import numpy as np

from ._jit import inline, jit
from .elementary import exp_reduced, power_of_two
from .vector import absolute, fma, load, select, store

LINEAR, LOGISTIC, POISSON, PROBIT, HUBER = 0, 1, 2, 3, 4

_LARGEST, _SMALLEST = 709.7, -708.0
_DENSITY_0 = 0.3989422804014327  # 1 / sqrt(2 pi)


@inline
def exponential(x):
    """exp(x) of a vector, infinite above 709.43, held at x = -708 below; error below 1 ulp."""
    return _decay(select(x > _LARGEST, _LARGEST, x))


@inline
def _decay(x):
    """exp(x) of a vector that is at most 709.7."""
    x = select(x < _SMALLEST, _SMALLEST, x)
    shifted, p = exp_reduced(x)
    return (p + 1.0) * power_of_two(shifted)


@inline
def sigmoid(z):
    """1 / (1 + exp(-z)) of a vector, without overflow or cancellation on either side."""
    e = _decay(-absolute(z))
    return select(z < 0.0, e, 1.0) / (e + 1.0)


@inline
def mills_ratio(a):
    """(1 - Phi(a)) / phi(a) of a vector, a >= 0: polynomial in (a - 5)/(a + 5) of (1 + a) times the ratio."""
    t = (a - 5.0) / (a + 5.0)
    q = fma(t, -9.99802240829343e-10, -7.077031841982677e-10)
    q = fma(t, q, 1.1281645525139734e-08)
    q = fma(t, q, 9.094218432472913e-09)
    q = fma(t, q, -7.821049220473805e-08)
    q = fma(t, q, -6.589393318333421e-08)
    q = fma(t, q, 4.92889412763629e-07)
    q = fma(t, q, 3.2054886338682205e-07)
    q = fma(t, q, -3.2780889332747656e-06)
    q = fma(t, q, -1.7633721137504215e-07)
    q = fma(t, q, 2.2710081536644496e-05)
    q = fma(t, q, -2.4805835828998953e-05)
    q = fma(t, q, -0.00013437445842160464)
    q = fma(t, q, 0.00045704392266072)
    q = fma(t, q, 1.9530682704042314e-05)
    q = fma(t, q, -0.0042012903289861386)
    q = fma(t, q, 0.016348231274349995)
    q = fma(t, q, -0.03802659218586716)
    q = fma(t, q, 0.06150504584074597)
    q = fma(t, q, -0.06617760077909461)
    q = fma(t, q, 0.02507217930161715)
    q = fma(t, q, 0.07778159886873764)
    q = fma(t, q, -0.2294875382521129)
    q = fma(t, q, 1.1568486282918946)
    return q / (a + 1.0)


@inline
def density_ratio(u):
    """phi(u) / Phi(u) of a vector: the score of a probit."""
    a = absolute(u)
    m = mills_ratio(a)
    square = a * a
    # The rounding error of the square is given back: exp(-(s + e)/2) = exp(-s/2) (1 - e/2).
    e = fma(a, a, -square)
    density = exponential(square * -0.5) * fma(e, -0.5, 1.0) * _DENSITY_0
    return select(u > 0.0, density, 1.0) / select(u > 0.0, fma(-density, m, 1.0), m)


@inline
def clipped(x):
    """x held within [-1, 1]; NaN stays."""
    return select(x > 1.0, 1.0, select(x < -1.0, -1.0, x))


@inline
def residual(family, z, y):
    """dl/dz of a vector of margins at a vector of targets."""
    if family == LOGISTIC:
        return sigmoid(z) - y
    if family == LINEAR:
        return z - y
    if family == POISSON:
        return exponential(z) - y
    if family == HUBER:
        return clipped(z - y)
    s = y * 2.0 - 1.0
    return -(s * density_ratio(s * z))


@inline
def curvature(family, z, y):
    """d2l/dz2 of a vector of margins at a vector of targets."""
    if family == LOGISTIC:
        return sigmoid(z) * sigmoid(-z)
    if family == LINEAR:
        return select(z == z, 1.0, z)
    if family == POISSON:
        return exponential(z)
    if family == HUBER:
        return select(absolute(z - y) < 1.0, 1.0, (z - y) * 0.0)
    u = (y * 2.0 - 1.0) * z
    score = density_ratio(u)
    return score * (score + u)


@inline
def information(family, z):
    """E[(dl/dz)^2] of a vector of margins, the target drawn from the model: curvature itself for a canonical link."""
    if family == PROBIT:
        return density_ratio(z) * density_ratio(-z)
    return curvature(family, z, z)


SCORE, CURVATURE, INFORMATION = 0, 1, 2


@jit
def link_values(what, family, z, y, out):
    """out[i] = dl/dz (SCORE), d2l/dz2 (CURVATURE) or the information at (z[i], y[i]): float64[m], m a multiple of 8."""
    for i in range(np.uint64(0), np.uint64(z.size), np.uint64(8)):
        margin, target = load(z, i, 8), load(y, i, 8)
        if what == SCORE:
            store(out, i, residual(family, margin, target))
        elif what == CURVATURE:
            store(out, i, curvature(family, margin, target))
        else:
            store(out, i, information(family, margin))
    return 0

"""Mean-CVaR portfolio on a pool of scenarios of returns: SGD with the gradient of a smoothed Rockafellar-Uryasev loss.

    R = r_k + sum_j (r_j - r_k) w_j,  x = -R - alpha,  f = c / (1 - beta) (1 + x / sqrt(x^2 + 4 h^2)) / 2
    gradient   -f for alpha, -(r_j - r_k)(1 + f) for w_j
    regular     c for alpha,  ridge (w_j - w_k) for w_j,   w_k = 1 - w_1 - ... - w_{k-1}

theta: alpha, w_1 ... w_{k-1}; a row of the pool: r_k, r_1 - r_k, ..., r_{k-1} - r_k. params: c, c / (1 - beta), 4 h^2, ridge;
shape: k.
"""

from ._jit import LANES, inline
from .parallel import parallel
from .pooled import stepper
from .simulator import get, put
from .vector import doubles, fma, sqrt


@inline
def gradient(params, shape, sample, theta, weight, total):
    gain = get(sample, 0)
    for j in range(1, shape[0]):
        gain = fma(get(sample, j), get(theta, j), gain)
    x = -gain - get(theta, 0)
    tail = params[1] * (0.5 * (x / sqrt(fma(x, x, params[2])) + 1.0))
    put(total, 0, fma(-weight, tail, get(total, 0)))
    factor = -weight * (tail + 1.0)
    for j in range(1, shape[0]):
        put(total, j, fma(factor, get(sample, j), get(total, j)))


@inline
def regular(params, shape, theta, total):
    put(total, 0, get(total, 0) + params[0])
    last = doubles(1.0, LANES)
    for j in range(1, shape[0]):
        last = last - get(theta, j)
    for j in range(1, shape[0]):
        put(total, j, fma(params[3], get(theta, j) - last, get(total, j)))


advance = parallel(stepper(gradient, regular))

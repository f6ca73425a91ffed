"""Mini-batch SGD of a generalised linear model on fresh generated data: a sample is drawn when it is needed.

    x_1 = z_1,  x_j = rho x_{j-1} + sqrt(1 - rho^2) z_j                 features, correlated as AR(1)
    t   = x'beta                                                       true margin
    y   = 1{u < 1/(1 + exp(-t))}, 1{t + z > 0}, Poisson(exp t) by inversion, or t + sigma z       by `truth`
    g   = dl/dz(theta_0 + x'theta, y) (1, x) + ridge theta             the intercept only if there is one

For a real target sigma is `outlier` times as large where u < contamination. A mean of a count is held at 700.
params: ridge, threshold, rho, sqrt(1 - rho^2), sigma, contamination, outlier, beta[p]; shape: p, 1 with an intercept or 0,
family, truth (codes of `links`; HUBER stands for LINEAR in a truth). A sample: 1 if there is an intercept, x, y.
"""

from ._jit import LANES, inline
from .lanes import any_lane
from .links import HUBER, LOGISTIC, POISSON, PROBIT, clipped, exponential, residual, sigmoid
from .parallel import parallel
from .simulator import get, pilot, put, stepper
from .vector import doubles, fma, select

_HEAD = 7
_LARGEST_LOG_MEAN = 6.55
_LONGEST = 4096  # a count whose inversion goes on so long is one whose sum of probabilities rounds to below u


@inline
def poisson(t, u):
    """Smallest k whose Poisson(exp(t)) distribution function exceeds u, lane by lane."""
    mean = exponential(select(t < _LARGEST_LOG_MEAN, t, _LARGEST_LOG_MEAN))
    mass = exponential(-mean)
    below, count, k = mass, doubles(0.0, LANES), 0.0
    short = below <= u
    while any_lane(short) and k < _LONGEST:
        k += 1.0
        mass = mass * (mean / k)
        count = select(short, k, count)
        below = select(short, below + mass, below)
        short = below <= u
    return count


@inline
def simulate(params, shape, normals, uniforms, exponentials, sample):
    p, intercept, truth = shape[0], shape[1], shape[3]
    rho, rest = params[2], params[3]
    if intercept:
        put(sample, 0, doubles(1.0, LANES))
    x, t = doubles(0.0, LANES), doubles(0.0, LANES)
    for j in range(p):
        x = get(normals, 0) if j == 0 else fma(rho, x, rest * get(normals, j))
        put(sample, intercept + j, x)
        t = fma(params[_HEAD + j], x, t)
    if truth == LOGISTIC:
        y = select(get(uniforms, 0) < sigmoid(t), doubles(1.0, LANES), 0.0)
    elif truth == PROBIT:
        y = select(t + get(normals, p) > 0.0, doubles(1.0, LANES), 0.0)
    elif truth == POISSON:
        y = poisson(t, get(uniforms, 0))
    else:
        noise = get(normals, p)
        if params[5] > 0.0:
            noise = select(get(uniforms, 0) < params[5], params[6] * noise, noise)
        y = fma(params[4], noise, t)
    put(sample, intercept + p, y)


@inline
def gradient(params, shape, sample, theta, total):
    ridge, threshold, family = params[0], params[1], shape[2]
    d = shape[0] + shape[1]
    z = doubles(0.0, LANES)
    for j in range(d):
        z = fma(get(sample, j), get(theta, j), z)
    y = get(sample, d)
    slope = threshold * clipped((z - y) / threshold) if family == HUBER else residual(family, z, y)
    for j in range(d):
        sum_j = fma(slope, get(sample, j), get(total, j))
        put(total, j, fma(ridge, get(theta, j), sum_j) if ridge > 0.0 else sum_j)


advance = parallel(stepper(simulate, gradient))
collect = parallel(pilot(simulate, gradient))

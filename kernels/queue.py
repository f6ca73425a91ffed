"""Service rates of d separate single-server queues: SGD with infinitesimal perturbation analysis over a block of customers.

With unit service times V_i (means of `phases` exponentials) and times A_i between Poisson arrivals, at rate mu

    S_i = V_i / mu,   T_i = W_i + S_i,   W_{i+1} = (T_i - A_{i+1})^+                        Lindley's recursion
    dS_i = -S_i / mu, dT_i = dW_i + dS_i, dW_{i+1} = dT_i where W_{i+1} > 0, else 0
    g = cost + (dT_1 + ... + dT_n) / n

W_1 = 0, or W_1 = (log(lambda/mu) + E)^+ / (mu - lambda) with an exponential E: the stationary law of the wait in M/M/1, with
dW_1 = -(1/mu + W_1) / (mu - lambda) where W_1 > 0. A rate below `lowest` has the gradient at `lowest`.
params: lambda[d], cost[d], lowest[d]; shape: d, customers n, phases, 1 for a stationary start. A sample: of each queue E and
the times A_2 ... A_n, then V_1 ... V_n.
"""

import numpy as np

from ._jit import LANES, inline, jit
from .elementary import log
from .parallel import parallel
from .simulator import get, pilot, put, stepper
from .vector import doubles, select


@inline
def simulate(params, shape, normals, uniforms, exponentials, sample):
    d, customers, phases = shape[0], shape[1], shape[2]
    source, to = 0, 0
    for j in range(d):
        inverse, share = 1.0 / params[j], 1.0 / phases
        for i in range(customers):
            e = get(exponentials, source + i)
            put(sample, to + i, e if i == 0 else e * inverse)
        source += customers
        to += customers
        for i in range(customers):
            total = get(exponentials, source)
            for k in range(1, phases):
                total = total + get(exponentials, source + k)
            put(sample, to + i, total * share)
            source += phases
        to += customers


@inline
def gradient(params, shape, sample, theta, total):
    d, customers = shape[0], shape[1]
    zero = doubles(0.0, LANES)
    for j in range(d):
        rate, lowest, at = params[j], params[2 * d + j], 2 * j * customers
        mu = select(get(theta, j) > lowest, get(theta, j), lowest)
        inverse = 1.0 / mu
        wait, slope = zero, zero
        if shape[3]:
            apart = 1.0 / (mu - rate)
            wait = (log(rate * inverse) + get(sample, at)) * apart
            slope = select(wait > 0.0, -(inverse + wait) * apart, 0.0)
            wait = select(wait > 0.0, wait, 0.0)
        slopes = zero
        for i in range(customers):
            if i > 0:
                wait = wait - get(sample, at + i)
                slope = select(wait > 0.0, slope, 0.0)
                wait = select(wait > 0.0, wait, 0.0)
            service = get(sample, at + customers + i) * inverse
            wait = wait + service
            slope = slope - service * inverse
            slopes = slopes + slope
        put(total, j, get(total, j) + (params[d + j] + slopes * (1.0 / customers)))


advance = parallel(stepper(simulate, gradient))
collect = parallel(pilot(simulate, gradient))


@jit
def phases_found(q, customers, phases, out):
    """out[0:3] = sum over the customers of E P_i, and its first and second derivative in q, in an empty system at first.

    P_i, the service phases that customer i finds, is a Markov chain: P_1 = 0, P_{i+1} = (P_i + phases - M)^+ with a geometric
    number M of phases finished between two arrivals, P(M = m) = q^m (1 - q), q = phases mu / (lambda + phases mu).
    """
    size = customers * phases + 1
    p0, p1, p2 = np.zeros(size), np.zeros(size), np.zeros(size)
    p0[0] = 1.0
    out[0] = out[1] = out[2] = 0.0
    for i in range(1, customers):
        top = i * phases
        c0, c1, c2 = 0.0, 0.0, 0.0
        for m in range(top, -1, -1):
            a0, a1, a2 = 0.0, 0.0, 0.0
            if m >= phases:
                a0, a1, a2 = p0[m - phases], p1[m - phases], p2[m - phases]
            # c = sum over j >= m of q^(j-m) P(P_i + phases = j), from the top, with its derivatives.
            c0, c1, c2 = a0 + q * c0, a1 + c0 + q * c1, a2 + 2.0 * c1 + q * c2
            if m > 0:
                p0[m], p1[m], p2[m] = (1.0 - q) * c0, (1.0 - q) * c1 - c0, (1.0 - q) * c2 - 2.0 * c1
                out[0] += m * p0[m]
                out[1] += m * p1[m]
                out[2] += m * p2[m]
            else:
                p0[0], p1[0], p2[0] = c0, c1, c2
    return 0

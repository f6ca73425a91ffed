"""Stocks of d products: SGD with the pathwise gradient of the newsvendor loss under correlated demand.

    demand_j   = location_j + sum_k C_jk z_k            C lower triangular, z standard normals; its exponential if lognormal
    gradient_j = over_j where demand_j <= theta_j, -under_j where it is above

params: over[d], under[d], location[d], then C by rows; shape: d, and 1 for lognormal or 0.
"""

from ._jit import LANES, inline
from .links import exponential
from .parallel import parallel
from .simulator import get, pilot, put, stepper
from .vector import doubles, fma, select


@inline
def simulate(params, shape, normals, uniforms, exponentials, sample):
    """sample[j] = demand j, j = 0 .. d - 1."""
    d = shape[0]
    at = 3 * d
    for j in range(d):
        demand = doubles(params[2 * d + j], LANES)
        for k in range(j + 1):
            demand = fma(params[at], get(normals, k), demand)
            at += 1
        put(sample, j, exponential(demand) if shape[1] else demand)


@inline
def gradient(params, shape, sample, theta, total):
    d = shape[0]
    for j in range(d):
        short = get(sample, j) > get(theta, j)
        put(total, j, get(total, j) + select(short, doubles(-params[d + j], LANES), params[j]))


advance = parallel(stepper(simulate, gradient))
collect = parallel(pilot(simulate, gradient))

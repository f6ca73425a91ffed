"""Service rates mu of d separate single-server queues with Poisson arrivals of rate lambda: the cost of speed against waiting.

    l(mu; block) = sum_j c_j mu_j + (T_j1 + ... + T_jn) / n        T: times in the system of n successive customers

with the pathwise gradient of Lindley's recursion (infinitesimal perturbation analysis), `kernels.queue`. The objective is
that of the block itself, so there is no bias of a finite block:

    start = stationary   exponential service, W_1 from the stationary law of the wait: E T_i = 1/(mu - lambda) for every i,
                         theta* = lambda + 1/sqrt(c), H = 2/(mu - lambda)^3, exact for mu > lambda
    start = empty        W_1 = 0, Erlang service of k phases: E T_i = (E P_i + k)/(k mu), P_i the phases that customer i
                         finds, a Markov chain whose means and derivatives in mu are summed exactly (`phases_found`)

H is diagonal and exact to rounding. G, diagonal too as the queues are independent, is the second moment of the pathwise
gradient at theta* (its mean there is 0) over `pilot` simulated blocks, with its standard error in `noise_error`. Below the rate
lambda / largest_load the loss goes on along its tangent, so that an iterate that falls under it comes back.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from fastsgd.problems.simulated import SimulatedProblem, Simulator, check_metric, metric_matrix
from fastsgd.spec.tables import each

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.simulated import Queue

_PARTS = 32  # of the pilot, for errors of predictions
_STREAMS = 1024


class Means(NamedTuple):
    """Mean time in the system over a block, and its first and second derivatives in the rate."""

    sojourn: float
    slope: float
    curvature: float


def dimension(section: Queue) -> int:
    """d, from the lists of rates and costs."""
    return max(len(v) if isinstance(v, tuple) else 1 for v in (section.arrival_rate, section.rate_cost))


def means(section: Queue, rate: float, mu: float) -> Means:
    """Of one queue with arrival rate `rate` and service rate mu (> rate if stationary)."""
    from fastsgd.kernels.queue import phases_found

    if section.start == "stationary":
        apart = mu - rate
        return Means(1.0 / apart, -1.0 / (apart * apart), 2.0 / (apart * apart * apart))
    n, k = section.customers, section.phases
    below, sums = rate + k * mu, np.empty(3)
    q, q1, q2 = k * mu / below, k * rate / below**2, -2.0 * k * k * rate / below**3
    phases_found(q, n, k, sums)
    # (P + k)/(k mu) with P(q(mu)), differentiated twice.
    p0, p1, p2 = sums[0] / n + k, sums[1] / n * q1, (sums[2] * q1 * q1 + sums[1] * q2) / n
    return Means(
        float(p0 / (k * mu)),
        float((p1 - p0 / mu) / (k * mu)),
        float((p2 - 2.0 * p1 / mu + 2.0 * p0 / (mu * mu)) / (k * mu)),
    )


def optimal_rate(section: Queue, rate: float, cost: float) -> float | None:
    """The zero of cost + slope above rate / largest_load, None if there is none: Newton, held in a bracket."""
    low = rate / section.largest_load
    if cost + means(section, rate, low).slope >= 0.0:
        return None
    if section.start == "stationary":
        return rate + 1.0 / math.sqrt(cost)
    high = 2.0 * low
    while cost + means(section, rate, high).slope < 0.0:
        high *= 2.0
    mu = 0.5 * (low + high)
    for _ in range(200):
        at = means(section, rate, mu)
        if cost + at.slope < 0.0:
            low = mu
        else:
            high = mu
        new = mu - (cost + at.slope) / at.curvature
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - mu) <= 4e-16 * mu:
            return new
        mu = new
    return mu


def check(spec: Spec) -> tuple[list[str], int, None]:
    """What the rates and the metric have wrong, d, and no pool."""
    section = cast("Queue", spec.problem)
    d = dimension(section)
    lines = check_metric(spec, d)
    for j, (rate, cost) in enumerate(_queues(section)):
        if optimal_rate(section, rate, cost) is None:
            low = rate / section.largest_load
            rule = f"problem.rate_cost must make a rate above arrival_rate / largest_load = {low:.6g} best"
            lines.append(f"{rule} for queue {j}, got {cost:.6g}; give a lower cost or a larger largest_load")
            break
    return lines, d, None


def _queues(section: Queue) -> list[tuple[float, float]]:
    d = dimension(section)
    pairs = zip(each(section.arrival_rate, d), each(section.rate_cost, d), strict=True)
    return [(float(rate), float(cost)) for rate, cost in pairs]


def build(spec: Spec) -> SimulatedProblem:
    """Optimum, Hessian and pilot of a checked spec."""
    section = cast("Queue", spec.problem)
    queues = _queues(section)
    d, optimum, hessian = len(queues), np.empty(len(queues)), np.zeros((len(queues), len(queues)))
    for j, (rate, cost) in enumerate(queues):
        best = optimal_rate(section, rate, cost)
        assert best is not None, "a checked spec has an optimum"
        optimum[j], hessian[j, j] = best, means(section, rate, best).curvature
    simulator = _simulator(section, queues)
    samples = -(-section.pilot // _STREAMS)
    second = np.diagonal(simulator.moments(optimum, samples, section.pilot_seed)[1], axis1=1, axis2=2) / samples
    noise = np.diag([math.fsum(column) / _STREAMS for column in second.T])
    parts = second.reshape(_PARTS, -1, d).mean(axis=1)[:, :, None] * np.eye(d)
    errors = np.diag(second.std(axis=0, ddof=1) / math.sqrt(_STREAMS))
    return SimulatedProblem(
        kind="queue",
        coordinates=[str(j) for j in range(d)],
        optimum=optimum,
        hessian=hessian,
        noise=noise,
        metric=metric_matrix(spec, hessian=hessian, noise=noise),
        arrays={"noise_error": errors, "noise_parts": parts},
        simulator=simulator,
    )


def _simulator(section: Queue, queues: list[tuple[float, float]]) -> Simulator:
    d, n = len(queues), section.customers
    rates, costs = np.array(queues).T
    return Simulator(
        kernel="queue",
        params=np.concatenate([rates, costs, rates / section.largest_load]),
        shape=np.array([d, n, section.phases, section.start == "stationary"], dtype=np.int64),
        counts=np.array([0, 0, d * n * (1 + section.phases)], dtype=np.int64),
        width=2 * d * n,
    )

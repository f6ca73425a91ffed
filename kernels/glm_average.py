"""Time averages of mini-batch SGD on a pool: `glm` in groups of replicates whose samples are added up in cache."""

import numpy as np

from ._jit import leaf
from .average import GROUP, HELD, add_up, next_samples
from .caches import level_of
from .draws import make_plan, make_scratch
from .glm import fly, make_job, way_of
from .parallel import parallel

_0 = np.uint64(0)


@leaf
def _average(
    begin, here, job, plan, scratch, memory, delta, way, seed, first_replicate, first_step, burn_in, thin, samples, metric,
    diagonal, x, most, first, second, risks,
):  # fmt: skip
    """One group in the memory that was made for it; x: room for `most` samples of each arm."""
    arms, dimension, steps = delta.shape[0], delta.shape[2], job.etas.shape[1]
    apart, room = here * ((dimension + 7) // 8 * 8), len(x) // arms
    side = apart // here
    done = 0
    while done < steps:
        now = np.int64(first_step) + done
        taken, until, count, ahead = next_samples(now, steps - done, most, burn_in, thin, samples)
        for v in range(0, here, np.int64(job.flight)):
            fly(
                np.uint64(begin + v), np.uint64(min(np.int64(job.flight), here - v)), np.uint64(done),
                np.uint64(done + ahead), job, plan, scratch, memory, delta, way, seed, first_replicate, first_step,
                np.uint64(until) if count > 0 else _0, np.uint64(thin), x, np.uint64(v * side), np.uint64(room),
                np.uint64(apart),
            )  # fmt: skip
        done += ahead
        for a in range(arms):
            add_up(
                x[a * room :], taken, count, samples, here, dimension, metric[a], diagonal, first[a], second[a],
                risks[a, begin : begin + here],
            )  # fmt: skip


@parallel
def _average_group(
    group, delta, optimum, pool, level, n, ridge, way, plan, etas, seed, first_replicate, first_step, burn_in, thin, samples,
    metric, diagonal, first, second, risks,
):  # fmt: skip
    """Run one group through a segment and add its samples to its sums."""
    arms, replicates, dimension = delta.shape
    begin = group * GROUP
    here = min(GROUP, replicates - begin)
    apart = here * ((dimension + 7) // 8 * 8)
    most = max(1, HELD // apart)
    job, memory = make_job(delta, optimum, pool, level, n, ridge, plan, etas)
    # Padding stays zero.
    x = np.zeros(arms * most * apart)
    _average(
        begin, here, job, plan, make_scratch(plan), memory, delta, way, seed, first_replicate, first_step, burn_in, thin,
        samples, metric, diagonal, x, most, first[group], second[group], risks,
    )  # fmt: skip
    return np.int64(0)


def average_glm(
    delta, optimum, pool, n, ridge, family, b, design, etas, seed, first_replicate, first_step, burn_in, thin, samples, metric,
    diagonal, first, second, risks,
):  # fmt: skip
    """`glm.advance_glm` that also takes samples, to the same bits; samples and sums as in `average.average_quadratic`."""
    way, plan = way_of(pool, n, family, b), make_plan(int(n), int(b), int(design))
    return _average_group(
        len(first), delta, optimum, pool, level_of(pool), n, ridge, way, plan, etas, seed, first_replicate, first_step,
        np.int64(burn_in), np.int64(thin), np.int64(samples), metric, diagonal, first, second, risks,
    )  # fmt: skip

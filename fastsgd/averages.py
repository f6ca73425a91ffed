"""Time averages of a run: which samples are taken, how their sums grow with a wave, and what is stored of them.

Sums of groups of 16 replicates are added up in blocks of 64 in a fixed order and become one more column of the moment
tree, behind the recorded steps: count (samples times replicates), mean and centred second moments in the original
coordinates. So they are merged and extended like all moments. A group in which a replicate diverged is left out, which
its count tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.moments import Node, unpack
from fastsgd.problems.samples import Samples, SamplingStepper, Sums
from fastsgd.problems.working import matrix_to_working

if TYPE_CHECKING:
    from fastsgd.plan import Plan
    from fastsgd.problems import Arm
    from fastsgd.spec import Spec

Array = NDArray[np.float64]
Block = tuple[NDArray[np.int64], Array, Array]

_ROUNDING = 1e-13


def samples_of(spec: Spec, arms: Sequence[Arm]) -> Samples | None:
    """The samples of a checked spec; None if it asks for no averages."""
    from fastsgd.kernels.average import padded

    average = spec.record.average
    if average is None:
        return None
    metrics = np.stack([matrix_to_working(arm.problem.basis, arm.problem.metric) for arm in arms])
    d = metrics.shape[-1]
    side = padded(d)
    scale = np.sqrt(np.abs(np.einsum("aii->ai", metrics)))
    off = np.abs(metrics) * (1.0 - np.eye(d))
    diagonal = bool(np.all(off <= _ROUNDING * scale[:, :, None] * scale[:, None, :]))
    square = np.zeros((len(arms), side, side))
    square[:, :d, :d] = metrics
    stored = np.einsum("aii->ai", square).copy() if diagonal else square.reshape(len(arms), side * side)
    count = (spec.horizon - average.burn_in) // average.thin
    return Samples(average.burn_in, average.thin, count, average.batches, stored, diagonal)


def numbers_per_replicate(samples: Samples | None, arms: int, dimension: int) -> int:
    """float64 that the sums of one replicate take in memory."""
    from fastsgd.kernels.average import GROUP, padded, tiles

    if samples is None:
        return 0
    return arms * (samples.batches + -(-(padded(dimension) + tiles(dimension)) // GROUP))


def shapes(samples: Samples, arms: int, replicates: int, dimension: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the sums of a wave, by the names they have in a checkpoint."""
    from fastsgd.kernels.average import GROUP, padded, tiles

    groups = -(-replicates // GROUP)
    return {
        "average_first": (groups, arms, padded(dimension)),
        "average_second": (groups, arms, tiles(dimension)),
        "average_risk_sum": (arms, replicates, samples.batches),
    }


def zero_sums(samples: Samples, arms: int, replicates: int, dimension: int) -> Sums:
    """Sums of a wave before its first sample."""
    return Sums(*(np.zeros(shape) for shape in shapes(samples, arms, replicates, dimension).values()))


def checkpoint(sums: Sums | None) -> dict[str, Array]:
    """The sums as a commit takes them."""
    if sums is None:
        return {}
    return {"average_first": sums.first, "average_second": sums.second, "average_risk_sum": sums.risk}


def restored(extra: Mapping[str, Array]) -> Sums:
    """The sums of a commit."""
    names = ("average_first", "average_second", "average_risk_sum")
    return Sums(*(np.ascontiguousarray(extra[name]) for name in names))


def missed(samples: Samples | None, step: int) -> str | None:
    """What forbids to go on from the end of another run at `step`: samples that were not taken. None if nothing."""
    if samples is None or samples.burn_in + samples.thin > step:
        return None
    return (
        f"record.average takes samples from step {samples.burn_in + samples.thin} on, and the run ends at step {step}; "
        f"give burn_in >= {max(step + 1 - samples.thin, 0)}, or run the longer spec anew"
    )


def advance(plan: Plan, delta: Array, sums: Sums, first: int, step: int, taken: int) -> None:
    """Take replicates through steps step .. step + taken - 1 and add the samples on the way to the sums."""
    samples, stepper, seed = plan.samples, plan.stepper, plan.spec.seed
    assert samples is not None and seed is not None
    if isinstance(stepper, SamplingStepper):
        stepper.advance_sampling(delta, plan.sizes(step, step + taken), seed, first, step, samples, sums)
        return
    from fastsgd.kernels.average import add_sample

    end = step + taken
    while step < end:
        following = samples.after(step)
        stop = end if following is None else min(end, following[1])
        stepper.advance(delta, plan.sizes(step, stop), seed, first, step)
        step = stop
        if following is not None and stop == following[1]:
            batch = following[0] * samples.batches // samples.count
            add_sample(delta, samples.metric, samples.diagonal, batch, sums.first, sums.second, sums.risk)


def blocks(plan: Plan, sums: Sums, replicates: int) -> list[Block]:
    """Moments of each block of 64 replicates over its samples, for each arm: count [n], mean [n, d], m2 [n, p]."""
    assert plan.samples is not None
    with np.errstate(over="ignore", invalid="ignore"):
        return [_blocks_of_arm(plan, sums, replicates, a) for a in range(len(plan.arms))]


def _blocks_of_arm(plan: Plan, sums: Sums, replicates: int, arm: int) -> Block:
    from fastsgd.kernels.average import GROUP, untile
    from fastsgd.kernels.linalg import congruence
    from fastsgd.kernels.moments import BLOCK

    d, basis, samples = plan.dimension, plan.arms[arm].problem.basis, plan.samples
    assert samples is not None
    groups = len(sums.first)
    members = np.minimum(GROUP, replicates - GROUP * np.arange(groups))
    first, second = sums.first[:, arm, :d], sums.second[:, arm]
    whole = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    per_block = BLOCK // GROUP
    n = -(-replicates // BLOCK)
    count = np.zeros(n, dtype=np.int64)
    mean, tiled = np.zeros((n, d)), np.zeros((n, second.shape[1]))
    for place in range(per_block):  # in the order of the replicates
        rows = np.flatnonzero(whole & (np.arange(groups) % per_block == place))
        at = rows // per_block
        count[at] += members[rows] * samples.count
        mean[at] += first[rows]
        tiled[at] += second[rows]
    divisor = np.maximum(count, 1).astype(np.float64)
    square = untile(tiled, d) - mean[:, :, None] * (mean[:, None, :] / divisor[:, None, None])
    mean /= divisor[:, None]
    if basis is not None:
        turned = np.zeros_like(mean)
        for j in range(d):  # a fixed order of additions, unlike a matrix product
            turned += mean[:, j, None] * basis[j]
        mean = turned
        columns, inner = np.ascontiguousarray(basis.T), square.copy()
        for k in range(n):
            congruence(columns, inner[k], square[k])
    lower, left = np.tril_indices(d)
    return count, mean, np.ascontiguousarray(square[:, lower, left])


def risk_rows(samples: Samples, sums: Sums) -> tuple[Array, Array]:
    """Time-averaged risk of each replicate float64[A, R], and of each of its batches float64[A, R, batches].

    NaN where a replicate diverged.
    """
    counts = samples.batch_counts.astype(np.float64)
    batch = sums.risk / counts
    total = np.zeros(sums.risk.shape[:2])
    for b in range(samples.batches):
        total += sums.risk[:, :, b]
    risk = total / float(samples.count)
    lost = ~np.isfinite(risk)
    risk[lost], batch[lost] = np.nan, np.nan
    return risk, batch


def results(column: Node, dimension: int) -> dict[str, Array | NDArray[np.int64]]:
    """What a finished run keeps of the last column of its moments, with a leading axis of arms."""
    count, mean = column.count[:, -1], column.mean[:, -1]
    divisor = np.where(count > 0, count, np.nan)[:, None]
    second = unpack(column.m2[:, -1] / divisor, dimension) + mean[:, :, None] * mean[:, None, :]
    return {
        "average_count": count,
        "average_mean": np.where(divisor > 0, mean, np.nan),
        "average_second_moment": second,
    }


def datasets(samples: Samples, dimension: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """(extra_replicate, extra_result) of `store.create`."""
    when = f"over {samples.count} samples, one every {samples.thin} steps after step {samples.burn_in}"
    matrix = ("coordinate", "coordinate_2")
    rows = {
        "average_risk": ((), "<f8", {"dims": (), "long_name": f"time average of the risk of a replicate {when}"}),
        "average_risk_batch": (
            (samples.batches,),
            "<f8",
            {"dims": ("batch",), "long_name": "the same over each of successive batches of samples"},
        ),
    }
    found = {
        "average_count": ((), "<i8", {"dims": (), "long_name": "samples times replicates in the time averages"}),
        "average_mean": (
            (dimension,),
            "<f8",
            {"dims": ("coordinate",), "long_name": f"mean of theta - theta* over replicates and {when}"},
        ),
        "average_second_moment": (
            (dimension, dimension),
            "<f8",
            {"dims": matrix, "long_name": "mean of (theta - theta*)(theta - theta*)' over the same"},
        ),
    }
    return rows, found

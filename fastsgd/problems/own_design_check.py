"""Whether the batches of a user's own design are what they should be: tried in Python, then drawn some ten thousand times.

What is tested: indices of the pool, none drawn twice where that is claimed; weights that add up to 1/n for every sample, and a
mean gradient that is the pool's (without bias); claimed inclusion chances and covariance. Limits are `_LIMIT` standard errors,
at which one right design in a million is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastsgd.designs import Pool
from fastsgd.problems.base import Array
from fastsgd.problems.own_code import file_of, place_in
from fastsgd.problems.own_design import Ready, Sums, claimed, default_pilot, pilot
from fastsgd.problems.patience import TooLong, patiently

_PARTS, _BATCHES, _LIMIT = 64, 2**16, 7.0
_TRIED, _SECONDS = 64, 0.3
_PLAIN, _COMPILED = (
    5.0,
    20.0,
)  # seconds for a batch as plain Python, which is then left to compiled code, and for two of that
_LONGEST, _PATIENCE = 10.0, 240.0  # seconds for the batches of a check, and for a pilot that nobody asked for
_COUNTED = 64  # draws that a bin of samples should have
_BINS = 2**14
_REMEDY = "correct draw or its weights"


def check(ready: Ready, pool: Pool, batches: int | None) -> None:
    """Raises ValueError, one line, at the first thing that is wrong. batches: `sampling.pilot`."""
    _compiles(ready, _ends(ready))
    exact = claimed(ready, pool)
    g = np.ascontiguousarray(pool.gradients)
    d, wanted = g.shape[1], default_pilot(ready, g.shape[1])
    each = -(-min(_BATCHES, wanted) // _PARTS)
    count, begun = Count(ready, _PARTS * each), time.perf_counter()
    found = pilot(ready, np.column_stack([g, np.ones(ready.n)]), _PARTS, each, count.add, _LONGEST)
    took = (time.perf_counter() - begun) / (_PARTS * found.each)
    _samples(ready, count, _PARTS * found.each, found.drawn)
    _unbiased(ready, found, g)
    if exact is not None:
        _covariance(exact, found.products[:, :d, :d] / found.each)
    elif batches is None and found.each < each and took * wanted > _PATIENCE:
        raise ValueError(
            f"sampling.pilot is required where batches take long, got nothing and {1e3 * took:.3g} ms a batch; give "
            f"sampling.pilot = {max(1024, int(_PATIENCE / 4 / took))} or more, or OwnDesign.covariance"
        )


def _ends(ready: Ready) -> str:
    """`_tried`; where in a file it still was after some seconds, if it was. Raises ValueError."""
    from fastsgd.kernels.own_rewrite import Rewriting
    from fastsgd.kernels.own_stream import stream

    file = file_of(ready.design.draw, ready.code.file)
    function = Rewriting(lanes=0, compiled=False).function(ready.design.draw)
    try:
        patiently(lambda: _tried(ready, function, stream), _PLAIN, file)
    except TooLong as late:
        return "" if late.line is None or file is None else f" (Python was in line {late.line})"
    return ""


def _tried(ready: Ready, function: Callable[..., Any], stream: Callable[[int, int], Any]) -> None:
    """The draw function as plain Python: an index out of bounds, a typing error."""
    begun = time.perf_counter()
    for i in range(_TRIED):
        indices, weights = np.full(ready.most, -1, np.int64), np.zeros(ready.most)
        more = {4: (indices,), 5: (indices, weights), 6: (ready.params.copy(), indices, weights)}[ready.takes]
        try:
            with np.errstate(all="ignore"):
                size = function(ready.n, ready.b, stream(0, i), *more)
        except Exception as error:
            where = file_of(ready.design.draw, ready.code.file)
            said = f"{type(error).__name__}: {' '.join(str(error).split())}{place_in(error, where)}"
            if isinstance(error, IndexError | NameError):
                raise ValueError(
                    f"sampling.design must name a draw function that works, got {said} (indices has {ready.most} places: the "
                    "batch, or OwnDesign.largest); correct it"
                ) from None
            return  # compiled code may do where Python does not
        if size is not None and not isinstance(size, int | np.integer):
            raise ValueError(
                f"sampling.design must return the size of a batch, or nothing if it is b, got {type(size).__name__}; correct it"
            )
        if time.perf_counter() - begun > _SECONDS:
            return


def _compiles(ready: Ready, place: str) -> None:
    """One batch twice from the same address, compiled; place: where plain Python was when it was given up."""
    from numba.core.errors import NumbaError

    from fastsgd.kernels.own import explain

    def drawn(rows: int) -> tuple[bytes, ...]:
        index, weight, size = (
            np.zeros(2 * ready.most, np.uint32),
            np.zeros(2 * ready.most),
            np.zeros((rows, 2), np.int64),
        )
        zero, pitch = np.uint64(0), np.uint64(ready.most)
        ready.kernels.fill(rows, rows, zero, *ready.arguments, zero, zero, zero, pitch, index, weight, size)
        return index.tobytes(), weight.tobytes(), size.tobytes()

    try:
        drawn(0)  # compiled outside of the limit
        found = patiently(lambda: (drawn(1), drawn(1)), _COMPILED)
    except NumbaError as error:
        reason = explain(error, ready.code.file)
        raise ValueError(
            f"sampling.design must name a draw function that Numba compiles, got: {reason}; correct it"
        ) from None
    except TooLong:
        raise ValueError(
            f"sampling.design must name a draw function that ends, got {ready.name}, which has not ended after {_COMPILED:g} s "
            f"for four batches{place}; see if a loop has no end"
        ) from None
    if found[0] != found[1]:
        raise ValueError(
            "sampling.design must draw from its stream alone, got two batches from the same random numbers that differ; use "
            "below, uniform, subset and shuffle of fastsgd.stream, and no numpy.random"
        )


class Count:
    """How often samples are drawn, by bins of neighbours, as `kernels.pilot_batches.tally` counts; total: batches at most."""

    def __init__(self, ready: Ready, total: int):
        self.n = ready.n
        self.bins = int(np.clip(total * ready.b // _COUNTED, 1, min(self.n, _BINS)))
        self.counts, self.squares = (np.zeros((_PARTS, 2, self.bins)) for _ in range(2))
        self.repeated = np.zeros(_PARTS, np.int64)

    def add(self, rows: slice, *batches: Any) -> None:
        from fastsgd.kernels.pilot_batches import tally

        parts = rows.stop - rows.start
        tally(parts, self.n, self.bins, *batches, self.counts[rows], self.squares[rows], self.repeated[rows])


def _samples(ready: Ready, count: Count, total: int, drawn: np.ndarray) -> None:
    """How often each sample is drawn in `total` batches, and what it weighs on average."""
    n, bins, repeated = ready.n, count.bins, count.repeated
    if repeated.any() and (ready.design.distinct or ready.inclusion is not None):
        claim = "distinct" if ready.design.distinct else "inclusion"
        raise ValueError(
            f"sampling.design must not draw a sample twice into a batch (OwnDesign.{claim} says so), got {repeated.sum()} of "
            f"{total} batches with one that is; correct draw"
        )
    bin_of = np.arange(n) * bins // n
    means, spread = count.counts.sum(axis=0) / total, count.squares.sum(axis=0) / total
    variances = spread - means**2
    if ready.inclusion is not None:
        pi = ready.inclusion
        chances = np.bincount(bin_of, pi, bins).astype(np.float64)
        least = np.bincount(bin_of, pi * np.maximum(1.0 - pi, 0.0), bins)
        _compare(
            means[0], chances, np.maximum(variances[0], least), chances, total, n,
            "have the inclusion chances that OwnDesign.inclusion says", "in {m:.6g} +- {e:.2g} of the batches, not {t:.6g}",
        )  # fmt: skip
    target = np.bincount(bin_of, np.ones(n), bins) / n
    if ready.how == 0:
        floor = target / ready.b
        expected = target * ready.b
    elif bins == n:
        # A sample that is hardly ever drawn has a weight of which nothing is seen.
        floor, expected = np.zeros(bins), np.where(drawn, means[0], 0.0)
    else:
        return
    _compare(
        means[1], target, np.maximum(variances[1], floor), expected, total, n,
        "be without bias", "with a mean weight of {m:.6g} +- {e:.2g} in a batch, not 1/n = {t:.6g}",
    )  # fmt: skip


def _compare(
    means: Array, target: Array, variance: Array, expected: Array, total: int, n: int, rule: str, words: str
) -> None:
    """Means of bins against targets; expected: draws of a bin in a batch, of which rare ones are left out."""
    error = np.sqrt((variance + 1e-18) / total)
    off = np.abs(means - target) - 1e-9 * target
    z = np.where(expected * total >= 30.0, off / error, 0.0)
    k = int(np.argmax(z))
    if z[k] > _LIMIT:
        bins = len(means)
        first, last = -(-k * n // bins), -(-(k + 1) * n // bins) - 1
        which = f"sample {first}" if first == last else f"samples {first} to {last} together"
        told = words.format(m=means[k], e=error[k], t=target[k])
        if first != last:
            told = told.replace("1/n", f"{last - first + 1}/n")
        raise ValueError(
            f"sampling.design must {rule}, got {which} of {n} (counted from 0) {told} ({total} batches); {_REMEDY}"
        )


def _unbiased(ready: Ready, found: Sums, g: Array) -> None:
    """The mean gradient, and the mean sum of the weights."""
    total, drawn = _PARTS * found.each, found.drawn
    mean = found.sums.sum(axis=0) / total
    spread = np.diagonal(found.products.sum(axis=0)) / total
    error = np.sqrt(np.maximum(spread - mean**2, 0.0) / total)
    # What rare samples would have added.
    missing = np.append(np.abs(g[~drawn].sum(axis=0)), (~drawn).sum()) / ready.n
    scale = np.append(np.abs(g).max(axis=0), 1.0)
    z = (np.abs(mean) - missing - 1e-9 * scale) / np.maximum(error, 1e-300)
    if z[-1] > _LIMIT:
        raise ValueError(
            f"sampling.design must have weights that add up to 1 on average, got {1.0 + mean[-1]:.6g} +- {error[-1]:.2g} "
            f"({total} batches); {_REMEDY}"
        )
    j = int(np.argmax(z))
    if z[j] > _LIMIT:
        raise ValueError(
            f"sampling.design must give a mean gradient that is the pool's, got one that is off by {mean[j]:.3g} +- "
            f"{error[j]:.2g} in coordinate {j} at the optimum ({total} batches); {_REMEDY}"
        )


def _covariance(exact: Array, parts: Array) -> None:
    """A claimed covariance float64[d, d] against estimates float64[C, d, d] of it."""
    mean, error = parts.mean(axis=0), parts.std(axis=0, ddof=1) / np.sqrt(len(parts))
    unit = np.sqrt(np.multiply.outer(np.diagonal(mean), np.diagonal(mean)))
    off = np.abs(mean - exact) - 1e-9 * unit
    z = off / np.maximum(error, 1e-300)
    if not z.max() <= _LIMIT:
        i, j = sorted(int(k) for k in np.unravel_index(np.argmax(z), z.shape))
        raise ValueError(
            f"sampling.design must have the covariance that it says, got {exact[i, j]:.6g} from OwnDesign.covariance or joint "
            f"in row {i}, column {j} (counted from 0) where its batches have {mean[i, j]:.6g} +- {error[i, j]:.2g}; "
            "correct it, or leave it out to have it estimated"
        )

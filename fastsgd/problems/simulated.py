"""Problems whose samples are simulated by a kernel of `kernels.simulator`: what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsgd.designs import Simulation
from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.matrices_check import check_file
from fastsgd.problems.pools import array_of

if TYPE_CHECKING:
    from fastsgd.spec import Spec


PILOT = 2**22
"""Samples from which the covariances of a design are found where there is no closed form."""
_STREAMS, _PARTS = 1024, 32


@dataclass(frozen=True)
class Simulator:
    """A kernel and what its two functions need.

    Attributes:
        kernel: name of a module of `fastsgd.kernels` with `advance`, and `collect` for `moments`.
        params: float64[m]; shape: int64[k].
        counts: int64[3], normals, uniforms and exponentials of one sample.
        width: numbers of one sample.
    """

    kernel: str
    params: Array
    shape: NDArray[np.int64]
    counts: NDArray[np.int64]
    width: int

    @property
    def variances(self) -> Array:
        """Of the draws of a sample, float64[m]: normals, uniforms, exponentials."""
        return np.repeat([1.0, 1.0 / 12.0, 1.0], self.counts)

    def by(self, design: str, coefficient: Array | None = None) -> Simulator:
        """The same with samples drawn by a design; coefficient: float64[d, m] of control variates."""
        more = np.array([design == "antithetic", coefficient is not None], dtype=np.int64)
        params = self.params if coefficient is None else np.concatenate([self.params, coefficient.ravel()])
        return replace(self, params=params, counts=np.concatenate([self.counts[:3], more]))

    def paired(self, theta: Array, samples: int = PILOT, seed: int = 0) -> tuple[Array, Array]:
        """Covariance of the mean gradient of an antithetic pair at theta, float64[d, d], from a pilot, and by parts."""
        sums, products = self.by("antithetic").moments(theta, samples // _STREAMS, seed)
        total = samples // _STREAMS * _STREAMS
        mean = sums.sum(axis=0) / total
        result: Array = products.sum(axis=0) / total - np.multiply.outer(mean, mean)
        return 0.5 * (result + result.T), _parts(products, total) - np.multiply.outer(mean, mean)

    def cross(self, theta: Array, samples: int = PILOT, seed: int = 0) -> tuple[Array, Array]:
        """Cov(g, c) with the draws c of a sample at theta, float64[d, m], from a pilot, and by parts."""
        d, m = len(theta), int(self.counts[:3].sum())
        sums, products = np.empty((_STREAMS, d)), np.empty((_STREAMS, d * m))
        self.by("control-variate", np.zeros((d, m)))._collect(theta, samples // _STREAMS, seed, sums, products)
        total, by_stream = samples // _STREAMS * _STREAMS, products.reshape(_STREAMS, d, m)
        return by_stream.sum(axis=0) / total, _parts(by_stream, total)

    def advance(
        self, delta: Array, optimum: Array, batch: int, sizes: Array, seed: int, first_replicate: int, first_step: int
    ) -> None:
        """Advance replicates as `Stepper.advance`."""
        from fastsgd.kernels._jit import LANES
        from fastsgd.kernels.normal import turn_of

        turn = turn_of(first_replicate, delta.shape[1])
        if turn:
            for part, first in ((slice(0, turn), first_replicate), (slice(turn, None), first_replicate + turn)):
                rows = np.ascontiguousarray(delta[:, part])
                self.advance(rows, optimum, batch, sizes, seed, first, first_step)
                delta[:, part] = rows
            return
        blocks = -(-delta.shape[1] // LANES)
        counts = self.counts if len(self.counts) == 5 else self.by("fresh").counts
        address = np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
        import_module(f"fastsgd.kernels.{self.kernel}").advance(
            blocks, delta, optimum, self.params, self.shape, counts, self.width, batch, sizes, *address
        )

    def moments(self, theta: Array, samples: int, seed: int) -> tuple[Array, Array]:
        """Sums of g float64[R, d] and of g g' float64[R, d, d] over `samples` pilot samples of each of R = 1024 streams."""
        d = len(theta)
        sums, lower = np.empty((_STREAMS, d)), np.empty((_STREAMS, d * (d + 1) // 2))
        self._collect(theta, samples, seed, sums, lower)
        products, (rows, columns) = np.empty((_STREAMS, d, d)), np.tril_indices(d)
        products[:, rows, columns] = products[:, columns, rows] = lower
        return sums, products

    def _collect(self, theta: Array, samples: int, seed: int, sums: Array, products: Array) -> None:
        from fastsgd.kernels._jit import LANES

        counts = self.counts if len(self.counts) == 5 else self.by("fresh").counts
        import_module(f"fastsgd.kernels.{self.kernel}").collect(
            _STREAMS // LANES,
            theta,
            self.params,
            self.shape,
            counts,
            self.width,
            samples,
            np.uint64(seed),
            sums,
            products,
        )


def _parts(products: Array, total: int) -> Array:
    """Means over 32 successive shares of the streams of sums float64[R, ...] over `total` samples in all."""
    by_part: Array = products.reshape(_PARTS, -1, *products.shape[1:]).sum(axis=1)
    return by_part * (_PARTS / total)


@dataclass(frozen=True, kw_only=True)
class SimulatedProblem(Problem):
    """`simulator`: the kernel with its constants; paired, cross: closed forms of `designs.Simulation`, where there are."""

    simulator: Simulator
    paired: Array | None = None
    cross: Array | None = None

    def simulation(self, spec: Spec) -> Simulation:
        def known(closed: Array | None, pilot: Callable[[Array], tuple[Array, Array]]) -> tuple[Array, Array | None]:
            return pilot(self.optimum) if closed is None else (closed, None)

        paired = cache(partial(known, self.paired, self.simulator.paired))
        cross = cache(partial(known, self.cross, self.simulator.cross))
        return Simulation(
            self.noise, lambda: paired()[0], lambda: cross()[0], self.simulator.variances,
            lambda name: array_of(spec, name), lambda: paired()[1], lambda: cross()[1],
        )  # fmt: skip

    def slope(self) -> Callable[[Array], Array]:
        """From the same 2^16 pilot samples at every theta."""

        def mean(theta: Array) -> Array:
            sums = self.simulator.moments(np.ascontiguousarray(theta), 64, 0)[0]
            return np.asarray(sums.sum(axis=0) / (64 * _STREAMS))

        there = mean(self.optimum)
        return lambda theta: mean(theta) - there

    def stepper(self, arms: Sequence[Arm]) -> SimulatedStepper:
        simulator = self.simulator.by(arms[0].design, arms[0].coefficient)
        return SimulatedStepper(simulator, self.optimum, arms)


class SimulatedStepper:
    """Mini-batch SGD with fresh samples; all arms use the same samples and differ in their step sizes alone."""

    def __init__(self, simulator: Simulator, optimum: Array, arms: Sequence[Arm]):
        assert len({arm.batch for arm in arms}) == 1, "arms share their batches"
        self._simulator, self._optimum, self._batch = simulator, optimum, arms[0].batch

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        self._simulator.advance(delta, self._optimum, self._batch, sizes, seed, first_replicate, first_step)


def check_metric(spec: Spec, dimension: int) -> list[str]:
    """Lines of what is wrong with `problem.metric.file`."""
    metric = spec.problem.metric
    if isinstance(metric, str):
        return []
    return check_file(spec, "problem.metric.file", metric.file, dimension, definite=False)


def metric_matrix(spec: Spec, **named: Array) -> Array:
    """F float64[d, d] of `problem.metric`: one of the named matrices, or from its file."""
    metric = spec.problem.metric
    if not isinstance(metric, str):
        return np.array(spec.array(metric.file), dtype=np.float64, order="C")
    return named[metric] if metric in named else np.eye(len(named["hessian"]))

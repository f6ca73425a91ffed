"""Problems whose samples are simulated by a kernel of `kernels.simulator`: what all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.matrices_check import check_file

if TYPE_CHECKING:
    from fastsgd.spec import Spec


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

    def advance(
        self, delta: Array, optimum: Array, batch: int, sizes: Array, seed: int, first_replicate: int, first_step: int
    ) -> None:
        """Advance replicates as `Stepper.advance`."""
        from fastsgd.kernels._jit import LANES

        blocks = -(-delta.shape[1] // LANES)
        address = np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
        import_module(f"fastsgd.kernels.{self.kernel}").advance(
            blocks, delta, optimum, self.params, self.shape, self.counts, self.width, batch, sizes, *address
        )

    def moments(self, theta: Array, samples: int, seed: int) -> tuple[Array, Array]:
        """Sums of g float64[R, d] and of g g' float64[R, d, d] over `samples` pilot samples of each of R = 1024 streams."""
        from fastsgd.kernels._jit import LANES

        d = len(theta)
        sums, lower = np.empty((1024, d)), np.empty((1024, d * (d + 1) // 2))
        import_module(f"fastsgd.kernels.{self.kernel}").collect(
            1024 // LANES,
            theta,
            self.params,
            self.shape,
            self.counts,
            self.width,
            samples,
            np.uint64(seed),
            sums,
            lower,
        )
        products, (rows, columns) = np.empty((1024, d, d)), np.tril_indices(d)
        products[:, rows, columns] = products[:, columns, rows] = lower
        return sums, products


@dataclass(frozen=True, kw_only=True)
class SimulatedProblem(Problem):
    """`simulator`: the kernel with its constants."""

    simulator: Simulator

    def stepper(self, arms: Sequence[Arm]) -> SimulatedStepper:
        return SimulatedStepper(self.simulator, self.optimum, arms)


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

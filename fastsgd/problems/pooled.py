"""SGD on a pool by a kernel of `kernels.pooled`: batches are drawn first, then used by all arms."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.base import Arm, Array
from fastsgd.problems.batches import sampler_of


class PooledStepper:
    """Mini-batch SGD; all arms use the same batches and differ in their step sizes alone.

    kernel: name of a module of `fastsgd.kernels` with `advance`; params float64[m] and shape int64[k], what it needs; samples:
    float64[n, p].
    """

    def __init__(
        self, kernel: str, params: Array, shape: NDArray[np.int64], samples: Array, optimum: Array, arms: Sequence[Arm]
    ):
        assert len({(arm.batch, arm.design) for arm in arms}) == 1, "arms share their batches"
        self._kernel, self._params, self._shape = kernel, params, shape
        self._samples, self._optimum = samples, optimum
        self._sampler = sampler_of(arms[0], len(samples))

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        """As `Stepper.advance`."""
        import numba

        from fastsgd.kernels._jit import LANES

        advance = import_module(f"fastsgd.kernels.{self._kernel}").advance
        tasks = min(delta.shape[1], 8 * numba.get_num_threads())
        for part in self._sampler.walk(delta.shape[1], sizes.shape[1], seed, first_replicate, first_step, tasks):
            advance(
                -(-len(part.size) // LANES), delta, part.row, self._optimum, self._params, self._shape, self._samples,
                int(part.pitch), part.indices, part.weight, part.size, sizes, part.column,
            )  # fmt: skip

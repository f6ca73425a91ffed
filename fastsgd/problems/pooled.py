"""SGD on a pool by a kernel of `kernels.pooled`: batches are drawn first, then used by all arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from fastsgd.problems.base import Arm, Array
from fastsgd.problems.batches import Part, Sampler

_SAMPLES = 2**18  # drawn at once, about: they stay in a cache until they are used


class PooledStepper:
    """Mini-batch SGD; all arms use the same batches and differ in their step sizes alone.

    kernel: name of a module of `fastsgd.kernels` with `advance`; params float64[m] and shape int64[k], what it needs; samples:
    float64[n, p].
    """

    def __init__(
        self, kernel: str, params: Array, shape: NDArray[np.int64], samples: Array, optimum: Array, arms: Sequence[Arm]
    ):
        from fastsgd.kernels.draws import WITH_REPLACEMENT, WITHOUT_REPLACEMENT

        assert len({(arm.batch, arm.design) for arm in arms}) == 1, "arms share their batches"
        codes = {"without-replacement": WITHOUT_REPLACEMENT, "with-replacement": WITH_REPLACEMENT}
        self._kernel, self._params, self._shape = kernel, params, shape
        self._samples, self._optimum = samples, optimum
        draws = arms[0].draws
        self._sampler = Sampler(draws) if draws is not None else None
        self._batch, self._design = arms[0].batch, codes.get(arms[0].design)

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        """As `Stepper.advance`."""
        from fastsgd.kernels._jit import LANES

        advance = import_module(f"fastsgd.kernels.{self._kernel}").advance
        for part in self._parts(delta.shape[1], sizes.shape[1], seed, first_replicate, first_step):
            advance(
                -(-len(part.size) // LANES), delta, part.row, self._optimum, self._params, self._shape, self._samples,
                int(part.pitch), part.indices, part.weight, part.size, sizes, part.column,
            )  # fmt: skip

    def _parts(self, replicates: int, steps: int, seed: int, first_replicate: int, first_step: int) -> Iterator[Part]:
        """All batches of a segment, a part at a time: some replicates from the first step to the last, then others."""
        import numba

        from fastsgd.kernels._jit import LANES
        from fastsgd.kernels.draws import draw_batches

        tasks = min(replicates, 8 * numba.get_num_threads())
        if self._sampler is not None:
            yield from self._sampler.walk(replicates, steps, seed, first_replicate, first_step, tasks)
            return
        b = self._batch
        rows = min(replicates, max(LANES * numba.get_num_threads(), _SAMPLES // b))
        ahead = max(1, min(steps, _SAMPLES // (b * rows)))
        weight, pitch = np.full(rows * ahead * b, 1.0 / b), np.uint64(b)
        for row in range(0, replicates, rows):
            here = min(rows, replicates - row)
            for column in range(0, steps, ahead):
                index = np.empty((here, min(ahead, steps - column), b), np.uint32)
                address = np.uint64(seed), np.uint64(first_replicate + row), np.uint64(first_step + column)
                draw_batches(len(self._samples), b, self._design, *address, min(tasks, here), index)
                yield Part(row, column, pitch, index.reshape(-1), weight, np.full(index.shape[:2], b, np.int64))

"""SGD on the pool of a generalised linear model with weighted batches of any design."""

from __future__ import annotations

from fastsgd.designs import Draws
from fastsgd.problems.base import Array
from fastsgd.problems.batches import Sampler
from fastsgd.problems.families import FAMILIES
from fastsgd.problems.likelihood import Model


class WeightedGlmStepper:
    """Mini-batch SGD; all arms use the same batches and differ in their step sizes alone."""

    def __init__(self, model: Model, theta: Array, draws: Draws):
        from fastsgd.kernels.glm import pack_pool

        self._sampler, self._optimum = Sampler(draws), theta
        # The kernel's huber has threshold 1, as in `glm`.
        unit = model.threshold if model.family == "huber" else 1.0
        self._unit, self._samples = unit * unit, len(model.targets)
        self._pool = pack_pool(model.features / unit, model.targets / unit)
        self._ridge, self._family = model.ridge / self._unit, FAMILIES[model.family].code

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        import numba

        from fastsgd.kernels.glm_weighted import advance_weighted

        replicates, steps, sizes = delta.shape[1], sizes.shape[1], sizes * self._unit
        tasks = min(replicates, 8 * numba.get_num_threads())
        for part in self._sampler.walk(replicates, steps, seed, first_replicate, first_step, tasks):
            advance_weighted(
                delta,
                part.row,
                self._optimum,
                self._pool,
                self._samples,
                self._ridge,
                self._family,
                part.pitch,
                part.indices,
                part.weight,
                part.size,
                sizes,
                part.column,
                min(tasks, len(part.size)),
            )

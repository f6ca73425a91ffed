"""Batches with weights, drawn ahead of the kernels that use them: any design with any problem on a pool."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsgd.errors import InputError, RunError

if TYPE_CHECKING:
    from fastsgd.designs.draws import Draws
    from fastsgd.problems.base import Arm

_SAMPLES = 2**18  # drawn at once, about: they stay in a cache until they are used
_STEPS = 64  # drawn at once, about: beginning and ending a part costs as much as a step or two
_STATE = 2**24  # entries of permutations kept at once
_BEHIND = 64  # indices that a kernel may read behind the last batch


class Part(NamedTuple):
    """Batches of replicates row ... at steps column ... of a segment, as `kernels.weighted_draws` lays them out."""

    row: int
    column: int
    pitch: np.uint64
    indices: NDArray[np.uint32]
    weight: NDArray[np.float64]
    size: NDArray[np.int64]


class Sampler:
    """Draws the batches of a design; what it keeps is memory only and changes no batch."""

    def __init__(self, draws: Draws):
        self._draws = draws
        self._pitch = (draws.most + 7) // 8 * 8
        self._entries = np.zeros((0, 0), np.uint32)
        self._memory: tuple[NDArray[np.uint32], NDArray[np.float64]] | None = None
        self._fill = self._builtin() if draws.method != "own" else self._own()

    def _builtin(self) -> Any:
        from fastsgd.kernels.weighted_draws import METHODS, Table, fill_batches, walker

        draws, many = self._draws, 1
        if draws.probabilities is not None:
            many = draws.n
        cut, alias = np.ones(many), np.zeros(many, np.uint32)
        if draws.probabilities is not None:
            walker(draws.probabilities, cut, alias)
        table = Table(
            np.int64(METHODS[draws.method]), np.uint64(draws.n), np.uint64(draws.b), draws.members, draws.starts,
            draws.allocation, draws.weights, draws.chances, np.uint64(draws.lowest), cut, alias,
        )  # fmt: skip

        def fill(tasks: int, rows: int, marks: Any, *address_and_memory: Any) -> None:
            fill_batches(tasks, table, self._rows(rows if draws.epochs else tasks), marks, *address_and_memory)

        return fill

    def _own(self) -> Any:
        draws, own = self._draws, self._draws.own

        def fill(tasks: int, rows: int, marks: Any, *address_and_memory: Any) -> None:
            if own is None:  # a merge has no use for it
                raise InputError("the code of sampling.design is not at hand; name its Python file")
            _, replicate, step, *_, size = address_and_memory
            arguments = draws.n, draws.b, draws.most, own.how, own.params, own.table
            where = place_of(int(replicate), len(size), int(step), size.shape[1])
            call = partial(own.kernels.fill, tasks, tasks, np.uint64(0), *arguments, *address_and_memory)
            own.guard(call, size.size, f"{own.name}, at {where},")
            if size.min() < 0:
                r, k = (int(i) for i in np.unravel_index(np.argmin(size), size.shape))
                raise RunError(
                    f"{fault(int(size[r, k]), draws)} at replicate {int(replicate) + r}, step {int(step) + k}; correct it"
                )

        return fill

    def _rows(self, rows: int) -> NDArray[np.uint32]:
        """Identity permutations, one a row; a row of reshuffling is put in order by the kernel."""
        if len(self._entries) < rows:
            self._entries = np.tile(np.arange(self._draws.n, dtype=np.uint32), (rows, 1))
        return self._entries

    def walk(
        self, replicates: int, steps: int, seed: int, first_replicate: int, first_step: int, tasks: int
    ) -> Iterator[Part]:
        """All batches of a segment, a part at a time: some replicates from the first step to the last, then others."""
        most = max(tasks, _SAMPLES // (self._pitch * min(steps, _STEPS)))
        if self._draws.epochs:
            most = min(most, max(_STATE // self._draws.n, tasks))
        rows = min(replicates, most)
        ahead = min(steps, max(1, _SAMPLES // (self._pitch * rows)))
        index, weight = self._buffers(rows * ahead)
        for row in range(0, replicates, rows):
            here = min(rows, replicates - row)
            marks = np.zeros((here, 3), np.uint64)
            for column in range(0, steps, ahead):
                size = np.empty((here, min(ahead, steps - column)), np.int64)
                address = np.uint64(seed), np.uint64(first_replicate + row), np.uint64(first_step + column)
                pitch = np.uint64(self._pitch)
                self._fill(min(tasks, here), here, marks, *address, pitch, index, weight, size)
                yield Part(row, column, pitch, index, weight, size)

    def _buffers(self, batches: int) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
        wanted = batches * self._pitch + _BEHIND
        if self._memory is None or len(self._memory[0]) < wanted:
            self._memory = np.zeros(wanted, np.uint32), np.zeros(wanted)
        return self._memory


def place_of(first_replicate: int, replicates: int, first_step: int, steps: int) -> str:
    """Steps, counted from 1, and replicates, counted from 0, of a part of a run, for messages."""
    which = f"steps {first_step + 1} to {first_step + steps}" if steps > 1 else f"step {first_step + 1}"
    return f"{which} of replicates {first_replicate} to {first_replicate + replicates - 1}"


def fault(code: int, draws: Draws) -> str:
    """What a number below 0 in place of the size of a batch says of a user's draw function."""
    rules = {
        -1: f"must return a size from 0 to {draws.most} (or OwnDesign.largest), got another",
        -2: f"must write indices from 0 to {draws.n - 1}, got one out of range",
        -3: f"must write at most {draws.most} indices (or OwnDesign.largest), got more",
    }
    return f"sampling.design {rules[code]}"


def sampler_of(arm: Arm, n: int) -> Sampler | EqualSampler:
    """What draws the batches of an arm on a pool of n."""
    return Sampler(arm.draws) if arm.draws is not None else EqualSampler(n, arm.batch, arm.design)


class EqualSampler:
    """Batches of b samples of a pool of n, drawn without (or with) replacement, all of weight 1/b."""

    def __init__(self, n: int, batch: int, design: str):
        from fastsgd.kernels.draws import WITH_REPLACEMENT, WITHOUT_REPLACEMENT

        codes = {"without-replacement": WITHOUT_REPLACEMENT, "with-replacement": WITH_REPLACEMENT}
        self._n, self._batch, self._code = n, batch, codes[design]
        self._memory = np.zeros(0, np.uint32)
        self._weight = np.zeros(0)

    @property
    def plan(self) -> Any:
        """For kernels that draw for themselves."""
        from fastsgd.kernels.draws import make_plan

        return make_plan(self._n, self._batch, self._code)

    def walk(
        self, replicates: int, steps: int, seed: int, first_replicate: int, first_step: int, tasks: int
    ) -> Iterator[Part]:
        """As `Sampler.walk`."""
        import numba

        from fastsgd.kernels._jit import LANES
        from fastsgd.kernels.draws import draw_batches

        b = self._batch
        rows = min(replicates, max(2 * LANES * numba.get_num_threads(), _SAMPLES // (b * min(steps, _STEPS))))
        ahead = max(1, min(steps, _SAMPLES // (b * rows)))
        if len(self._memory) < rows * ahead * b + _BEHIND:
            self._memory = np.zeros(rows * ahead * b + _BEHIND, np.uint32)
            self._weight = np.full(rows * ahead * b, 1.0 / b)
        memory, weight, pitch = self._memory, self._weight, np.uint64(b)
        for row in range(0, replicates, rows):
            here = min(rows, replicates - row)
            for column in range(0, steps, ahead):
                shape = here, min(ahead, steps - column), b
                address = np.uint64(seed), np.uint64(first_replicate + row), np.uint64(first_step + column)
                index = memory[: shape[0] * shape[1] * b].reshape(shape)
                draw_batches(self._n, b, self._code, *address, min(tasks, here), index)
                yield Part(row, column, pitch, memory, weight, np.full(shape[:2], b, np.int64))

"""One wave: the replicates that are in memory at once, taken from step 0 to the horizon in time segments."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

import numpy as np
from numpy.typing import NDArray

from fastsgd import averages
from fastsgd.errors import NotEnding
from fastsgd.kernels.moments import BLOCK, record_moments
from fastsgd.kernels.philox import PURPOSE_START
from fastsgd.kernels.quadratic import add_normals
from fastsgd.moments import PARTIAL, Node, empty, join, places, reduce_blocks
from fastsgd.plan import Plan
from fastsgd.problems.samples import Sums


class Wave:
    """State of replicates first .. first + count - 1 of all arms.

    Attributes:
        delta: float64[A, count, d], working coordinates.
        step: steps taken.
        recorded: recorded steps behind it.
        nodes: moments of the wave's whole blocks, and of a last block that is not full.
        risk: float64[A, count, S], NaN where not recorded yet or not finite.
        diverged_at: int64[A, count], -1 or the first step at which a coordinate was not finite.
        kept: float64[A, K, S, d], iterates of the first K replicates at recorded steps.
        sums: of the samples taken so far, None without time averages.
    """

    def __init__(self, plan: Plan, first: int, count: int, kept: int):
        self.plan = plan
        self.first = first
        self.count = count
        arms, dimension, steps = len(plan.arms), plan.dimension, len(plan.steps)
        self.sums = None if plan.samples is None else averages.zero_sums(plan.samples, arms, count, dimension)
        self.step = 0
        self.recorded = 0
        self.delta = _initial(plan, first, count)
        self.nodes = [empty(*place, arms, plan.columns, dimension) for place in _places(first, count)]
        self.risk = np.full((arms, count, steps), np.nan)
        self.diverged_at = np.full((arms, count), -1, dtype=np.int64)
        self.kept = np.full((arms, kept, steps, dimension), np.nan)
        self.final = np.full((arms, count, dimension), np.nan)
        if int(plan.steps[0]) == 0:
            self._record()

    def restore(self, delta: NDArray[np.float64], step: int, recorded: int, nodes: Iterable[Node]) -> None:
        """Continue from a checkpoint."""
        self.delta = np.ascontiguousarray(delta)
        self.step, self.recorded = step, recorded
        stored = {(node.level, node.index): node for node in nodes}
        for node in self.nodes:
            kept = stored[node.level, node.index]
            for mine, theirs in zip(node.parts(), kept.parts(), strict=True):
                mine[...] = theirs

    def part(self, arms: slice, plan: Plan) -> Wave:
        """Some of the arms, as a wave of the plan that has just them; simulated alone they have the same bits."""
        found = copy(self)
        found.plan = plan
        for name in ("delta", "risk", "diverged_at", "kept", "final"):
            setattr(found, name, getattr(self, name)[arms])
        found.nodes = [Node(n.level, n.index, *(part[arms] for part in n.parts())) for n in self.nodes]
        if self.sums is not None:
            first, second = (np.ascontiguousarray(a[:, arms]) for a in (self.sums.first, self.sums.second))
            found.sums = Sums(first, second, self.sums.risk[arms])
        return found

    @property
    def done(self) -> bool:
        return self.recorded == len(self.plan.steps)

    def next_record(self) -> int:
        """The next step to be recorded."""
        return int(self.plan.steps[self.recorded])

    def advance(self, steps: int) -> int:
        """Take at most `steps` steps, not past the next recorded one; returns how many were taken.

        After NotEnding `delta` is what it was, and `sums` are of no use.
        """
        taken = min(steps, self.next_record() - self.step)
        before = self.delta.copy()
        try:
            if self.sums is None:
                self._run(self.delta, self.first, self.step, taken)
            else:
                averages.advance(self.plan, self.delta, self.sums, self.first, self.step, taken)
        except NotEnding:
            self.delta = before
            raise
        self._find_diverged(before, taken)
        self.step += taken
        if self.step == self.next_record():
            self._record()
        if self.done and self.sums is not None:
            self._fold(self.sums)
        return taken

    def _fold(self, sums: Sums) -> None:
        """The time averages into the last column of the nodes."""
        for a, block in enumerate(averages.blocks(self.plan, sums, self.count)):
            self._place(a, -1, *block)

    def _run(self, delta: NDArray[np.float64], first: int, step: int, taken: int) -> None:
        plan = self.plan
        plan.stepper.advance(delta, plan.sizes(step, step + taken), plan.spec.seed, first, step)  # type: ignore[arg-type]

    def _find_diverged(self, before: NDArray[np.float64], taken: int) -> None:
        """Note the exact step for every replicate that stopped being finite in this segment."""
        bad = not_finite(self.delta) & (self.diverged_at < 0)
        if not bad.any():
            return
        for block in np.unique(np.flatnonzero(bad.any(axis=0)) // BLOCK):
            rows = slice(int(block) * BLOCK, min(int(block + 1) * BLOCK, self.count))
            self._locate(np.ascontiguousarray(before[:, rows]), rows, bad[:, rows], self.step, taken)

    def _locate(self, before: NDArray[np.float64], rows: slice, bad: NDArray[np.bool_], step: int, taken: int) -> None:
        """Halve the segment until the step is found; every number is a function of its address, so runs repeat."""
        if not bad.any():
            return
        if taken == 1:
            self.diverged_at[:, rows][bad] = step + 1
            return
        half = taken // 2
        middle = before.copy()
        self._run(middle, self.first + rows.start, step, half)
        early = not_finite(middle) & bad
        self._locate(before, rows, early, step, half)
        self._locate(middle, rows, bad & ~early, step + half, taken - half)

    def _record(self) -> None:
        """Moments, risks and kept iterates at the step just reached."""
        plan, s = self.plan, self.recorded
        blocks = -(-self.count // BLOCK)
        packed = self.nodes[0].m2.shape[-1]
        x = np.empty(self.delta.shape[1:])
        risk = np.empty(self.count)
        for a, arm in enumerate(plan.arms):
            basis = arm.problem.basis
            rows = np.zeros((plan.dimension, plan.dimension)) if basis is None else basis
            count, mean = np.empty(blocks, dtype=np.int64), np.empty((blocks, plan.dimension))
            m2 = np.empty((blocks, packed))
            record_moments(self.delta[a], rows, basis is not None, arm.problem.metric, risk, x, count, mean, m2)
            self._place(a, s, count, mean, m2)
            self.risk[a, :, s] = risk
            self.kept[a, :, s] = x[: self.kept.shape[1]]
            # A risk that overflows before its coordinates do is a divergence too.
            late = np.isnan(risk) & (self.diverged_at[a] < 0)
            self.diverged_at[a, late] = self.step
            if s + 1 == len(plan.steps):
                self.final[a] = x
        self.recorded += 1

    def _place(
        self, arm: int, column: int, count: NDArray[np.int64], mean: NDArray[np.float64], m2: NDArray[np.float64]
    ) -> None:
        """Moments of the wave's blocks, joined, into a column of its nodes."""
        whole = self.count // BLOCK
        parts = reduce_blocks(self.first // BLOCK, count[:whole], mean[:whole], m2[:whole])
        if len(count) > whole:
            parts.append((count[whole:], mean[whole:], m2[whole:]))
        for node, (part_count, part_mean, part_m2) in zip(self.nodes, parts, strict=True):
            node.count[arm, column], node.mean[arm, column] = part_count[0], part_mean[0]
            node.m2[arm, column] = part_m2[0]


def warm(plan: Plan) -> None:
    """Compile or load every kernel that a wave calls, on two blocks of replicates and one step."""
    wave = Wave(plan, 0, 2 * BLOCK, 0)
    if wave.sums is None:
        wave._run(wave.delta, 0, 0, 1)
    else:  # steps without samples are only needed to find where a replicate diverged
        averages.advance(plan, wave.delta, wave.sums, 0, 0, 1)
        averages.blocks(plan, wave.sums, wave.count)
    if wave.recorded == 0:
        wave._record()
    join(wave.nodes[0], wave.nodes[0], 0, 0)


def not_finite(delta: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool[A, R]: replicates with a coordinate that is not finite."""
    return np.logical_not(np.isfinite(delta).all(axis=2, keepdims=True))[..., 0]


def _places(first: int, count: int) -> list[tuple[int, int]]:
    """Nodes of a wave: its whole blocks as the tree cuts them, then a last block that is not full."""
    whole, rest = divmod(count, BLOCK)
    found = places(first // BLOCK, whole)
    return [*found, (PARTIAL, first // BLOCK + whole)] if rest else found


def _initial(plan: Plan, first: int, count: int) -> NDArray[np.float64]:
    """Delta_0, float64[A, count, d]: the mean, plus the factor times normals that all arms share."""
    delta = np.repeat(plan.start_mean[:, None, :], count, axis=1)
    if plan.start_factor is not None:
        assert plan.spec.seed is not None
        add_normals(plan.start_factor, plan.spec.seed, PURPOSE_START, first, delta)
    return delta

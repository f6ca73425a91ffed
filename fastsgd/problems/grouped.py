"""Arms that draw their samples differently: each way of drawing advances the arms that share it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastsgd.problems.base import Arm, Array, Stepper


class GroupedStepper:
    """A stepper for each group of arms; all draw from the same addresses, so that replicates stay comparable."""

    def __init__(self, groups: Sequence[tuple[Sequence[int], Stepper]]):
        self._groups = groups

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        for arms, stepper in self._groups:
            part = np.ascontiguousarray(delta[list(arms)])
            stepper.advance(part, np.ascontiguousarray(sizes[list(arms)]), seed, first_replicate, first_step)
            delta[list(arms)] = part


def stepper(arms: Sequence[Arm]) -> Stepper:
    """The stepper of a run's arms."""
    problem = arms[0].problem
    if problem.mixes_designs or len({arm.drawing for arm in arms}) == 1:
        return problem.stepper(arms)
    found: dict[str, list[int]] = {}
    for place, arm in enumerate(arms):
        found.setdefault(arm.drawing, []).append(place)
    return GroupedStepper([(places, problem.stepper([arms[a] for a in places])) for places in found.values()])

"""What an analysis reads: the stored runs of an entry with their predictions, under altered assumptions for a control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastsgd.analysis.assume import assumed_models
from fastsgd.analysis.model import Model
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.time_averages import time_average_rows
from fastsgd.errors import InputError
from fastsgd.experiments.base import Case, Part, Row


class View:
    """Runs of one entry. `altered` gives the same runs under a control's assumptions.

    Attributes:
        scale: quick, paper or large.
        cases: the stored runs in the order of the parts.
    """

    def __init__(self, scale: str, cases: Sequence[Case], assume: Callable[[Case], Sequence[str]] | None = None):
        self.scale, self.cases, self._assume = scale, list(cases), assume
        self._observed: dict[str, list[Observed]] = {}
        self._models: dict[str, list[Model]] = {}
        self._predictions: dict[Any, list[Prediction]] = {}
        self._averages: dict[str, list[Row]] = {}

    def altered(self, assume: Callable[[Case], Sequence[str]]) -> View:
        """The same runs, predicted under assumptions."""
        other = View(self.scale, self.cases, assume)
        other._observed = self._observed
        return other

    @property
    def is_altered(self) -> bool:
        """True for the view of a control."""
        return self._assume is not None

    def of(self, part: str | Part) -> list[Case]:
        """The cases of one part."""
        name = part.spec if isinstance(part, Part) else part
        return [case for case in self.cases if case.part == name]

    def case(self, part: str | Part, label: str = "") -> Case:
        """One case; InputError if the spec no longer has it."""
        for case in self.of(part):
            if case.label == label:
                return case
        raise InputError(f"{part} has no run {label!r}; it has {', '.join(repr(c.label) for c in self.of(part))}")

    def observed(self, case: Case) -> list[Observed]:
        """What the run holds, for each arm."""
        key = str(case.run.path)
        if key not in self._observed:
            self._observed[key] = [Observed.of(case.run, arm) for arm in case.run.arms]
        return self._observed[key]

    def models(self, case: Case) -> list[Model]:
        """Matrices, step sizes, design and start of each arm, as assumed."""
        key = str(case.run.path)
        if key not in self._models:
            assume = list(self._assume(case)) if self._assume is not None else []
            self._models[key] = assumed_models(case.run, assume)[0]
        return self._models[key]

    def predictions(self, case: Case, steps: Sequence[int] | None = None) -> list[Prediction]:
        """Exact moments of each arm at the recorded steps, or at others."""
        at = tuple(int(k) for k in (case.run.steps if steps is None else steps))
        key = str(case.run.path), at
        if key not in self._predictions:
            self._predictions[key] = [Prediction.of(model, np.asarray(at)) for model in self.models(case)]
        return self._predictions[key]

    def averages(self, case: Case) -> list[Row]:
        """Rows of the time averages of all arms (`analysis.time_averages`), `where` being the arm."""
        from fastsgd.experiments.rows import from_analysis

        key = str(case.run.path)
        if key not in self._averages:
            self._averages[key] = [from_analysis(row) for row in time_average_rows(case.run, self.predictions(case))]
        return self._averages[key]

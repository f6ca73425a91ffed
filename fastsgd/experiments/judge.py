"""Rows to a verdict: one simultaneous test an experiment, and what the negative controls come to, with their power."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from fastsgd.experiments.base import FALSE_ALARM, Control, Entry, Row
from fastsgd.experiments.view import View
from fastsgd.theory.statistics import sidak_z, standard_normal_p

CONSISTENT, INCONSISTENT = "consistent", "inconsistent"


@dataclass(frozen=True)
class Judged:
    """Rows, and the two-sided test of the tested ones at a false alarm of 1e-4 for all together (Sidak)."""

    rows: tuple[Row, ...]
    tests: int
    threshold: float

    def failed(self, row: Row) -> bool:
        """True for a tested row beyond the threshold, or without a z."""
        return row.tested and not abs(row.z) <= self.threshold

    @property
    def failures(self) -> list[Row]:
        """Rows that contradict their prediction."""
        return [row for row in self.rows if self.failed(row)]

    @property
    def verdict(self) -> str:
        """Of the experiment."""
        return INCONSISTENT if self.failures or not self.tests else CONSISTENT


def judge(rows: Sequence[Row]) -> Judged:
    """Test all rows of an experiment together."""
    tests = sum(row.tested for row in rows)
    return Judged(tuple(rows), tests, sidak_z(FALSE_ALARM, max(tests, 1)))


@dataclass(frozen=True)
class Controlled:
    """What a control came to.

    Attributes:
        rejected: whether the altered prediction was; row, z: the row furthest from it.
        power: probability of that, were the experiment repeated: at least that of the single most telling row.
    """

    control: Control
    rejected: bool
    power: float
    z: float
    row: Row | None


def run_control(entry: Entry, view: View, control: Control, judged: Judged) -> Controlled:
    """The rows of an experiment under an altered prediction."""
    if control.rows is not None:
        rows: Sequence[Row] = control.rows(view)
    else:
        assert control.assume is not None
        rows = entry.analyse(view.altered(control.assume))
    altered = judge(rows)
    worst = max((row for row in altered.rows if row.tested), key=lambda row: _size(row.z), default=None)
    z = 0.0 if worst is None else worst.z
    return Controlled(control, bool(altered.failures), power(judged, altered), z, worst)


def power(truth: Judged, altered: Judged) -> float:
    """Lower bound of the probability that the altered prediction is rejected where the true one holds.

    A row that is off by s standard errors is beyond the threshold t with probability Phi(|s| - t); s is the difference
    between the two predictions, in which this run's noise cancels.
    """
    known = {row.key: row for row in truth.rows}
    best = 0.0
    for row in altered.rows:
        match = known.get(row.key)
        if row.tested and match is not None:
            shift = (row.empirical - row.predicted) - (match.empirical - match.predicted)
            if row.standard_error > 0:
                best = max(best, NormalDist().cdf(abs(shift) / row.standard_error - altered.threshold))
            elif shift:
                best = 1.0
    return best


def uniform_p_of(results: Sequence[dict[str, Any]]) -> tuple[int, float | None]:
    """(rows, p) of the Kolmogorov-Smirnov test that z is standard normal over the tested rows that have an error."""
    rows = [row for result in results for row in result["rows"] if row["tested"] and row["standard_error"]]
    values = [row["z"] for row in rows if row["z"] is not None]
    return len(values), standard_normal_p(values) if len(values) >= 8 else None


def _size(z: float) -> float:
    return abs(z) if math.isfinite(z) else math.inf

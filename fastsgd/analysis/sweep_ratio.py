"""All finished cells of a sweep against their predictions, judged together.

The frozen-noise prediction of a nonlinear problem is off by O(step size). Cells that differ in their step size only are
therefore tested by their limit at step size 0, and shown beside it; a nonlinear cell alone is tested as `ratio` does.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastsgd.analysis import tables
from fastsgd.analysis.limits import Limit, step_size_limits
from fastsgd.analysis.ratios import FALSE_ALARM, ratio
from fastsgd.analysis.report import CONSISTENT, INCONSISTENT, UNTESTED, RatioReport, joint_csv
from fastsgd.analysis.rows import COLUMNS, Row
from fastsgd.theory.statistics import sidak_z


@dataclass(frozen=True)
class SweepRatio:
    """Reports of the cells, and the limits that stand for some of them.

    Attributes:
        reports: of every cell; those of cells that a limit stands for have no tested rows.
        limits: of step size 0, in groups of cells.
        threshold: |z| above which a row of a limit is inconsistent; tests: rows tested; false_alarm: of all together.
    """

    reports: tuple[RatioReport, ...]
    limits: tuple[Limit, ...]
    threshold: float
    tests: int
    false_alarm: float

    @property
    def rejected(self) -> list[str]:
        """What is inconsistent: runs, and limits by their runs."""
        limits = [" and ".join(limit.runs) for limit in self.limits if any(map(self._beyond, limit.rows))]
        return [report.run for report in self.reports if report.inconsistent] + limits

    @property
    def verdict(self) -> str:
        """Of all together."""
        tested = self.limits or any(report.verdict != UNTESTED for report in self.reports)
        return INCONSISTENT if self.rejected else CONSISTENT if tested else UNTESTED

    def _beyond(self, row: Row) -> bool:
        return row.in_verdict and not abs(row.z) <= self.threshold

    def as_dict(self) -> dict[str, Any]:
        """Plain Python values: `runs` (a report each), `limits`, `verdict`."""
        limits = [
            {
                "arm": limit.arm,
                "runs": list(limit.runs),
                "step_sizes": list(limit.sizes),
                "paired": limit.paired,
                "rows": [row.as_dict() for row in limit.rows],
                "consistent": not any(map(self._beyond, limit.rows)),
            }
            for limit in self.limits
        ]
        plain: dict[str, Any] = tables.plain(
            {
                "runs": [report.as_dict() for report in self.reports],
                "limits": limits,
                "threshold": self.threshold,
                "verdict": self.verdict,
            }
        )
        return plain

    def to_csv(self) -> str:
        """One table of all rows; a limit has its runs in the column `run`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for limit in self.limits:
            for row in limit.rows:
                cells = tables.plain(row.as_dict())
                writer.writerow([" ".join(limit.runs), *(cells[column] for column in COLUMNS)])
        return joint_csv(self.reports) + text.getvalue()

    def to_text(self, full: bool = False) -> str:
        """For each cell and arm the risk at its last step, then the limits, and the verdict; whole reports if `full`."""
        if full:
            parts = ["\n\n".join(report.to_text(full) for report in self.reports)]
        else:
            header = ("cell", "arm", "step", "risk", "std.error", "predicted", "ratio", "z", "cell's verdict")
            parts = [tables.aligned(header, [line for report in self.reports for line in _lines(report)], left=2)]
        if self.limits:
            columns = ("cells", "arm", "step sizes", "quantity", "step", "ratio", "std.error", "z", "")
            parts.append(
                "measured / predicted, extrapolated to step size 0\n"
                + tables.aligned(columns, [line for limit in self.limits for line in self._limit_lines(limit)], left=3)
            )
        judged = [report for report in self.reports if report.verdict != UNTESTED]
        found = [f"{sum(r.consistent for r in judged)} of {len(judged)} cells consistent"] if judged else []
        held = sum(not any(map(self._beyond, limit.rows)) for limit in self.limits)
        found += [f"{held} of {len(self.limits)} limits of step size 0 consistent"] if self.limits else []
        rule = f" ({self.tests} two-sided tests, false alarm {self.false_alarm:.3g} for all together)"
        parts.append(f"verdict: {', '.join(found) or self.verdict}{rule}")
        return "\n\n".join(parts)

    def _limit_lines(self, limit: Limit) -> list[tuple[str, ...]]:
        number, fixed = tables.number, tables.fixed
        sizes = ", ".join(f"{size:g}" for size in limit.sizes)
        names = [Path(run).stem.split(",") for run in limit.runs]
        cells = ",".join(part for part in names[0] if all(part in name for name in names)) or "all"
        return [
            (
                cells, limit.arm, sizes, row.quantity, "all" if row.step is None else str(row.step), number(row.empirical),
                number(row.standard_error, 2), fixed(row.z, 2), "<<" if self._beyond(row) else "",
            )
            for row in limit.rows
        ]  # fmt: skip


def sweep_ratio(
    files: Sequence[str | os.PathLike[str]], assume: Sequence[str] = (), *, false_alarm: float = FALSE_ALARM
) -> SweepRatio:
    """Compare the finished cells of a sweep with their predictions, so that `false_alarm` holds for all together."""
    limits = tuple(limit for limit in step_size_limits(files, assume) if limit.rows)
    stood_for = {(run, limit.arm) for limit in limits for run in limit.runs}
    each = 1 - (1 - false_alarm) ** (1 / (len(files) + bool(limits)))
    reports = [_shown(ratio(file, assume, false_alarm=each), stood_for) for file in files]
    rows = [row for limit in limits for row in limit.rows if row.in_verdict]
    tests = len(rows) + sum(report.tests for report in reports)
    return SweepRatio(tuple(reports), limits, sidak_z(each, max(len(rows), 1)), tests, false_alarm)


def _shown(report: RatioReport, stood_for: set[tuple[str, str]]) -> RatioReport:
    """The report; without tests and notes on tests if limits stand for all its arms."""
    arms = {row.arm for row in report.rows if row.quantity == "risk"}
    if not all((report.run, arm) in stood_for for arm in arms):
        return report
    rows = tuple(replace(row, in_verdict=False) for row in report.rows)
    notes = tuple(note for note in report.notes if "frozen-noise" not in note)
    return replace(report, rows=rows, tests=0, verdict=UNTESTED, notes=notes)


def _lines(report: RatioReport) -> list[tuple[str, ...]]:
    risks = [row for row in report.rows if row.quantity == "risk" and row.step is not None]
    last = {row.arm: row for row in risks}
    number, fixed = tables.number, tables.fixed
    verdict = "by its limit" if report.verdict == UNTESTED and report.tests == 0 else report.verdict
    return [
        (
            Path(report.run).stem, arm, str(row.step), number(row.empirical), number(row.standard_error, 2),
            number(row.predicted), fixed(row.ratio, 4), fixed(row.z, 2), verdict,
        )
        for arm, row in last.items()
    ]  # fmt: skip

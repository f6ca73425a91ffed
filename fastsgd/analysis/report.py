"""The result of comparing a run with its predictions: rows, notes and a verdict, as text, JSON or CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastsgd import views
from fastsgd.analysis import tables
from fastsgd.analysis.rows import COLUMNS, Row

CONSISTENT = "consistent"
INCONSISTENT = "inconsistent"
UNTESTED = "untested"


@dataclass(frozen=True, repr=False)
class RatioReport:
    """Measured against predicted.

    Attributes:
        run, identity: path of the file and identity of its spec.
        replicates, planned: committed replicates, and how many the run is to have.
        assumed: KEY=VALUE under which it was predicted.
        rows: all comparisons; those with `in_verdict` are tested.
        verdict: "consistent" or "inconsistent"; "untested" where no prediction holds that could be tested (reshuffling).
        threshold: |z| above which a tested row is inconsistent; `tests` rows at `false_alarm` all together (Sidak).
        errors: how standard errors and z were computed.
        notes: what a reader must know beside the table.
        corrections: nonlinear problems: {"arm", "step", "step_size", "correction", "standard_error",
            "predicted"}, the last None where only the frozen-noise value is known.
    """

    run: str
    identity: str
    replicates: int
    planned: int
    assumed: tuple[str, ...]
    rows: tuple[Row, ...]
    verdict: str
    threshold: float
    tests: int
    false_alarm: float
    errors: str
    notes: tuple[str, ...]
    corrections: tuple[dict[str, Any], ...]

    @property
    def consistent(self) -> bool:
        """True when the verdict is "consistent"."""
        return self.verdict == CONSISTENT

    @property
    def inconsistent(self) -> bool:
        """True when the verdict is "inconsistent"."""
        return self.verdict == INCONSISTENT

    def rejected(self, row: Row) -> bool:
        """True for a tested row beyond the threshold."""
        return row.in_verdict and not abs(row.z) <= self.threshold

    def __repr__(self) -> str:
        return f"RatioReport({self.run!r}, {self.replicates} replicates, {self.tests} tests, {self.verdict})"

    def _repr_html_(self) -> str:
        header = ("arm", "quantity", "step", "empirical", "std.error", "predicted", "ratio", "z", "")
        rows = [self._cells(row) for row in self.rows if self._headline(row)]
        title = f"{self.run}: {self.verdict} ({self.tests} tests, {self.replicates} replicates)"
        return views.facts(title, [("note", note) for note in self.notes]) + views.table(header, rows)

    def as_dict(self) -> dict[str, Any]:
        """What `to_json` writes, as plain Python values."""
        content = {
            "run": self.run,
            "identity": self.identity,
            "replicates": self.replicates,
            "replicates_planned": self.planned,
            "assumed": list(self.assumed),
            "rows": [row.as_dict() for row in self.rows],
            "verdict": self.verdict,
            "threshold": self.threshold,
            "tests": self.tests,
            "false_alarm": self.false_alarm,
            "errors": self.errors,
            "corrections": list(self.corrections),
            "notes": list(self.notes),
        }
        plain: dict[str, Any] = tables.plain(content)
        return plain

    def to_json(self) -> str:
        """Strict JSON text."""
        return tables.json_text(self.as_dict())

    def to_csv(self) -> str:
        """The rows as CSV, one header line, full precision."""
        cells = [tables.plain(row.as_dict()) for row in self.rows]
        return tables.csv_text(("run", *COLUMNS), ([self.run, *(cell[c] for c in COLUMNS)] for cell in cells))

    def to_text(self, full: bool = False) -> str:
        """Heading, table, corrections, notes and verdict as aligned text.

        The table has the risks, what sums over all steps or extrapolates, and every rejected row; all rows if `full`.
        """
        done = (
            f"{self.replicates} replicates"
            if self.replicates == self.planned
            else (f"{self.replicates} of {self.planned} replicates")
        )
        parts = [f"{self.run}  identity {self.identity[:12]}  {done}"]
        if self.assumed:
            parts.append(f"predicted under the assumption {', '.join(self.assumed)}")
        shown = [row for row in self.rows if full or self._headline(row)]
        parts += ["", self._table(shown)]
        hidden = [row for row in self.rows if row.in_verdict and row not in shown]
        if hidden:
            largest = max(hidden, key=lambda row: abs(row.z))
            parts += [
                f"and {len(hidden)} tested rows more (means, covariances; --full), of which |z| is at most "
                f"{abs(largest.z):.2f} ({largest.arm}: {largest.quantity} at step {largest.step})"
            ]
        if self.corrections:
            parts += ["", self._corrections()]
        parts += ["", *(f"note: {note}" for note in self.notes), f"errors: {self.errors}", self._verdict()]
        return "\n".join(parts)

    def _headline(self, row: Row) -> bool:
        return row.quantity.startswith(("risk", "time-averaged")) or "(" in row.quantity or self.rejected(row)

    def _table(self, rows: Sequence[Row]) -> str:
        header = ("arm", "quantity", "step", "empirical", "std.error", "predicted", "ratio", "z", "")
        return tables.aligned(header, (self._cells(row) for row in rows), left=2)

    def _cells(self, row: Row) -> tuple[str, ...]:
        mark = "<<" if self.rejected(row) else "" if row.in_verdict else "(not tested)"
        step = "all" if row.step is None else str(row.step)
        numbers = (tables.number(row.empirical), tables.number(row.standard_error, 2), tables.number(row.predicted))
        quantity = "risk ratio" if row.quantity.startswith("risk ratio ") else row.quantity
        return (row.arm, quantity, step, *numbers, tables.fixed(row.ratio, 4), tables.fixed(row.z, 2), mark)

    def _corrections(self) -> str:
        header = ("arm", "step size", "ratio - 1", "std.error", "predicted")
        number, fixed = tables.number, tables.fixed
        rows = (
            (
                c["arm"],
                number(c["step_size"]),
                fixed(c["correction"], 5),
                number(c["standard_error"], 2),
                fixed(c["predicted"], 5),
            )
            for c in self.corrections
        )
        step = self.corrections[0]["step"]
        return f"risk / frozen-noise risk at step {step}\n" + tables.aligned(header, rows)

    def _verdict(self) -> str:
        if self.verdict == UNTESTED:
            return "verdict: untested (nothing of it is predicted in closed form)"
        beyond = sum(self.rejected(row) for row in self.rows)
        plural = "" if self.tests == 1 else "s"
        rule = f"{self.tests} two-sided test{plural}, |z| <= {self.threshold:.2f} each, "
        rule += f"false alarm {self.false_alarm:g} for all together (Sidak)"
        found = f"; {beyond} beyond" if beyond else ""
        return f"verdict: {self.verdict} ({rule}{found})"


def joint_dict(reports: Sequence[RatioReport]) -> dict[str, Any]:
    """One report as it is; several as {"runs": [...], "verdict"}, inconsistent when one is."""
    if len(reports) == 1:
        return reports[0].as_dict()
    verdicts = {report.verdict for report in reports}
    verdict = next(one for one in (INCONSISTENT, CONSISTENT, UNTESTED) if one in verdicts)
    return {"runs": [report.as_dict() for report in reports], "verdict": verdict}


def joint_text(reports: Sequence[RatioReport], full: bool = False) -> str:
    """Reports one below the other."""
    return "\n\n".join(report.to_text(full) for report in reports)


def joint_csv(reports: Sequence[RatioReport]) -> str:
    """One table of all rows."""
    first, *others = (report.to_csv() for report in reports)
    return first + "".join(text.split("\n", 1)[1] for text in others)

"""What a spec will cost and show, before it is run: the plan of a run, of a budget, of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd.analysis import tables
from fastsgd.analysis.budget import Budget, budget
from fastsgd.analysis.budget_calibration import Simulate
from fastsgd.analysis.budget_errors import Expected, Rehearsal, expected_errors
from fastsgd.analysis.budget_surface import Surface
from fastsgd.analysis.budget_text import budget_text, cost_text, errors_text, study_text
from fastsgd.errors import InputError

if TYPE_CHECKING:
    from fastsgd.costs import Cost, Rates, Study
    from fastsgd.spec import Spec

FEWEST_PILOT = 16  # replicates whose scatter is an error


@dataclass(frozen=True)
class StudyPlan:
    """Parts of a plan; None where it was not asked for.

    Attributes:
        spec: the spec, overrides applied.
        rates, cost: what was measured, and the cost of one run of the spec.
        best_cost: cost of a run with the best batch and step of the budget, recorded at its end.
        errors: standard errors that the spec's replicates will give.
        budget: the grid of batches and step sizes. study: all cells on several machines.
    """

    spec: Spec
    rates: Rates | None
    cost: Cost | None
    best_cost: Cost | None
    errors: tuple[Expected, ...]
    budget: Budget | None
    study: Study | None

    def as_dict(self) -> dict[str, Any]:
        """What `plan --json` prints, as plain Python values."""
        made = self.budget
        content = {
            "name": self.spec.name,
            "replicates": self.spec.replicates,
            "cost": None if self.cost is None else self.cost.as_dict(),
            "rates": None if self.rates is None else self.rates.as_dict(),
            "standard_errors": [row.as_dict() for row in self.errors],
            "budget": None if made is None else budget_dict(made),
            "best_cost": None if self.best_cost is None else self.best_cost.as_dict(),
            "study": None if self.study is None else self.study.as_dict(),
        }
        plain: dict[str, Any] = tables.plain(content)
        return plain

    def to_text(self, full: bool = False) -> str:
        """For people; every row of the standard errors if `full`."""
        parts = []
        if self.budget is not None:
            parts.append(budget_text(self.budget))
        if self.cost is not None and self.rates is not None:
            text = cost_text(self.cost.as_dict(), self.rates.as_dict(), f"{self.spec.name}, as the spec is")
            if self.best_cost is not None:
                best = cost_text(self.best_cost.as_dict(), self.rates.as_dict(), "with the best pair, to the end of N")
                text = f"{text}\n{best.splitlines()[0]}"
            parts.append(text)
        if self.study is not None:
            parts.append(study_text(self.study.as_dict()))
        parts.append(errors_text(self.errors, self.spec.replicates, full))
        return "\n\n".join(parts)

    def plot(self, output: str | os.PathLike[str]) -> list[Path]:
        """The figure of the budget; returns the files written."""
        from fastsgd.figures.budget import plot_budget

        assert self.budget is not None, "plot needs a plan with a budget"
        made = self.budget
        title = f"{self.spec.name}:  N = {made.calls:g} oracle calls" + (f",  arm {made.arm}" if self.spec.arms else "")
        return plot_budget(made, Path(output), title)


def budget_dict(of: Budget) -> dict[str, Any]:
    """A budget as plain values: grid, choices and the best."""
    best = of.choices[of.best]
    return {
        "arm": of.arm,
        "calls": of.calls,
        "schedule": of.schedule,
        "exact": of.exact,
        "batches": of.batches,
        "step_sizes": of.sizes,
        "risk": of.risk,
        "relative_error": of.error,
        "trusted": of.trusted,
        "pilot": {"cells": of.cells, "replicates": of.replicates} if of.cells else None,
        "best_simulated": None
        if of.simulated is None
        else {"value": of.simulated[0], "standard_error": of.simulated[1]},
        "largest_stable_step": of.stable,
        "choices": [asdict(choice) for choice in of.choices],
        "best": asdict(best),
        "batches_within_10_percent": list(of.close),
        "largest_feasible_batch": of.largest_feasible,
        "smoothness": of.smoothness,
        "gap0": of.gap0,
        "notes": list(of.notes),
    }


def plan_study(
    spec: Spec | str | os.PathLike[str] | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    budget: int | None = None,
    batches: Sequence[int] = (),
    step_sizes: Sequence[float] = (),
    machines: int | None = None,
    cells: int | None = None,
    measured: bool = True,
    pilot: int | None = None,
) -> StudyPlan:
    """Plan a run of a spec, a budget of oracle calls, a study on several machines.

    Args:
        spec: a Spec, the path of a TOML file, or a mapping.
        budget: N = b T oracle calls of one replicate; with it a grid over `batches` and `step_sizes`.
        machines, cells: machines like this one for all cells of the spec's [sweep], or for so many cells like it.
        measured: also time the kernels (about a second), for time, memory and disk.
        pilot: replicates of each simulated cell that corrects the budget's risks where they are not exact; 0: none are
            simulated, nor the replicates whose scatter says the standard errors of problems that are not Gaussian; None: as
            many as some ten seconds allow, and none unless `measured`.

    Raises:
        SpecError: the spec has problems. InputError: a budget or grid that cannot be.
    """
    from fastsgd.spec import load_spec

    if pilot is not None and pilot != 0 and pilot < FEWEST_PILOT:
        raise InputError(f"a pilot needs {FEWEST_PILOT} replicates or more for its error, or 0 for none, got {pilot}")
    loaded = load_spec(spec, list(overrides))  # type: ignore[arg-type]
    alone = loaded.model_copy(update={"sweep": None})
    made = None if budget is None else _budget(alone, budget, batches, step_sizes, pilot, measured)
    errors = tuple(expected_errors(alone, rehearsal=_rehearsal(alone) if measured and pilot != 0 else None))
    if not measured:
        return StudyPlan(loaded, None, None, None, errors, made, None)
    from fastsgd.costs import cost_of_run, measure, study

    rates = measure(alone)
    cost = cost_of_run(alone, rates)
    best_cost = None
    if made is not None:
        best = _with_best(alone, made)
        best_cost = cost_of_run(best, rates if best.sampling.batch == alone.sampling.batch else measure(best))
    whole = None
    if machines is not None or cells is not None or loaded.sweep:
        whole = study(loaded, machines or 1, cells)
    return StudyPlan(loaded, rates, cost, best_cost, errors, made, whole)


def _budget(
    spec: Spec, calls: int, batches: Sequence[int], sizes: Sequence[float], replicates: int | None, measured: bool
) -> Budget:
    if replicates == 0 or (replicates is None and not measured):
        return budget(spec, calls, batches, sizes)

    def pilot(surface: Surface) -> Simulate:
        from fastsgd.piloting import Pilot

        start = -surface.model.optimum if surface.from_zero else None
        return Pilot(next(iter(spec.arm_specs().values())), start)

    return budget(spec, calls, batches, sizes, pilot, replicates)


def _rehearsal(spec: Spec) -> Rehearsal | None:
    """Where a run's errors do not follow from a Gaussian law, or its arms share their draws."""
    from fastsgd.piloting import rehearse

    exact = spec.problem.kind in ("quadratic", "ou")
    return None if exact and not spec.arms else rehearse(spec)


def _with_best(spec: Spec, of: Budget) -> Spec:
    """The arm that was planned, alone, with its best batch and step size, recorded at the end of the budget."""
    from fastsgd.spec.sections import Record

    best = of.choices[of.best]
    arm = spec.arm_specs()[of.arm]
    plain = arm.model_copy(update={"record": Record(steps=(best.steps,))})
    return plain.with_overrides([f"sampling.batch={best.batch}", f"step.size={best.size!r}"])

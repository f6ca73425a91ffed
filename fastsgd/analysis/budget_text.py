"""A plan for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsgd.analysis import tables
from fastsgd.analysis.budget import LINEAR, TRUSTED, Budget, Choice
from fastsgd.analysis.budget_errors import Expected
from fastsgd.units import in_bytes


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, size in (("years", 365.25 * 86400), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def budget_text(of: Budget) -> str:
    """A line a batch, the best pair, how flat it is."""
    number, best = tables.number, of.choices[of.best]
    corrected = not of.exact and any(c.error is not None for c in of.choices)
    header = ["batch", "steps T", "best step size", "risk at N", *(["error", "frozen noise"] if corrected else [])]
    header += ["of it plateau", "within 10 % from", "to", "feasible", "eta*", "risk at eta*"]
    rows = []
    for c in of.choices:
        share = f"{c.plateau / c.frozen:.0%}" if c.plateau is not None and c.frozen > 0 else "-"
        row = [f"{c.batch}{' *' if c is best else ''}", str(c.steps), number(c.size, 3), number(c.risk, 4)]
        row += [_relative(c), number(c.frozen, 4)] if corrected else []
        there = number(c.risk_balanced, 3) if c.risk_balanced is not None and math.isfinite(c.risk_balanced) else "-"
        row += [share, number(c.low, 3), number(c.high, 3), "yes" if c.feasible else "no"]
        rows.append([*row, number(c.balanced, 3) if c.balanced else "-", there])
    word = "step size" if of.schedule == "constant" else "numerator of the step size"
    reach = f"{best.low:.3g} to {best.high:.3g}"
    others = (
        f"for batches {min(of.close)} to {max(of.close)} with their own" if len(of.close) > 1 else "for no other batch"
    )
    lines = [
        f"budget N = {of.calls} oracle calls a replicate, arm {of.arm}: risk at its end, best step of each batch",
        tables.aligned(header, rows),
        "",
        f"best: batch {best.batch}, {word} {best.size:.4g}, risk {best.risk:.5g}{_checked(of)}",
        f"flat: within 10 % of it for step sizes {reach} at this batch, and {others}",
    ]
    if math.isfinite(of.largest_feasible):
        lines.append(
            f"Corollary 7.8: batches up to {of.largest_feasible:.4g} have eta* <= 1/l = {1 / of.smoothness:.4g}"
        )
    doubtful = int(np.sum(np.isfinite(of.risk) & ~of.trusted))
    if doubtful:
        lines.append(f"not trusted: {doubtful} of {int(np.sum(np.isfinite(of.risk)))} cells, {_doubt(of)}")
    return "\n".join([*lines, *(f"note: {note}" for note in of.notes)])


def _known(row: Expected) -> str:
    """How well a standard error is known."""
    if not row.tested:
        return "not tested"
    if row.known_to is None:
        return "at most" if "at most" in row.quantity else "Gaussian"
    return "exact" if row.known_to == 0 else f"{row.known_to:.0%}"


def _relative(choice: Choice) -> str:
    """Relative standard error of the risk of a choice; ? where it is not trusted."""
    if choice.error is None:
        return "?"
    return "exact" if choice.error == 0 else f"{choice.error:.1%}{'' if choice.trusted else ' ?'}"


def _checked(of: Budget) -> str:
    """What the best pair gave when it was simulated."""
    if of.simulated is None:
        return ""
    return f" (simulated afresh: {of.simulated[0]:.5g} +- {of.simulated[1]:.2g})"


def _doubt(of: Budget) -> str:
    if of.cells:
        return f"error above {TRUSTED:.0%}, or step above half the edge of stability or half of one that diverged"
    return f"steps above {LINEAR:g} of the edge of stability, where frozen noise is too low"


def cost_text(cost: dict[str, Any], rates: dict[str, Any], what: str) -> str:
    """One run: time, memory, disk, and what was measured for it."""
    speed = cost["replicate_steps"] / max(cost["seconds"], 1e-300)
    return (
        f"{what}: {cost['replicate_steps']:.3g} replicate-steps, {duration(cost['seconds'])} "
        f"(+- {cost['spread']:.0%}, {speed:.3g}/s), {in_bytes(cost['memory'])} of memory, {in_bytes(cost['disk'])} of disk\n"
        f"measured here just now in {rates['measured']:.2g} s: {rates['threads']} threads, {rates['replicates']} "
        f"replicates, {rates['step'] * 1e9:.3g} ns a step, {rates['record'] * 1e9:.3g} ns a recorded step, "
        f"loading {rates['start']:.2g} s"
    )


def study_text(study: dict[str, Any]) -> str:
    """A study on several machines."""
    machines = f"{study['machines']} machine{'s' if study['machines'] > 1 else ''} like this one"
    shards = f" and {in_bytes(study['disk_shards'])} for shards" if study["disk_shards"] else ""
    line = (
        f"{study['cells']} cells of {study['replicates']} replicates on {machines}: "
        f"{study['replicate_steps']:.3g} replicate-steps, {duration(study['seconds'])} (+- {study['spread']:.0%}), "
        f"{study['core_hours']:.3g} core hours, {in_bytes(study['memory'])} of memory each, "
        f"{in_bytes(study['disk'])} of disk{shards}"
    )
    return "\n".join([line, *(f"note: {note}" for note in study["notes"])])


def errors_text(rows: Sequence[Expected], replicates: int, full: bool = False) -> str:
    """Standard errors of the ratios that the replicates will give."""
    number = tables.number
    shown = [r for r in rows if full or r.quantity != "covariance"]
    header = ("arm", "quantity", "step", "predicted", "s.e. of ratio", "known to", "detects", "replicates for 1 %")
    body = (
        (
            r.arm, r.quantity, "all" if r.step is None else str(r.step), number(r.predicted),
            number(r.standard_error, 3), _known(r), f"{r.detectable:.1%}", str(r.for_one_percent),
        )
        for r in shown
    )  # fmt: skip
    return f"standard errors with {replicates} replicates\n{tables.aligned(header, body, left=2)}"

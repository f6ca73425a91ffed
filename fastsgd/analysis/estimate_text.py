"""An estimate for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastsgd.analysis import tables
from fastsgd.analysis.estimate_weights import COUNTS

if TYPE_CHECKING:
    from fastsgd.analysis.estimate import Estimate

FEWEST_GRADIENTS = 40  # `Tails.effective`: measured coverage in `estimate_bootstrap.interval`
LABELS = {
    "mu_F": "mu_F",
    "condition_number": "condition number of G (kappa)",
    "effective_dimension": "effective dimension of G",
    "condition_number_hessian": "condition number of H",
    "generalised_condition_number": "condition number of (H, G)",
    "largest_curvature": "lambda_max(H)",
    "smallest_curvature": "lambda_min(H)",
    "trace_noise": "tr G",
    "sampling_risk": "risk of the estimate, tr(F H^-1 G H^-1)/n",
    "largest_stable_step": "largest stable step 2/lambda_max(H)",
    "balanced_temperature": "eta/b with a plateau of that risk",
}


def text(of: Estimate) -> str:
    """Coefficients, geometry, step sizes and the spec."""
    from fastsgd.analysis.estimate import NO_SPEC

    at = of.fit.features
    how = "in memory" if of.in_memory else "in chunks"
    head = (
        f"{of.data}: {at.rows} rows, {at.family} with target {of.target}, ridge {of.fit.ridge:g}, "
        f"{of.fit.passes} passes {how}"
    )
    if at.weights.column is not None:
        head += f"\n{_weights(of)}"
    parts = [head, "", _coefficients(of), "", _geometry(of)]
    if of.geometry_errors and of.fit.tails.effective < FEWEST_GRADIENTS:
        parts.append(
            f"note: gradients have heavy tails, tr G rests on as many as {of.fit.tails.effective:.3g} rows: 95 % intervals of "
            "what G makes may cover 80 % only (those of H and mu_F: 90 % or more)"
        )
    if of.fit.low_rank is not None:
        parts += ["", _low_rank(of)]
    spec = ["a spec that is ready to run:", "", of.spec_toml().rstrip()] if of.runs else [f"note: {NO_SPEC}"]
    parts += ["", _steps(of), "", *spec]
    if at.family in ("logistic", "probit", "poisson") and of.fit.margin_error > 1:
        parts.insert(
            1,
            f"note: x'theta has a standard error of {of.fit.margin_error:.2g}, and the loss is not quadratic within it (nearly "
            "separated classes, or few rows): errors and step sizes are rough; a ridge helps, and simulating the step",
        )
    if of.geometry.mu_F <= 0:
        parts.insert(1, "note: mu_F <= 0: Assumption 6.2 fails, bounds that contract in the metric F do not apply")
    if of.geometry.smallest_curvature * of.epochs * at.rows * of.steps[0].high < 4.6 * of.steps[0].batch:
        parts.insert(1, f"note: {of.epochs:g} epochs are too few to forget the start; see the column epochs")
    return "\n".join(parts)


def _weights(of: Estimate) -> str:
    found = of.fit.features.weights
    if found.kind == COUNTS:
        return f"counts {found.column}: {found.lines} lines stand for {found.rows} rows"
    return f"sampling weights {found.column}, as many rows as {found.effective:.6g} of equal weight (Kish)"


def _coefficients(of: Estimate) -> str:
    fit, number = of.fit, tables.number
    own = fit.in_columns()
    scaled = bool(np.any(fit.features.mean) or np.any(fit.features.scale != 1.0))
    header = ["coordinate", "optimum", "robust s.e."] + (["bootstrap s.e."] if of.theta_errors is not None else [])
    header += ["in the file's units", "robust s.e."] if scaled and own is not None else []
    rows = []
    for j, name in enumerate(fit.features.names):
        row = [name, number(float(fit.theta[j])), number(float(fit.standard_errors[j]), 4)]
        if of.theta_errors is not None:
            row.append(number(float(of.theta_errors[j]), 3))
        if scaled and own is not None:
            row += [number(float(own[0][j])), number(float(own[1][j]), 4)]
        rows.append(row)
    return tables.aligned(header, rows)


def _geometry(of: Estimate) -> str:
    values, errors = of.geometry.as_dict(), of.geometry_errors
    header = ["geometry at the optimum", "value"]
    header += [f"s.e. ({of.bootstrap} resamples)", "95 % from", "to"] if errors else []
    rows = [
        [label, tables.number(values[key], 5)] + ([tables.number(errors[key], 2), *_ends(of, key)] if errors else [])
        for key, label in LABELS.items()
    ]
    return tables.aligned(header, rows)


def _ends(of: Estimate, key: str) -> list[str]:
    ends = of.geometry_intervals.get(key)
    return ["-", "-"] if ends is None else [tables.number(end, 3) for end in ends]


def _low_rank(of: Estimate) -> str:
    from fastsgd.analysis.estimate import low_rank_dict

    low = low_rank_dict(of.fit)
    return (
        f"G by a stream of rank {low['rank']}: {low['share_of_trace']:.1%} of its trace, error {low['error']:.2g} of "
        f"|G| (certified {low['error_bound']:.2g}), {low['error_with_diagonal']:.2g} with the rest of the diagonal"
    )


def _steps(of: Estimate) -> str:
    number = tables.number
    rows = []
    for step, error in zip(of.steps, of.step_errors, strict=True):
        limit = "noise" if step.quiet < step.stable else "stability"
        row = [str(step.batch), number(step.low, 3), number(step.high, 3)]
        row += [number(error, 2)] if error is not None else []
        quiet = number(step.quiet, 3) if math.isfinite(step.quiet) else "none"
        rows.append([*row, limit, quiet, number(step.stable, 3), number(step.suggested, 3), number(step.epochs, 3)])
    error_column = ["s.e."] if of.step_errors[0] is not None else []
    header = ["batch", f"eta from ({of.epochs:g} epochs)", "eta up to", *error_column, "limited by", "quiet", "stable"]
    return tables.aligned([*header, "suggested", "epochs"], rows)

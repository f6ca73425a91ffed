"""Words on figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastsgd.analysis.ratios import Evaluation

METRICS = {"hessian": "F = H", "noise": "F = G", "identity": "F = I", "fisher": "F = Fisher"}


def legend(top: Any, lowest: Any, heading: str, arms: int) -> None:
    """The legend of `top` under the panel `lowest`, where it hides nothing."""
    handles, names = top.get_legend_handles_labels()
    lowest.legend(
        handles, names, title=heading, loc="upper center", bbox_to_anchor=(0.5, -0.16 if top is lowest else -0.38),
        ncols=min(arms, 4), frameon=False, title_fontsize=8,
    )  # fmt: skip


def title(evaluation: Evaluation) -> str:
    """Name of the run, dimension, batch, step, replicates; what differs between the arms is left out."""
    model, report = evaluation.predictions[0].model, evaluation.report
    models = [p.model for p in evaluation.predictions]
    parts = [f"d = {model.dimension}"]
    if len({m.spec.sampling.batch for m in models}) == 1:
        parts.append(f"b = {model.spec.sampling.batch}")
    if len({m.schedule for m in models}) == 1:
        schedule = model.schedule
        if schedule.constant:
            parts.append(rf"$\eta$ = {schedule.size:g}")
        else:
            parts.append(rf"$\eta_k$ = {schedule.size:g}/(k + {schedule.offset:g})$^{{{schedule.exponent:g}}}$")
    parts.append(f"R = {report.replicates}")
    assumed = f"\npredicted under {', '.join(report.assumed)}" if report.assumed else ""
    return f"{plain(Path(report.run).stem)}:  {',  '.join(parts)}{plain(assumed)}"


def plain(text: str) -> str:
    """Text in which a dollar sign stays a dollar sign."""
    return text.replace("$", r"\$")


def risk_axis(evaluation: Evaluation) -> str:
    """Label of a risk axis, naming the metric."""
    metric = evaluation.predictions[0].model.spec.problem.metric
    name = METRICS[metric] if isinstance(metric, str) else "F from a file"
    return rf"mean risk  $\mathrm{{E}}\,\Delta' F \Delta$   ({name})"

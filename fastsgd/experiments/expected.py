"""`--list`: the entries, what they run and how long that takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastsgd.analysis import tables
from fastsgd.experiments.runner import choose
from fastsgd.experiments.scale import Planned, planned, spec_folder
from fastsgd.threads import cores

SECONDS = 0.06  # for the measurement of one kind of run
START = 4.0  # seconds until all processes are at work
ANALYSIS = 2.0  # seconds of one core that rows, controls and figures of an entry take


def listing(
    names: Sequence[str] = (), scale: str = "paper", seed: int | None = None, specs: str | Path | None = None
) -> list[dict[str, Any]]:
    """One dictionary an entry: name, paper, title, ran, runs, replicate_steps, seconds (nothing stored yet), further_seconds
    (runs that an entry above has are not counted again).

    Measured in processor time of one core, so that what else the machine does hardly matters, and shared among all cores.
    """
    from fastsgd.costs import measure

    source = spec_folder(specs)
    rates: dict[Any, Any] = {}

    chosen = choose(names)
    needs = [planned(entry, scale, seed, source, Path(gettempdir())) for entry in chosen]
    for run in (run for runs in needs for run in runs):
        if _kind(run) not in rates:
            rates[_kind(run)] = measure(run.spec, 1, SECONDS, time.process_time), _draws(run)
    # The first small run of all loads kernels that every run has; none is made dearer by it.
    least = min(found.run for found, _ in rates.values())

    def seconds(run: Planned) -> float:
        found, draws = rates[_kind(run)]
        step = found.step * _draws(run) / draws
        # As `costs.cost_of_run` without the time of writing, which is small, so that no problem is built again.
        each = run.spec.horizon * step + len(run.spec.record_steps()) * found.record
        return float(least + run.spec.replicates * each)

    found, counted = [], set[Path]()
    for entry, runs in zip(chosen, needs, strict=True):
        new = [run for run in runs if run.path not in counted]
        counted |= {run.path for run in new}
        found.append(
            {
                "name": entry.name,
                "paper": entry.paper,
                "title": entry.title,
                "ran": entry.ran,
                "specs": list(dict.fromkeys(run.part.spec for run in runs)),
                "runs": len(runs),
                "replicate_steps": sum(run.total for run in runs),
                "seconds": round((ANALYSIS + sum(map(seconds, runs))) / cores(None), 1),
                "further_seconds": round((ANALYSIS + sum(map(seconds, new))) / cores(None), 1),
            }
        )
    return found


def _draws(run: Planned) -> float:
    """What a step costs beside other runs of its kind: the samples that it draws, and a few for what each step needs."""
    batches = [spec.sampling.batch for spec in run.spec.arm_specs().values()]
    return 1.0 if run.spec.problem.kind in ("quadratic", "ou") else 4.0 + sum(batches) / len(batches)


def _kind(run: Planned) -> tuple[Any, ...]:
    """Runs whose steps cost the same a sample: those of one part with as many arms."""
    return run.part.spec, len(run.spec.arms or ())


def listing_text(found: Sequence[dict[str, Any]]) -> str:
    """The table, and what each entry runs below it."""
    header = ("experiment", "paper", "runs", "replicate-steps", "seconds")
    rows = [
        (e["name"], e["paper"], str(e["runs"]), f"{e['replicate_steps']:.2g}", f"{e['seconds']:.1f}") for e in found
    ]
    total = START + sum(e["further_seconds"] for e in found)
    lines = [f"{e['name']}: {e['ran']}" for e in found]
    return "\n".join(
        [
            tables.aligned(header, rows, 2),
            "",
            *lines,
            "",
            f"in all about {total:.0f} s on this machine, compiled kernels supposed",
        ]
    )

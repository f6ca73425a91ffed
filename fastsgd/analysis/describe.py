"""What a stored run is: spec, identity, progress, arms, divergence and origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastsgd.analysis import tables
from fastsgd.analysis.source import opened

LONGEST_LIST = 8


def describe(run: Any) -> dict[str, Any]:
    """Facts about a run (open, or a path) as plain Python values; reads no replicate data but the status."""
    run = opened(run)
    spec, progress = run.spec, run.progress
    lost = {arm: at[at >= 0] for arm in run.arms for at in [np.asarray(run.diverged_at(arm))]}
    steps = [int(step) for step in run.steps]
    running = progress.wave_step > 0 and not run.finished
    described = {
        "run": str(run.path),
        "name": spec.name,
        "identity": run.identity,
        "stream_version": run.stream_version,
        "finished": bool(run.finished),
        "replicates": int(progress.replicates_done),
        "replicates_planned": int(run.replicates),
        "step_reached_by_unfinished_replicates": int(progress.wave_step) if running else None,
        "seed": spec.seed,
        "problem": spec.problem.kind,
        "dimension": len(run.coordinates),
        "steps": steps,
        "horizon": steps[-1],
        "arms": list(run.arms),
        "diverged": {arm: len(at) for arm, at in lost.items()},
        "first_diverged_at": {arm: int(at.min()) if len(at) else None for arm, at in lost.items()},
        "spec": spec.document(),
        "provenance": run.provenance,
    }
    plain: dict[str, Any] = tables.plain(described)
    return plain


def describe_text(run: Any) -> str:
    """The same for people: facts, provenance in short, and the spec as TOML."""
    run = opened(run)
    facts = describe(run)
    toml = "\n".join(f"  {line}".rstrip() for line in run.spec.to_toml().strip().splitlines())
    return f"{tables.pairs([*_facts(facts), *_origin(facts['provenance'])])}\nspec\n{toml}"


def _facts(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    done, planned = facts["replicates"], facts["replicates_planned"]
    state = "finished" if facts["finished"] else "unfinished, `fastsgd run` goes on with it"
    running = facts["step_reached_by_unfinished_replicates"]
    yield "run", facts["run"]
    yield "name", facts["name"]
    yield "identity", facts["identity"]
    yield "state", state
    yield "replicates", f"{done} of {planned}" + (f", the next ones at step {running}" if running else "")
    yield "seed", str(facts["seed"])
    yield "problem", f"{facts['problem']}, dimension {facts['dimension']}"
    yield "recorded steps", _listed(facts["steps"])
    yield "arms", ", ".join(facts["arms"])
    for arm, count in facts["diverged"].items():
        if count:
            yield f"diverged in {arm}", f"{count} of {done} replicates, first at step {facts['first_diverged_at'][arm]}"
    if not any(facts["diverged"].values()):
        yield "diverged", "none"
    yield "stream version", str(facts["stream_version"])


SHOWN = {
    "python": ("python", "version"),
    "numba": ("libraries", "numba", "version"),
    "numpy": ("libraries", "numpy", "version"),
    "h5py": ("libraries", "h5py", "version"),
    "threads": ("threads",),
    "on": ("cpu", "model"),
}


def _origin(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    software, environment = provenance.get("software", {}), provenance.get("environment", {})
    words = [f"{software.get('name', '?')} {software.get('version', '?')}"]
    for word, keys in SHOWN.items():
        value: Any = environment
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            words.append(f"{word} {value}")
    yield "made by", ", ".join(words)


def _listed(values: list[int]) -> str:
    if len(values) <= LONGEST_LIST:
        return ", ".join(map(str, values))
    return f"{len(values)} from {values[0]} to {values[-1]}"

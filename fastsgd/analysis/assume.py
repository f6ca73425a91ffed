"""Altered assumptions: the same overrides as `run --set`, for the prediction only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsgd.analysis import model as models
from fastsgd.analysis.model import Model
from fastsgd.errors import InputError

ASSUMABLE = ("problem", "sampling", "step", "start")


def assumed_models(run: Any, assume: Sequence[str]) -> tuple[list[Model], list[str]]:
    """Models of a stored run under `assume`, and a note on every arm that an assumption does not reach.

    Each KEY=VALUE applies to the spec of every arm, except to arms that override this key themselves;
    arms.NAME.KEY=VALUE applies to that arm and replaces its override. Arrays come from the run file alone.

    Raises:
        InputError: unknown arm or key, a key that changes no prediction, or a value the spec refuses.
    """
    if not assume:
        return models.from_run(run), []
    common, special = _split(run.arms, assume)
    own = {arm: set(table) for arm, table in (run.spec.arms or {}).items()}
    found, notes = [], []
    for arm, arm_spec in run.spec.arm_specs().items():
        reached = [(key, text) for key, text in common if not _overridden(key, own.get(arm, ()))]
        missed = [text for key, text in common if _overridden(key, own.get(arm, ()))]
        changes = [text for _, text in (*reached, *special[arm])]
        found.append(_model(run, arm, arm_spec, [key for key, _ in (*reached, *special[arm])], changes))
        if missed:
            hint = ", ".join(f"arms.{arm}.{text}" for text in missed)
            notes.append(f"arm {arm} has its own {', '.join(missed)} and is not altered; to alter it: --assume {hint}")
        elif not changes:
            notes.append(f"arm {arm} is not altered")
    return found, notes


def _model(run: Any, arm: str, arm_spec: Any, keys: Sequence[str], changes: Sequence[str]) -> Model:
    if not changes:
        return models.stored(run, arm, arm_spec)
    if "sampling.design" in keys:
        arm_spec = arm_spec.plain_sampling()  # another design has no use for the keys of this one
    spec = arm_spec.with_overrides(list(changes))
    if not any(key.split(".")[0] == "problem" for key in keys):
        return models.stored(run, arm, spec)
    made = models.built(arm, spec)
    if made.dimension != len(run.coordinates):
        raise InputError(
            f"--assume gives arm {arm} dimension {made.dimension}, the run has {len(run.coordinates)}; keep it"
        )
    return made


def _split(
    arms: Sequence[str], assume: Sequence[str]
) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]]]:
    """(key, KEY=VALUE) for all arms, and those for each arm."""
    from fastsgd.spec import toml
    from fastsgd.spec.overrides import join_key, parse

    common: list[tuple[str, str]] = []
    special: dict[str, list[tuple[str, str]]] = {arm: [] for arm in arms}
    problems = []
    for text in assume:
        parsed = parse(text)
        if not isinstance(parsed[0], list):
            problems.append(parsed.line)  # type: ignore[union-attr]
            continue
        parts, value = parsed
        target = common
        if parts and parts[0] == "arms" and len(parts) > 2:
            if parts[1] not in special:
                problems.append(f"--assume {text} names no arm of the run; it has {', '.join(arms)}")
                continue
            # A quoted dotted key, arms.a."step.size", is the same as arms.a.step.size.
            target, parts = special[parts[1]], ".".join(parts[2:]).split(".")
        if not parts or parts[0] not in ASSUMABLE:
            problems.append(f"--assume {text} alters no prediction; give a key of {', '.join(ASSUMABLE)}")
            continue
        key = join_key(parts)
        target.append((key, f"{key}={toml.value(value)}"))
    if problems:
        raise InputError(problems)
    return common, special


def _overridden(key: str, own: Sequence[str] | set[str]) -> bool:
    """True when one of an arm's own keys is this key, or a table above or below it."""
    return any(key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in own)

"""Checks of arms and sweeps: each is built as the spec it stands for, and what is new about it is reported."""

import itertools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from fastsgd.spec import fields, sampling, sections
from fastsgd.spec.messages import Issue, show
from fastsgd.spec.model import Spec
from fastsgd.spec.overrides import join_key, put
from fastsgd.spec.schema import all_keys
from fastsgd.spec.structure import structure

LARGEST_GRID = 256
SAMPLING = tuple(f"sampling.{key}" for key in sampling.KEYS)
LINEAR = ("problem.noise", *SAMPLING, "step.size")
STEPS = (*SAMPLING, "step.size")
ARM_TABLES = {kind: LINEAR if kind in ("quadratic", "ou") else STEPS for kind in (*sections.KINDS, "own")}


def arms(raw: Mapping[str, Any], base: Sequence[Issue]) -> list[Issue]:
    """Problems of the arms of raw tables, each line beginning with `arms.<name>`."""
    table = raw.get("arms")
    if not isinstance(table, Mapping):
        return []
    if not table:
        return [Issue("arms", "arms must not be empty, got {}; give an arm such as [arms.isotropic], or remove it")]
    kind = sections.guess_problem(raw.get("problem"))[1:-1]
    issues = []
    for name, changes in table.items():
        key = f"arms.{join_key([str(name)])}"
        if not isinstance(name, str) or not sections.ARM_NAME.fullmatch(name):
            remedy = "name it with letters, digits and _ . + = - (at most 64)"
            issues.append(Issue(key, f"{key} must have a plain name, got {show(name)}; {remedy}"))
        elif isinstance(changes, Mapping):
            issues += _arm(raw, base, key, changes, kind)
    return issues


def _arm(raw: Mapping[str, Any], base: Sequence[Issue], key: str, changes: Mapping[str, Any], kind: str) -> list[Issue]:
    issues, allowed = [], {}
    tables = ARM_TABLES[kind]
    for name, value in changes.items():
        if name in tables or any(name.startswith(f"{table}.") for table in tables):
            allowed[name] = value
            continue
        near = get_close_matches(name, [known for known in all_keys(Spec) if known.startswith(tables)], 1, 0.7)
        may = dict.fromkeys("sampling" if table.startswith("sampling.") else table for table in tables)
        remedy = f"did you mean {near[0]}?" if near else f"an arm may change {', '.join(may)}"
        rule = "is not a key that arms may differ in"
        issues.append(Issue(key, f"{key}: {name} {rule} (problem.kind = {show(kind)}), got {show(value)}; {remedy}"))
    return issues + [Issue(key, f"{key}: {issue.line}") for issue in _changed(raw, base, allowed)]


def _changed(raw: Mapping[str, Any], base: Sequence[Issue], changes: Mapping[str, Any]) -> list[Issue]:
    """What is wrong with raw tables after changes that was not wrong before."""
    copy = {name: deepcopy(table) for name, table in raw.items() if name not in ("arms", "sweep")}
    found = [put(copy, name.split("."), value) for name, value in changes.items()]
    blocked = [issue for issue in found if issue]
    return blocked or [issue for issue in structure(copy) if issue not in base]


def sweep(raw: Mapping[str, Any], base: Sequence[Issue], cells: bool = True) -> list[Issue]:
    """Problems of a sweep and, if `cells`, of its cells (all up to 256, beyond that one key changed at a time)."""
    table = raw.get("sweep")
    if not isinstance(table, Mapping):
        return []
    issues, lists = [], {}
    for key, values in table.items():
        if isinstance(values, bool) != (key == fields.INDEPENDENT):
            rule = "must be true or false" if key == fields.INDEPENDENT else "must be a list"
            remedy = (
                "give true or false" if key == fields.INDEPENDENT else "give a list of values, such as [0.01, 0.005]"
            )
            if isinstance(values, (bool, list, tuple)):
                issues.append(Issue("sweep", f"sweep.{key} {rule}, got {show(values)}; {remedy}"))
        elif key.partition(".")[0] in ("sweep", "arms"):
            issues.append(Issue("sweep", f"sweep cannot vary {key}, got {show(values)}; vary keys of the spec itself"))
        elif isinstance(values, (list, tuple)) and values:
            lists[key] = values
    if not cells:
        return issues
    size = 1
    for values in lists.values():
        size *= len(values)
    if size <= LARGEST_GRID:
        grid = [dict(zip(lists, cell, strict=True)) for cell in itertools.product(*lists.values())]
    else:
        first = {key: values[0] for key, values in lists.items()}
        grid = [first | {key: value} for key, values in lists.items() for value in values]
    lines = dict.fromkeys(issue.line for cell in grid for issue in _changed(raw, base, cell))
    return issues + [Issue("sweep", f"sweep: {line}") for line in lines]

"""A stand-in for a broken spec, so that its files can be checked although other tables have problems."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from fastsgd.spec import sections
from fastsgd.spec.files import Files
from fastsgd.spec.messages import Issue
from fastsgd.spec.model import Spec
from fastsgd.spec.structure import fill_dimension

HARMLESS: dict[str, Any] = {
    "replicates": 1,
    "sampling": {"batch": 1},
    "step": {"size": 1e-9},
    "start": {},
    "record": {"steps": [1]},
}
PARTS: dict[str, Any] = {"hessian": {"spectrum": "logspace", "low": 1.0, "high": 1.0}, "noise": {"kind": "isotropic"}}


def repair(raw: dict[str, Any], issues: Sequence[Issue], files: Files) -> Spec | None:
    """The spec with a harmless value for each broken key, None if too little of the problem is left to check."""
    copy = deepcopy(raw)
    broken = {issue.key.replace("[", ".").split(".")[0] for issue in issues}
    for name in broken - {"problem"}:
        copy.pop(name, None)
        if name in HARMLESS:
            copy[name] = deepcopy(HARMLESS[name])
    copy.setdefault("name", "run")
    if "problem" in broken:
        keys = [issue.key.replace("[", ".").split(".") for issue in issues]
        parts = {key[1] if len(key) > 1 else "" for key in keys if key[0] == "problem"}
        if not isinstance(copy.get("problem"), dict) or parts & {"", "data"}:
            return None
        _problem(copy, parts)
        copy = fill_dimension(copy, files)
        if copy["problem"]["kind"] not in ("glm", "queue", "portfolio"):
            copy["problem"].setdefault("dimension", 1)
    try:
        return Spec.build(copy, files)
    except ValidationError:
        return None


def _problem(copy: dict[str, Any], parts: set[str]) -> None:
    problem = copy["problem"]
    for part in parts:
        problem.pop(part, None)
        if part in PARTS:
            problem[part] = deepcopy(PARTS[part])
    if (kind := sections.guess_problem(problem)[1:-1]) != "own":
        problem["kind"] = kind
    if "family" in parts:
        problem["family"] = "linear"
    if "dimension" in parts:
        copy["start"] = {}

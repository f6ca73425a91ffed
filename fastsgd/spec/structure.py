"""Whether raw tables have the structure of a spec: types and ranges (pydantic) and rules between keys."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fastsgd.errors import InputError
from fastsgd.spec import fields, messages, pooled_rules, rules, sections, simulated_rules
from fastsgd.spec.files import Files
from fastsgd.spec.messages import Issue
from fastsgd.spec.model import Spec

ORDER = tuple(Spec.model_fields)
SWITCH = f"sweep.{fields.INDEPENDENT}"


def structure(raw: Mapping[str, Any]) -> list[Issue]:
    """Every problem of raw tables that can be told without opening a file."""
    issues: list[Issue] = []
    try:
        Spec.model_validate(raw)
    except ValidationError as error:
        # pydantic calls a list too short as well when it has bad items only.
        errors = [e for e in error.errors(include_url=False) if not (e["type"] == "too_short" and e["input"])]
        issues = [messages.explain(one, Spec) for one in errors]
    issues = [_switch(raw) if issue.key == SWITCH else issue for issue in issues]
    return messages.tidy([*issues, *rules.check(raw), *simulated_rules.check(raw), *pooled_rules.check(raw)], ORDER)


def _switch(raw: Mapping[str, Any]) -> Issue:
    """The sweep's one key that has no list of values."""
    given = messages.show(rules.table(raw, "sweep").get(fields.INDEPENDENT))
    return Issue(SWITCH, f"{SWITCH} must be true or false, got {given}; give true or false")


def fill_dimension(raw: dict[str, Any], files: Files) -> dict[str, Any]:
    """With problem.dimension from eigenvalues or a file when a quadratic or ou leaves it out and they can be read."""
    problem = raw.get("problem")
    linear = isinstance(problem, Mapping) and sections.guess_problem(problem) in ("<quadratic>", "<ou>")
    if not linear or not isinstance(problem, Mapping) or "dimension" in problem:
        return raw
    for name in ("hessian", "noise", "metric"):
        found = _dimension(rules.table(problem, name), files)
        if found:
            return raw | {"problem": {**problem, "dimension": found}}
    return raw


def _dimension(matrix: Mapping[str, Any], files: Files) -> int | None:
    if length := rules.size(matrix, "eigenvalues"):
        return length
    if isinstance(file := matrix.get("file"), str):
        try:
            return next(iter(files.array(file).shape), None)
        except InputError:
            return None
    return None

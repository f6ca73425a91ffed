"""What is optimised. One file a kind of problem, found by its name: `quadratic`, `ou`, `glm`, `newsvendor`, `queue`,
`portfolio`. `own` is a user's problem, `population` a glm of fresh generated data.

A kind is a module with `build(spec) -> Problem`, and `check(spec) -> (lines, d, n)`: what its matrices or data have
wrong, the dimension if it can be told, and the size of the pool if there is one. A problem is made of the tables `problem` and
`sampling` (less the batch) of a spec, or of what its module's BUILT_FROM names beside them.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING

from fastsgd.problems.base import Arm, Problem, Stepper
from fastsgd.spec.sampling import FRESH

if TYPE_CHECKING:
    from fastsgd.spec import Spec

__all__ = ["Arm", "Problem", "Stepper", "build", "check", "module"]


def module(spec: Spec) -> str:
    """The name of the module of a spec's kind of problem."""
    if spec.problem.kind == "glm" and spec.sampling.design in FRESH:
        return "population"
    return "own" if ":" in spec.problem.kind else spec.problem.kind


# A spec is checked before it is run, and its arms share their problem; the last is kept.
_last: list[tuple[str, Problem]] = []


def build(spec: Spec) -> Problem:
    """The problem of a spec of one arm, resolved to arrays."""
    name = module(spec)
    found = import_module(f"fastsgd.problems.{name}")
    if name == "own":  # it keeps what it has found by itself, as long as the code is at hand
        own: Problem = found.build(spec)
        return own
    form = spec.canonical()
    used = {part: form[part] for part in getattr(found, "BUILT_FROM", ("problem",))}
    used["sampling"] = {key: value for key, value in form["sampling"].items() if key != "batch"}
    key = f"{name} {json.dumps(used, sort_keys=True)}"
    if not _last or _last[0][0] != key:
        _last[:] = [(key, found.build(spec))]
    return _last[0][1]


def check(spec: Spec) -> list[str]:
    """Problems of a well-formed spec that only its files, data and sizes reveal: one line each."""
    from fastsgd.problems.checks import check as check_all

    return check_all(spec)

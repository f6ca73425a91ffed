"""Finds the entries: every module of this folder that has an ENTRY, in the order of the catalogue."""

from __future__ import annotations

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from fastsgd.errors import InputError
from fastsgd.experiments.base import Entry

ORDER = (
    "identification",
    "conditioning",
    "ou-batch",
    "ou-angle",
    "ou-rotation",
    "plateau",
    "rate",
    "directions",
    "collapse",
    "inflation",
    "fluid",
    "stability",
    "bounds",
    "oracle",
    "reduction",
    "planning",
    "reuse",
)


@cache
def entries() -> tuple[Entry, ...]:
    """All entries: in the order of the paper, then any others by name."""
    found = []
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        made = getattr(importlib.import_module(f"fastsgd.experiments.{module.name}"), "ENTRY", None)
        if isinstance(made, Entry):
            found.append(made)
    return tuple(sorted(found, key=lambda e: (ORDER.index(e.name) if e.name in ORDER else len(ORDER), e.name)))


def names() -> list[str]:
    """Names of all entries."""
    return [entry.name for entry in entries()]


def entry(name: str) -> Entry:
    """The entry of a name; InputError with the nearest one."""
    for found in entries():
        if found.name == name:
            return found
    near = get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names())}"
    raise InputError(f"no experiment is called {name!r}; {hint}")

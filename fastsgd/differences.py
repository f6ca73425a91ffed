"""What differs between two specs, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys of nested tables, each with its value."""
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


# What a spec is without a key that it does not name, because runs from before there was the key are the same runs.
DEFAULTS = {"problem.normal_precision": "double"}


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, value in one, value in the other), sorted by key; None where a table lacks the key."""
    mine, theirs = flat(one), flat(other)
    keys = sorted(mine.keys() | theirs.keys())
    found = [(key, mine.get(key, DEFAULTS.get(key)), theirs.get(key, DEFAULTS.get(key))) for key in keys]
    return [(key, a, b) for key, a, b in found if a != b]

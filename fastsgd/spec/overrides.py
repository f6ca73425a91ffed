"""Changing keys of a spec by dotted name: `--set a.b=c`, arms and sweeps."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from fastsgd.spec.messages import BARE, Issue, show


def split_key(key: str) -> list[str] | None:
    """The parts of a dotted TOML key, `a."b.c"` -> [a, b.c]; None if it is not a key."""
    if "\n" in key or "=" in key.split('"')[0]:
        return None
    try:
        node: Any = tomllib.loads(f"{key} = 0")
    except (ValueError, RecursionError):
        return None
    parts = []
    while isinstance(node, dict):
        if len(node) != 1:
            return None
        part, node = next(iter(node.items()))
        parts.append(part)
    return parts if node == 0 else None


def join_key(parts: Iterable[str]) -> str:
    """A dotted TOML key; parts that are not bare words are quoted."""
    return ".".join(part if BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in parts)


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself if it is none (a bare word)."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def parse(override: str) -> tuple[list[str], Any] | Issue:
    """`a.b=c` as key parts and value, or what is wrong with it."""
    key, equals, value = override.partition("=")
    if key.count('"') % 2:
        # A quoted part may hold an equals sign: the key ends at the first one outside quotes.
        match = re.match(r'((?:[^"=]|"[^"]*")*)=(.*)', override, re.S)
        key, equals, value = (match[1], "=", match[2]) if match else (override, "", "")
    key, value = key.strip(), value.strip()
    parts = split_key(key)
    if not equals:
        return Issue(key, f"{show(override)} is not an override; write KEY=VALUE, such as step.size=0.01")
    if parts is None:
        return Issue(key, f"{show(key)} is not a dotted key; write KEY=VALUE, such as step.size=0.01")
    if not value:
        return Issue(
            join_key(parts), f"{join_key(parts)} must have a value, got nothing; write {join_key(parts)}=VALUE"
        )
    return parts, parse_value(value)


def put(raw: dict[str, Any], parts: list[str], value: Any) -> Issue | None:
    """Sets one key in place, making missing tables; says so if a key on the way is no table."""
    node = raw
    for depth, part in enumerate(parts[:-1], 1):
        below = node.setdefault(part, {})
        if not isinstance(below, dict):
            above, key = join_key(parts[:depth]), join_key(parts)
            rule = f"{key} cannot be set, got {above} = {show(below)}, which is no table"
            return Issue(key, f"{rule}; set {above} to a table, such as {above}='{{ {parts[depth]} = ... }}'")
        node = below
    node[parts[-1]] = deepcopy(value)
    return None


def apply(raw: Mapping[str, Any], overrides: Iterable[str]) -> tuple[dict[str, Any], list[Issue]]:
    """A copy of a raw spec with `a.b=c` overrides in order, and what is wrong with them."""
    changed, issues = deepcopy(dict(raw)), []
    if isinstance(overrides, str):
        overrides = [overrides]
    for override in overrides:
        parsed = parse(override)
        issue = parsed if isinstance(parsed, Issue) else put(changed, *parsed)
        if issue:
            issues.append(issue)
    return changed, issues


def flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys of an arm or a sweep. Nested tables (`step.size = 1` unquoted) are walked to their leaves; a quoted
    dotted key keeps its value, so `"problem.noise" = { file = "G.npy" }` replaces a whole table."""
    return dict(_leaves(table, ()))


def _leaves(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value and "." not in key:
            yield from _leaves(value, (*above, key))
        else:
            yield ".".join((*above, key)), value

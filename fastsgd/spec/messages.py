"""What is wrong with a spec, in one-line sentences: `key rule, got value; remedy`. No text of pydantic gets through."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import BaseModel

from fastsgd.spec import schema, sections

BARE = re.compile(r"[A-Za-z0-9_-]+")
HINTS = {
    "record.log": "record.steps",
    "record.last": "record.steps",
    "batch": "sampling.batch",
    "step_size": "step.size",
}
TYPES = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "finite_number": "must be finite",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must have no line breaks or control characters",
}
QUOTED = ("float_type", "int_type", "bool_type", "tuple_type", "list_type", "model_type")
LIMITS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}


class Issue(NamedTuple):
    """One problem: the dotted key it is about, its line, and the key that was probably meant by a misspelt one."""

    key: str
    line: str
    meant: str = ""


def show(value: Any, longest: int = 60) -> str:
    """A value as TOML would write it, cut to `longest` characters."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = json.dumps(value[: longest + 1], ensure_ascii=False)
    elif isinstance(value, int):
        text = repr(value) if value.bit_length() < 256 else f"an integer of {value.bit_length()} bits"
    elif isinstance(value, Mapping):
        inner = ", ".join(f"{name} = {_inner(below)}" for name, below in list(value.items())[:6])
        text = f"{{ {inner} }}" if inner else "{}"
    elif isinstance(value, (list, tuple)):
        inner = ", ".join(_inner(below) for below in value[:8])
        text = f"[{inner}{', ...' if len(value) > 8 else ''}]"
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ ... }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[...]" if value else "[]"
    return show(value, 24)


def dotted(parts: Iterable[str | int]) -> str:
    """`("record", "<list>", "steps", 3)` -> `record.steps[3]`; tags of alternatives are left out."""
    text = ""
    for part in parts:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not (part.startswith("<") and part.endswith(">")):
            name = part if BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            text += f".{name}" if text else name
    return text


def choices(values: Sequence[str]) -> str:
    quoted = [f'"{value}"' for value in values]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def nearest(word: str, words: Sequence[str]) -> str | None:
    """The nearest of some words, also in case or with - for _."""
    plain = {other.lower().replace("-", "_"): other for other in words}
    near = get_close_matches(word.lower().replace("-", "_"), list(plain), 1, 0.6)
    return plain[near[0]] if near else None


def explain(error: Mapping[str, Any], root: type[BaseModel]) -> Issue:
    """One pydantic error in our words."""
    kind, loc, value = error["type"], error["loc"], error["input"]
    key = dotted(loc)
    if kind == "extra_forbidden":
        return unknown_key(loc, value, root)
    about, allowed = schema.about_place(loc, root), sections.CHOICES.get(key) or schema.words_at(loc, root)
    remedy = f"give {about}" if about else "remove it"
    if kind == "missing":
        return Issue(key, f"{key} is required, got nothing; {f'choose {choices(allowed)}' if allowed else remedy}")
    if kind == "literal_error":
        near = nearest(value, allowed) if isinstance(value, str) else None
        remedy = f'did you mean "{near}"?' if near else "choose one of these" if len(allowed) > 1 else "or leave it out"
        return Issue(key, f"{key} must be {choices(allowed)}, got {show(value)}; {remedy}")
    if kind in LIMITS:
        name, sign = LIMITS[kind]
        limit = error["ctx"][name]
        limit = int(limit) if limit == int(limit) else limit
        return Issue(key, f"{key} must be {sign} {limit}, got {show(value)}; {remedy}")
    rule = TYPES.get(kind, "is not valid")
    note = " (a text)" if isinstance(value, str) and kind in QUOTED else ""
    return Issue(key, f"{key} {rule}, got {show(value)}{note}; {remedy}")


def unknown_key(loc: Sequence[str | int], value: Any, root: type[BaseModel]) -> Issue:
    """Names the nearest valid key: in the table, then in other alternatives of the table, then anywhere."""
    key, above, last = dotted(loc), dotted(loc[:-1]), str(loc[-1])
    model = schema.table_at(loc[:-1], root)
    siblings = list(model.model_fields) if model else []
    near = nearest(last, siblings)
    prefix = f"{above}." if above else ""
    where = f" of {above}" if above else " of a spec"
    if other := schema.alternative(loc, last, root):
        return Issue(key, f"{key} is only for {other}, got {show(value)}; remove it or change that")
    if key in HINTS:
        meant = HINTS[key]
    elif near:
        meant = prefix + near
    else:
        leaves = [name for name in schema.all_keys(root) if name.rpartition(".")[2] == last]
        alike = [name for name in leaves if name.count(".") == key.count(".")] or leaves
        meant = next(iter(get_close_matches(key, alike, 1, 0.0)), "")
    remedy = f"did you mean {meant}?" if meant else f"its keys are {', '.join(siblings)}"
    return Issue(key, f"{key} is not a key{where}, got {show(value)}; {remedy}", meant)


def tidy(issues: Iterable[Issue], order: Sequence[str]) -> list[Issue]:
    """Drops repetitions and follow-ups: a required key that was only misspelt, all but the first bad item of a list."""
    listed = list(dict.fromkeys(issues))
    meant = {issue.meant for issue in listed if issue.meant}
    heads: dict[str, int] = {}
    kept = []
    for issue in listed:
        head = issue.key.partition("[")[0] if issue.key.endswith("]") else ""
        if head:
            heads[head] = heads.get(head, 0) + 1
        if (head and heads[head] > 1) or (issue.key in meant and issue.line.startswith(f"{issue.key} is required")):
            continue
        kept.append(issue)
    rank = {name: place for place, name in enumerate(order)}
    return sorted(kept, key=lambda issue: rank.get(re.split(r"[.\[:]", issue.key)[0], len(rank)))

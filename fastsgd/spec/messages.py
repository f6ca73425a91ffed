"""What is wrong with a spec, in one-line sentences: `key rule, got value; remedy`. No text of pydantic gets through."""

import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fastsgd.spec import sections

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
    field = _field(loc, root)
    about = (field.description or _about(field.annotation)) if field else None
    remedy = f"give {about}" if about else "remove it"
    if kind == "missing":
        allowed = sections.CHOICES.get(key) or _literals(field)
        remedy = f"choose {choices(allowed)}" if allowed else remedy
        return Issue(key, f"{key} is required, got nothing; {remedy}")
    if kind == "literal_error":
        allowed = sections.CHOICES.get(key) or _literals(field) or re.findall(r"'([^']*)'", error["ctx"]["expected"])
        near = nearest(value, allowed) if isinstance(value, str) else None
        remedy = (
            f'did you mean "{near}"?'
            if near
            else "choose one of these"
            if len(allowed) > 1
            else "use this or no such key"
        )
        return Issue(key, f"{key} must be {choices(allowed)}, got {show(value)}; {remedy}")
    if kind in LIMITS:
        name, sign = LIMITS[kind]
        return Issue(key, f"{key} must be {sign} {error['ctx'][name]:.20g}, got {show(value)}; {remedy}")
    if kind in TYPES:
        quoted = isinstance(value, str) and kind in ("float_type", "int_type", "bool_type", "tuple_type", "model_type")
        note = " (a text)" if quoted else ""
        return Issue(key, f"{key} {TYPES[kind]}, got {show(value)}{note}; {remedy}")
    return Issue(key, f"{key} is not valid, got {show(value)}; {remedy}")


def unknown_key(loc: Sequence[str | int], value: Any, root: type[BaseModel]) -> Issue:
    """Names the nearest valid key: in the table, then in other alternatives of the table, then anywhere."""
    key, above, last = dotted(loc), dotted(loc[:-1]), str(loc[-1])
    model = _model(loc[:-1], root)
    siblings = list(model.model_fields) if model else []
    near = nearest(last, siblings)
    prefix = f"{above}." if above else ""
    where = f" of {above}" if above else " of a spec"
    if other := _belongs(loc, last, root):
        return Issue(key, f"{key} is only for {other}, got {show(value)}; remove it or change that")
    if key in HINTS:
        meant = HINTS[key]
    elif near:
        meant = prefix + near
    else:
        leaves = [name for name in all_keys(root) if name.rpartition(".")[2] == last]
        meant = leaves[0] if leaves else ""
    remedy = f"did you mean {meant}?" if meant else f"its keys are {', '.join(siblings)}"
    return Issue(key, f"{key} is not a key{where}, got {show(value)}; {remedy}", meant)


def _belongs(loc: Sequence[str | int], last: str, root: type[BaseModel]) -> str | None:
    """`step.schedule = "power"` when the key is one of another alternative of its table."""
    switch = {"problem": "kind", "step": "schedule", "start": "kind"}.get(str(loc[0]))
    if len(loc) != 3 or switch is None:
        return None
    for tag, model in _tagged(root.model_fields[str(loc[0])].annotation):
        if last in model.model_fields:
            return f'{loc[0]}.{switch} = "{tag[1:-1]}"'
    return None


def _tagged(union: Any) -> Iterator[tuple[str, Any]]:
    """(tag, type) of the alternatives of a tagged union."""
    for option in get_args(union):
        if get_origin(option) is Annotated:
            for note in option.__metadata__:
                if tag := getattr(note, "tag", None):
                    yield tag, get_args(option)[0]


def _about(annotation: Any) -> str | None:
    """The first description inside an annotation."""
    if get_origin(annotation) is Annotated:
        for note in annotation.__metadata__:
            if text := getattr(note, "description", None):
                return str(text)
    for inner in get_args(annotation):
        if text := _about(inner):
            return text
    return None


def _inside(annotation: Any) -> list[Any]:
    """All types an annotation may stand for, wrappers taken off."""
    if get_origin(annotation) is Annotated:
        return _inside(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for option in get_args(annotation) for inner in _inside(option)]
    return [annotation]


def _step(model: type[BaseModel] | None, part: str, tag: str | None) -> type[BaseModel] | None:
    field = model.model_fields.get(part) if model else None
    if field is None:
        return None
    for option, inner in _tagged(field.annotation):
        if option == tag:
            return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    models = [t for t in _inside(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)]
    return models[0] if models else None


def _model(loc: Sequence[str | int], root: type[BaseModel]) -> type[BaseModel] | None:
    """The table class at a place, following tags of alternatives."""
    model: type[BaseModel] | None = root
    for index, part in enumerate(loc):
        if isinstance(part, str) and not part.startswith("<"):
            after = loc[index + 1] if index + 1 < len(loc) else None
            model = _step(model, part, after if isinstance(after, str) else None)
    return model


def _field(loc: Sequence[str | int], root: type[BaseModel]) -> FieldInfo | None:
    names = [index for index, part in enumerate(loc) if isinstance(part, str) and not part.startswith("<")]
    if not names:
        return None
    model = _model(loc[: names[-1]], root)
    return model.model_fields.get(str(loc[names[-1]])) if model else None


def _literals(field: FieldInfo | None) -> list[str]:
    found = _inside(field.annotation) if field is not None else []
    return [str(value) for option in found if get_origin(option) is Literal for value in get_args(option)]


def all_keys(model: type[BaseModel], above: str = "") -> list[str]:
    """Every dotted key of a model, its tables and their alternatives."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(above + name)
        for inner in _inside(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys += [key for key in all_keys(inner, f"{above}{name}.") if key not in keys]
    return keys


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

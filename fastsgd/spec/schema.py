"""Looking things up in the tables of a spec: the class at a place, its fields, the words a key may be, all keys.

A place is the `loc` of a pydantic error: names, positions in lists, and `<tag>` after a name that has alternatives.
"""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Place = Sequence[str | int]
_OWN = {"<own>": "file.py:name"}


def alternative(loc: Place, last: str, root: type[BaseModel]) -> str | None:
    """`step.schedule = "power"` when the key is one of another alternative, or of several, of its table."""
    switch = {"problem": "kind", "step": "schedule", "start": "kind"}.get(str(loc[0]))
    if len(loc) != 3 or switch is None:
        return None
    options = _tagged(root.model_fields[str(loc[0])].annotation)
    words = [f'"{_OWN.get(tag, tag[1:-1])}"' for tag, model in options if last in model.model_fields]
    return f"{loc[0]}.{switch} = {' or '.join(words)}" if words else None


def _tagged(union: Any) -> Iterator[tuple[str, Any]]:
    """(tag, type) of the alternatives of a tagged union."""
    for option in get_args(union):
        if get_origin(option) is Annotated:
            for note in option.__metadata__:
                if tag := getattr(note, "tag", None):
                    yield tag, get_args(option)[0]


def about(annotation: Any) -> str | None:
    """The first description inside an annotation."""
    if get_origin(annotation) is Annotated:
        for note in annotation.__metadata__:
            if text := getattr(note, "description", None):
                return str(text)
    for inner in get_args(annotation):
        if text := about(inner):
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


def table_at(loc: Place, root: type[BaseModel]) -> type[BaseModel] | None:
    """The table class at a place, following tags of alternatives."""
    model: type[BaseModel] | None = root
    for index, part in enumerate(loc):
        if isinstance(part, str) and not part.startswith("<"):
            after = loc[index + 1] if index + 1 < len(loc) else None
            model = _step(model, part, after if isinstance(after, str) else None)
    return model


def field_at(loc: Place, root: type[BaseModel]) -> FieldInfo | None:
    """The field at a place; of a list's item, the field of the list."""
    names = [index for index, part in enumerate(loc) if isinstance(part, str) and not part.startswith("<")]
    if not names:
        return None
    model = table_at(loc[: names[-1]], root)
    return model.model_fields.get(str(loc[names[-1]])) if model else None


def about_place(loc: Place, root: type[BaseModel]) -> str | None:
    """What to give at a place: the description of its field, or that of the items of a list or a table of tables."""
    field = field_at(loc, root)
    if field is None:
        above = root.model_fields.get(str(loc[0])) if len(loc) > 1 else None
        return (about(above.annotation) or above.description) if above else None
    if isinstance(loc[-1], int):
        items = [get_args(inner)[0] for inner in _inside(field.annotation) if get_origin(inner) is tuple]
        return (about(items[0]) if items else None) or "a finite number"
    return field.description or about(field.annotation)


def words_at(loc: Place, root: type[BaseModel]) -> list[str]:
    """The words that the value at a place may be, empty if it is no choice of words."""
    field = field_at(loc, root)
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

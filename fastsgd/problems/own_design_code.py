"""Where a user's own design comes from: a Python file, an object of this process, or an installed package."""

from __future__ import annotations

import hashlib
import inspect
from contextlib import suppress
from dataclasses import dataclass, fields
from types import FunctionType
from typing import TYPE_CHECKING, Any

from fastsgd import installed
from fastsgd.designs import OWN, OwnDesign, names
from fastsgd.errors import InputError
from fastsgd.problems.own_code import file_of, fingerprint, hash_of, imported, plain

if TYPE_CHECKING:
    from fastsgd.spec import Spec


@dataclass(frozen=True)
class DesignCode:
    """A user's design. `key` tells its draw function from others; `file`: where it stands, for messages."""

    design: OwnDesign
    key: str
    file: str | None


# By the hash that stands for their code in a spec, as objects of `own_code`.
_objects: dict[str, OwnDesign] = {}


def named(thing: Any) -> Any:
    """The `sampling.design` that stands for an object or for an installed design; anything else as it is. Raises InputError."""
    if not isinstance(thing, str):
        return registered(thing) if _is_own(thing) else thing
    if thing in names() or OWN.fullmatch(thing):
        return thing
    found = installed.offered("design", thing)
    return registered(found) if _is_own(found) else thing


def registered(thing: Any) -> str:
    """The name that stands for an `OwnDesign`, or for a draw function alone."""
    design, digest = _design(thing), hashlib.sha256()
    for field in fields(design):
        value = getattr(design, field.name)
        if value is not None and value is not False:
            digest.update(field.name.encode() + b"\0")
            fingerprint(value, digest, set())
    sha = digest.hexdigest()
    _objects[sha] = design
    return f"sha256:{sha}.py:{getattr(plain(design.draw), '__name__', 'draw')}"


def at_hand(spec: Spec) -> bool:
    """Whether the code of a spec's design can be had, without looking at a file."""
    from fastsgd.spec.files import STORED

    file = _parts(spec)[0]
    if not file.startswith(STORED) or hash_of(file) in _objects or spec.path(file).is_file():
        return True
    for name in installed.names("design"):
        with suppress(InputError):  # what is broken is not this one
            named(name)
    return hash_of(file) in _objects


def code_of(spec: Spec) -> DesignCode:
    """The code of a checked spec. Raises InputError."""

    file, name = _parts(spec)
    sha = hash_of(file)
    if sha in _objects:
        design = _objects[sha]
        where = file_of(design.draw)
        return DesignCode(design, sha, where)
    text, path = spec.source(file), spec.path(file).resolve()
    module = imported(text, path)
    found = getattr(module, name, None)
    if not _is_own(found):
        theirs = {
            key: value for key, value in vars(module).items() if _is_own(value) and type(value) is not FunctionType
        }
        listed = sorted(key for key, value in theirs.items() if _outside(value))
        there = ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "") or "none"
        what = f"no function or OwnDesign {name}" if found is None else f"{name}, which is a {type(found).__name__}"
        raise InputError(f"the file has {what}; its compiled functions and OwnDesigns are: {there}")
    drawn = plain(_design(found).draw)
    if inspect.iscoroutinefunction(drawn) or inspect.isgeneratorfunction(drawn):
        raise InputError(f"{name} must draw by an ordinary function; define it with def, without async and yield")
    return DesignCode(_design(found), f"{module.__name__} {name}", str(path))


def _parts(spec: Spec) -> tuple[str, str]:
    found = OWN.fullmatch(spec.sampling.design)
    assert found is not None
    return found[1], found[2]


def _is_own(thing: Any) -> bool:
    return isinstance(thing, OwnDesign) or hasattr(thing, "py_func") or type(thing) is FunctionType


def _outside(thing: Any) -> bool:
    """Whether it is not a function of fastsgd that a file has imported."""
    return not (getattr(plain(thing), "__module__", None) or "").startswith("fastsgd.") or isinstance(thing, OwnDesign)


def _design(thing: Any) -> OwnDesign:
    return thing if isinstance(thing, OwnDesign) else OwnDesign(thing)

"""Where the functions of a user's own problem come from: a Python file, or an object of this process.

What tells one problem from another is the text of its file; of an object, the source of its functions (their byte code
where there is none) with the values of the globals they refer to.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastsgd import installed
from fastsgd.errors import InputError

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Own

Function = Callable[..., Any]


@dataclass(frozen=True)
class Code:
    """A user's functions. `key` tells them from others; `file`: where they stand, for messages."""

    gradient: Function
    loss: Function | None
    hessian: Function | None
    key: str
    file: str | None


# Objects by the hash that stands for their code in a spec. A spec is made of plain values, so it cannot hold them.
_objects: dict[str, Any] = {}


def registered(thing: Any) -> str:
    """The `problem.kind` that stands for an object: an `OwnProblem`, or a gradient alone."""
    functions = {name: getattr(thing, name, None) for name in ("gradient", "loss", "hessian")}
    if functions["gradient"] is None:
        functions = {"gradient": thing, "loss": None, "hessian": None}
    digest = hashlib.sha256()
    for name, function in functions.items():
        if function is not None:
            digest.update(name.encode() + b"\0")
            fingerprint(function, digest, set())
    sha = digest.hexdigest()
    _objects[sha] = functions
    return f"sha256:{sha}.py:{getattr(plain(functions['gradient']), '__name__', 'gradient')}"


def entry_point(name: str) -> str | None:
    """The `problem.kind` of an installed problem, None if there is none of that name. Raises InputError."""
    thing = installed.offered("problem", name)
    return None if thing is None else registered(thing)


def at_hand(spec: Spec) -> bool:
    """Whether the code of a spec can be had, without looking at a file."""
    from fastsgd.spec.files import STORED
    from fastsgd.spec.identity import own_file

    name = own_file(spec)
    if not name.startswith(STORED) or hash_of(name) in _objects or spec.path(name).is_file():
        return True
    for other in installed.names("problem"):
        with suppress(InputError):  # what is broken is not this one
            entry_point(other)
    return hash_of(name) in _objects


def hash_of(name: str) -> str:
    return name.removeprefix("sha256:").removesuffix(".py")


def code_of(spec: Spec) -> Code:
    """The functions of a checked spec. Raises InputError."""
    from fastsgd.spec.identity import own_file

    section = cast("Own", spec.problem)
    file, name = own_file(spec), section.kind.rpartition(":")[2]
    sha = hash_of(file)
    if sha in _objects:
        found = _objects[sha]
        where = file_of(found["gradient"])
        for key in ("loss", "hessian"):
            wanted = getattr(section, key)
            if wanted is not None:
                raise InputError(f"problem.{key} = {wanted!r} is for a file; give the function to OwnProblem")
        return Code(found["gradient"], found["loss"], found["hessian"], sha, where)
    text, path = spec.source(), spec.path(file).resolve()
    module = imported(text, path)
    functions = [None if n is None else _function(module, n) for n in (name, section.loss, section.hessian)]
    key = f"{module.__name__} {name} {section.loss} {section.hessian}"
    gradient = functions[0]
    assert gradient is not None
    return Code(gradient, functions[1], functions[2], key, str(path))


def _function(module: ModuleType, name: str) -> Any:
    found = getattr(module, name, None)
    if found is None or not callable(found):
        there = ", ".join(sorted(key for key, value in vars(module).items() if hasattr(value, "py_func"))) or "none"
        raise InputError(f"the file has no function {name}; its compiled functions are: {there}")
    if not isinstance(plain(found), FunctionType):
        raise InputError(f"{name} must be a function, got {type(found).__name__}; define it with def")
    if inspect.iscoroutinefunction(plain(found)) or inspect.isgeneratorfunction(plain(found)):
        raise InputError(f"{name} must be an ordinary function; define it with def, without async and yield")
    return found


class _Text(SourceFileLoader):
    """Makes a module of a text that was read, which the file may not hold any more; writes nothing beside it."""

    def __init__(self, name: str, path: str, text: bytes):
        super().__init__(name, path)
        self.text = text

    def get_data(self, path: str) -> bytes:
        return self.text

    def path_stats(self, path: str) -> Any:
        raise OSError  # as old as nothing: byte code on disk is neither used nor written


def imported(text: bytes, path: Path) -> ModuleType:
    """The user's module. Its name tells its text, which is its identity: compiled code on disk refers to the name."""
    from fastsgd.spec.identity import sha256

    name = f"fastsgd_own_{sha256(text)[:24]}"
    if name not in sys.modules:
        found = importlib.util.spec_from_file_location(name, path, loader=_Text(name, str(path), text))
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a script that ends itself ends the import, not us
            del sys.modules[name]
            reason = " ".join(str(error).split())
            place = place_in(error, str(path))
            raise InputError(f"importing it fails with {type(error).__name__}: {reason}{place}") from None
    return sys.modules[name]


def place_in(error: BaseException, file: str | None) -> str:
    """` in line N` of the user's file where an error arose, or nothing."""
    if isinstance(error, SyntaxError):
        return ""  # it says so itself
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f" in line {line}"


def plain(function: Any) -> Any:
    return getattr(function, "py_func", function)


def file_of(function: Any, other: str | None = None) -> str | None:
    """The file that a function, compiled or not, was written in; `other` of what is no Python function."""
    found: str | None = getattr(getattr(plain(function), "__code__", None), "co_filename", other)
    return found


def fingerprint(value: Any, digest: Any, seen: set[int]) -> None:
    """Add to a hash what a function does, as far as its code and the globals that it refers to say."""
    from fastsgd.kernels.own_source import lines_of

    value = plain(value)
    if isinstance(value, FunctionType):
        if id(value) in seen:
            return
        seen.add(id(value))
        if (value.__module__ or "").startswith("fastsgd."):
            digest.update(f"{value.__module__}.{value.__name__}\0".encode())  # what it does, STREAM_VERSION tells
            return
        lines = lines_of(value)
        if lines is None:
            _code(value.__code__, digest)
        else:
            digest.update("".join(lines).encode())
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        outer = value.__globals__ | {name: cell.cell_contents for name, cell in cells}
        for name in sorted(_names(value.__code__)):
            if name in outer:
                digest.update(name.encode() + b"=")
                fingerprint(outer[name], digest, seen)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, tuple | list):
        for item in value:
            fingerprint(item, digest, seen)
    elif isinstance(value, ModuleType | type) or callable(value):
        digest.update(getattr(value, "__name__", type(value).__name__).encode())
    else:
        digest.update(repr(value).encode())
    digest.update(b"\0")


def names(function: Any) -> set[str]:
    """What a function's code refers to by name."""
    return _names(plain(function).__code__)


def _names(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*(_names(c) for c in inner))


def _code(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _code(constant, digest)
        else:
            digest.update(repr(constant).encode())
    digest.update(repr((code.co_names, code.co_varnames)).encode())

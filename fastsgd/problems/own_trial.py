"""A user's functions tried as plain Python on a few samples: writing out of bounds, typing errors and the like.

Compiled code looks for none of that; Python says the line.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from fastsgd.problems.base import Array
from fastsgd.problems.own_code import Code, file_of, place_in
from fastsgd.problems.patience import TooLong, patiently

_SAMPLES, _SECONDS = 64, 0.3
_PATIENCE = 5.0  # seconds for a sample; what takes longer is left to compiled code
_SURELY = ("read-only", "broadcast", "mismatch", "not aligned", "reshape")  # of arrays of shapes that do not fit


class Sample(NamedTuple):
    """As `kernels.stream.Stream`."""

    normals: Array
    uniforms: Array
    exponentials: Array


class Fault(NamedTuple):
    """What went wrong; `sure`: also in compiled code, which otherwise may do where Python does not."""

    line: str
    sure: bool


class Slow(NamedTuple):
    """Which function had not ended in time, and at what place it was."""

    name: str
    place: str


def trial(code: Code, theta: Array, params: Array, samples: Array | None, counts: np.ndarray) -> Fault | Slow | None:
    """The first fault of gradient, loss and Hessian at theta, None if there is none; not for longer than some seconds."""
    import fastsgd.kernels.own
    import fastsgd.kernels.own_rewrite  # noqa: F401  not in a thread that may be stopped

    under: list[str] = []
    file = file_of(code.gradient)
    try:
        return patiently(lambda: _tried(code, theta, params, samples, counts, under), _PATIENCE, file)
    except TooLong as late:
        at = "" if late.line is None or file is None else f" in line {late.line} of {_short(file)}"
        return Slow(under[-1] if under else "gradient", at)


def _tried(
    code: Code, theta: Array, params: Array, samples: Array | None, counts: np.ndarray, under: list[str]
) -> Fault | None:
    """The first fault of gradient, loss and Hessian at theta; under: the names of what is tried are added to it."""
    from fastsgd.kernels.own import arguments
    from fastsgd.kernels.own_rewrite import Rewriting, plain

    plain_python = Rewriting(lanes=0, compiled=False)
    given = {name: getattr(code, name) for name in ("gradient", "loss", "hessian")}
    functions = {name: plain_python.function(f) for name, f in given.items() if f is not None}
    with_params = arguments(code.gradient) == 4
    constants = [_frozen(params)] if with_params else []
    begun, rng, d = time.perf_counter(), np.random.default_rng(1), len(theta)
    point = _frozen(theta)
    for i in range(_SAMPLES if samples is None else min(_SAMPLES, len(samples))):
        sample = _frozen(samples[i]) if samples is not None else _drawn(rng, counts)
        for name, function in functions.items():
            under.append(name)
            shape = {"gradient": (d,), "hessian": (d, d)}.get(name)
            out = [] if shape is None else [np.full(shape, np.nan)]
            whole = name == "hessian" and arguments(given[name]) < arguments(code.gradient)
            try:
                with np.errstate(all="ignore"):
                    given_point = point, *([] if whole else [sample]), *constants
                    returned = function(*given_point, *out)
                    if out and np.isnan(out[0]).any():
                        again = np.zeros(out[0].shape)
                        function(*given_point, again)
                        if (line := _written(name, out[0], again, returned)) is not None:
                            return Fault(line, True)
            except Exception as error:
                file = getattr(plain(given[name]), "__code__").co_filename  # noqa: B009
                said = (
                    f"{type(error).__name__}: {' '.join(str(error).split())}{place_in(error, file)} of {_short(file)}"
                )
                sure = isinstance(error, IndexError | NameError) or any(word in str(error) for word in _SURELY)
                return Fault(said, sure)
        if time.perf_counter() - begun > _SECONDS:
            break
    return None


def _written(name: str, found: Array, again: Array, returned: Any) -> str | None:
    """What is wrong with what a function did to an `out` of NaN, and again to one of zeros; None if nothing is."""
    unwritten = np.argwhere(np.isnan(found) & (again == 0.0))
    added = np.argwhere(np.isnan(found) & (again != 0.0) & np.isfinite(again))
    if len(unwritten) and returned is not None:
        return f"{name} returns a value and does not write out; write it there, as out[:] = ... does"
    if len(unwritten):
        return f"{name} leaves coordinate {_place(unwritten)} of out unwritten; write every one"
    if len(added):
        return f"{name} adds to coordinate {_place(added)} of out, which is not zero before; begin with out[:] = 0.0"
    return None


def _place(found: np.ndarray) -> str:
    return ", ".join(str(i) for i in found[0])


def _frozen(values: Any) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _drawn(rng: np.random.Generator, counts: np.ndarray) -> Sample:
    z, u, e = (int(n) for n in counts)
    return Sample(_frozen(rng.normal(size=z)), _frozen(rng.random(u)), _frozen(rng.exponential(size=e)))


def _short(file: str) -> str:
    return file.rpartition("/")[2]

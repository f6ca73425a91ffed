"""A user's own problem: `problem.kind = "file.py:name"`, the gradient of one sample in a Python file.

    @numba.njit
    def name(theta, sample, out):             # or (theta, sample, params, out)
        out[:] = ...                          # float64[d], gradient of the sample's loss at theta float64[d]

`sample` is a row float64[p] of `problem.data`, or has the arrays `normals`, `uniforms` on (0, 1) and `exponentials` of
as many independent draws as the spec says. `params` is `problem.parameters`. Optimum, H and G are as in `pilot`.
The file is imported when a spec that names it is loaded; never from a stored run, which keeps its hash only. The file's
text is all that tells one problem from another, so constants belong in it, in `params` or in `data`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastsgd.errors import InputError
from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.matrices_check import check_file
from fastsgd.problems.pilot import Geometry, Pilot, Wrong

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Own


def check(spec: Spec) -> tuple[list[str], int | None, int | None]:
    """Lines of what is wrong with file, gradient, data and metric; dimension d; pool size n."""
    from fastsgd.spec.files import STORED

    section = cast("Own", spec.problem)
    d, n = section.dimension, None
    if section.data is not None:
        try:
            n = len(_samples(spec))
        except InputError as error:
            return [f'problem.data.file = "{section.data.file}" cannot be used: {error.lines[0]}'], d, None
    if section.kind.startswith(STORED):
        return [], d, n  # it was checked when it was stored
    try:
        _resolve(spec)
    except InputError as error:
        return [f'problem.kind = "{section.kind}" cannot be used: {error.lines[0]}'], d, n
    except Wrong as error:
        return [str(error)], d, n
    lines = []
    if not isinstance(section.metric, str):
        lines = check_file(spec, "problem.metric.file", section.metric.file, d, definite=False)
    return lines, d, n


def build(spec: Spec) -> OwnProblem:
    """Optimum and geometry of a checked spec. Raises InputError if its file is not at hand."""
    section = cast("Own", spec.problem)
    pilot, geometry = _resolve(spec)
    metric = section.metric
    if isinstance(metric, str):
        matrix = {"hessian": geometry.hessian, "noise": geometry.noise, "identity": np.eye(section.dimension)}[metric]
    else:
        matrix = np.array(spec.array(metric.file), dtype=np.float64, order="C")
    arrays = {
        "optimum_error": geometry.optimum_error,
        "hessian_error": geometry.hessian_error,
        "noise_error": geometry.noise_error,
    }
    if pilot.samples is not None:
        arrays["pool_samples"] = pilot.samples
    return OwnProblem(
        kind="own",
        coordinates=[str(i) for i in range(section.dimension)],
        optimum=geometry.optimum,
        hessian=geometry.hessian,
        noise=geometry.noise,
        metric=matrix,
        pool_size=None if pilot.samples is None else len(pilot.samples),
        arrays=arrays,
        pilot=pilot,
    )


@dataclass(frozen=True, kw_only=True)
class OwnProblem(Problem):
    """`pilot`: the compiled functions with their samples."""

    pilot: Pilot

    def stepper(self, arms: Sequence[Arm]) -> OwnStepper:
        return OwnStepper(self.pilot, self.optimum, arms)


class OwnStepper:
    """Mini-batch SGD; all arms use the same samples and differ in their step sizes alone."""

    def __init__(self, pilot: Pilot, optimum: Array, arms: Sequence[Arm]):
        from fastsgd.kernels.draws import WITH_REPLACEMENT, WITHOUT_REPLACEMENT

        assert len({(arm.batch, arm.design) for arm in arms}) == 1, "arms share their batches"
        codes = {"without-replacement": WITHOUT_REPLACEMENT, "with-replacement": WITH_REPLACEMENT}
        pooled = pilot.samples is not None
        self._pilot, self._optimum = pilot, optimum
        self._sampling = (arms[0].batch, codes[arms[0].design]) if pooled else (arms[0].batch,)

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        import numba

        tasks = min(delta.shape[1], 8 * numba.get_num_threads())
        address = np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
        pilot = self._pilot
        pilot.kernels.advance(
            tasks, tasks, delta, self._optimum, pilot.params, pilot.source, *self._sampling, sizes, *address
        )


# The arms of a run share one problem, which is checked before it is built; the last is kept.
_last: list[tuple[str, Pilot, Geometry]] = []


def _resolve(spec: Spec) -> tuple[Pilot, Geometry]:
    """The functions and what is found with them. Raises InputError (the file), Wrong (what it says)."""
    section = cast("Own", spec.problem)
    form = {key: value for key, value in spec.canonical()["problem"].items() if key != "metric"}
    key = json.dumps(form, sort_keys=True)
    if not _last or _last[0][0] != key:
        pilot = _pilot(spec)
        guess = np.array(section.guess or [0.0] * section.dimension)
        given = None if section.optimum is None else np.array(section.optimum)
        _last[:] = [(key, pilot, pilot.geometry(guess, given))]
    return _last[0][1:]


def _samples(spec: Spec) -> Array:
    """The pool float64[n, p] of problem.data."""
    section = cast("Own", spec.problem)
    assert section.data is not None
    array = spec.array(section.data.file)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"it must have one row a sample, got shape {array.shape}; save an array of one or two axes")
    if not np.isfinite(array).all():
        raise InputError("it must hold finite numbers, got NaN or infinity; remove such rows")
    return np.array(array.reshape(len(array), -1), dtype=np.float64, order="C")


def _pilot(spec: Spec) -> Pilot:
    from fastsgd.kernels.own import arguments, make

    section = cast("Own", spec.problem)
    module = _imported(spec)
    name = section.kind.rpartition(":")[2]
    gradient, loss = _function(module, name), None if section.loss is None else _function(module, section.loss)
    takes = arguments(gradient)
    if takes not in (3, 4):
        raise InputError(
            f"{name} must take (theta, sample, out) or (theta, sample, params, out), got {takes} arguments"
        )
    if loss is not None and arguments(loss) != takes - 1:
        rule = f"{section.loss} must take the arguments of {name} without out, that is {takes - 1}"
        raise InputError(f"{rule}, got {arguments(loss)}")
    samples = None if section.data is None else _samples(spec)
    template = "own_simulator" if samples is None else "own_pool"
    counts = np.array([section.normals, section.uniforms, section.exponentials], dtype=np.int64)
    return Pilot(
        kernels=make(template, f"{module.__name__} {name} {section.loss}", gradient, loss),
        loss=section.loss,
        params=np.array(section.parameters or [], dtype=np.float64),
        samples=samples,
        counts=counts,
        size=section.pilot if samples is None else len(samples),
    )


def _function(module: ModuleType, name: str) -> Any:
    found = getattr(module, name, None)
    if found is None or not callable(found):
        there = ", ".join(sorted(key for key, value in vars(module).items() if hasattr(value, "py_func"))) or "none"
        raise InputError(f"the file has no function {name}; its compiled functions are: {there}")
    return found


def _imported(spec: Spec) -> ModuleType:
    """The user's module. Its name tells its text, which is its identity: compiled code on disk refers to the name."""
    from fastsgd.spec.identity import own_file, sha256

    text, path = spec.source(), spec.path(own_file(spec)).resolve()
    name = f"fastsgd_own_{sha256(text)[:24]}"
    if name not in sys.modules:
        found = importlib.util.spec_from_file_location(name, path)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        try:
            found.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise InputError(
                f"importing it fails with {type(error).__name__}: {' '.join(str(error).split())}"
            ) from None
    return sys.modules[name]

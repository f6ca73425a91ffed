"""A user's own problem: `problem.kind = "file.py:name"`, the gradient of one sample in a Python file.

    @numba.njit
    def name(theta, sample, out):             # or (theta, sample, params, out)
        out[:] = ...                          # float64[d], gradient of the sample's loss at theta float64[d]

`sample` is a row float64[p] of `problem.data`, or has the arrays `normals`, `uniforms` on (0, 1) and `exponentials` of
as many independent draws as the spec says. `params` is `problem.parameters`. Optimum, H and G are as in `pilot`.
`kind` may also be an `OwnProblem` or a gradient (in Python), or the name of an entry point of the group fastsgd.problems.
The file is imported when a spec that names it is loaded; never from a stored run, which keeps its text for
`fastsgd show --code` alone. The text is all that tells one problem from another, so constants belong in it, in `params` or in
`data`.

Arithmetic on theta and sample is compiled for several replicates at once (`kernels/lane_source.py`); code that cannot be,
for one at a time. Both give the same bits. A gradient on a pool that is a function of products of the sample with arrays,
times the sample (and theta), such as that of any generalised linear model, is taken along the rows of the pool as our own
(`kernels/lane_margins.py`), with sums in their order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastsgd.designs import Pool, Simulation
from fastsgd.errors import InputError
from fastsgd.problems import remembered
from fastsgd.problems.base import Arm, Array, Problem
from fastsgd.problems.batches import EqualSampler, Part, place_of, sampler_of
from fastsgd.problems.matrices_check import check_file
from fastsgd.problems.own_code import at_hand, code_of
from fastsgd.problems.pilot import Geometry, Pilot, Wrong
from fastsgd.problems.pools import array_of

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Own


@dataclass(frozen=True)
class OwnProblem:
    """A problem as a Python object, for `{"problem": {"kind": OwnProblem(...), ...}}` or an entry point.

    A run of it keeps a hash of the functions' source (their byte code where there is none) and of the globals they refer
    to, not the code; resuming, extending and replaying it need the same object in the process.

    Attributes:
        gradient: (theta, sample, out) or (theta, sample, params, out), plain or compiled by Numba.
        loss: (theta, sample) or (theta, sample, params), to check the gradient against, or None.
        hessian: as the gradient with out float64[d, d], or without sample for that of the mean loss, or None.
    """

    gradient: Callable[..., Any]
    loss: Callable[..., Any] | None = None
    hessian: Callable[..., Any] | None = None


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
    if section.kind.startswith(STORED) and not at_hand(spec):
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


def build(spec: Spec) -> ResolvedOwn:
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
        **geometry.parts,
    }
    if pilot.samples is not None:
        arrays["pool_samples"] = pilot.samples
    return ResolvedOwn(
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


def kept(arrays: Mapping[str, np.ndarray], pool_size: int | None) -> ResolvedOwn:
    """The problem of a stored run as its arrays tell it, without code: enough for everything but simulating."""
    named = ("optimum", "hessian", "noise", "metric")
    optimum, hessian, noise, metric = (np.array(arrays[name], dtype=np.float64) for name in named)
    return ResolvedOwn(
        kind="own",
        coordinates=[str(i) for i in range(len(optimum))],
        optimum=optimum,
        hessian=hessian,
        noise=noise,
        metric=metric,
        pool_size=pool_size,
        arrays={name: np.asarray(value) for name, value in arrays.items() if name not in named},
        pilot=None,
    )


@dataclass(frozen=True, kw_only=True)
class ResolvedOwn(Problem):
    """`pilot`: the compiled functions with their samples; None if their code is not at hand."""

    pilot: Pilot | None

    @property
    def at_hand(self) -> bool:
        return self.pilot is not None

    @property
    def remark(self) -> str:
        """Which way the gradient was compiled, one line."""
        if self.pilot is None or self.pilot.kernels.lanes is not None:
            return "the gradient is compiled for replicates side by side"
        return f"the gradient is compiled for one replicate at a time, which is slower: {self.pilot.kernels.reason}"

    def pool(self, spec: Spec) -> Pool | None:
        found, pilot = super().pool(spec), self.pilot
        if found is None or pilot is None:
            return found
        return replace(found, compute=lambda: pilot.gradients(self.optimum))

    def simulation(self, spec: Spec) -> Simulation | None:
        pilot = self.pilot
        if pilot is None or pilot.samples is not None:
            return None
        paired, cross = (cache(partial(of, self.optimum)) for of in (pilot.paired, pilot.cross))
        variances = np.repeat([1.0, 1.0 / 12.0, 1.0], pilot.counts[:3])
        return Simulation(
            self.noise, lambda: paired()[0], lambda: cross()[0], variances, lambda name: array_of(spec, name),
            lambda: paired()[1], lambda: cross()[1],
        )  # fmt: skip

    def slope(self) -> Callable[[Array], Array] | None:
        """On the pool, or from the same 2^16 pilot samples at every theta."""
        pilot = self.pilot
        if pilot is None:
            return None
        there = pilot.quick_mean(self.optimum)
        return lambda theta: pilot.quick_mean(theta) - there

    def stepper(self, arms: Sequence[Arm]) -> OwnStepper:
        return OwnStepper(self.pilot, self.optimum, arms)


class OwnStepper:
    """Mini-batch SGD; all arms use the same samples and differ in their step sizes alone."""

    def __init__(self, pilot: Pilot | None, optimum: Array, arms: Sequence[Arm]):
        assert len({(arm.batch, arm.design) for arm in arms}) == 1, "arms share their batches"
        self._pilot, self._optimum, self._batch = pilot, optimum, arms[0].batch
        self._weighted, self._sampler = arms[0].draws is not None, None
        coefficient = arms[0].coefficient
        self._coefficient = np.zeros((0, 0)) if coefficient is None else np.ascontiguousarray(coefficient)
        self._paired = arms[0].design == "antithetic"
        if pilot is not None and pilot.samples is not None:
            self._sampler = sampler_of(arms[0], pilot.size)

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        """As `Stepper.advance`. Raises NotEnding where the gradient does not end; what delta holds then is of no use."""
        pilot, work = self._pilot, delta.shape[0] * delta.shape[1] * sizes.shape[1] * self._batch
        assert pilot is not None, "its code is not at hand"
        address = seed, first_replicate, first_step
        where = place_of(first_replicate, delta.shape[1], first_step, sizes.shape[1])
        pilot.guard(lambda: self._advance(pilot, delta, sizes, *address), work, f"{pilot.name}, at {where},")

    def _advance(
        self, pilot: Pilot, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int
    ) -> None:
        import numba

        if self._sampler is None:
            self._simulate(pilot, delta, sizes, seed, first_replicate, first_step)
            return
        tasks = min(delta.shape[1], 8 * numba.get_num_threads())
        if isinstance(self._sampler, EqualSampler) and pilot.kernels.lanes is not None:
            rows, advance, pool, level = self._way(pilot, delta.shape[2])
            if rows == 0:
                batches = self._sampler.plan, np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
                begin, inverse = (delta, 0, self._optimum, pilot.params), 1.0 / self._batch
                advance(tasks, tasks, *begin, pool, level, batches, inverse, sizes, 0)
                return
        for part in self._sampler.walk(delta.shape[1], sizes.shape[1], seed, first_replicate, first_step, tasks):
            self._draw(pilot, part, tasks, delta, sizes)

    def _way(self, pilot: Pilot, d: int) -> tuple[int, Any, Array, np.uint64]:
        """Kernel for vectors, as `own.Kernels` has it, the pool for it and how it is asked for rows."""
        from fastsgd.kernels.caches import level_of

        assert pilot.samples is not None
        rows, advance = pilot.kernels.lanes(self._batch, self._weighted, pilot.samples.shape[1], d)
        return rows, advance, pilot.packed, level_of(pilot.packed)

    def _draw(self, pilot: Pilot, part: Part, tasks: int, delta: Array, sizes: Array) -> None:
        """Steps of one part, on a pool."""
        inverse = 1.0 if self._weighted else 1.0 / self._batch
        begin, rest = (delta, part.row, self._optimum, pilot.params), (part.size, inverse, sizes, part.column)
        if pilot.kernels.lanes is None:
            tasks = min(tasks, len(part.size))
            weight = self._weighted, part.weight
            pilot.kernels.scalar.advance(
                tasks, tasks, *begin, pilot.samples, part.pitch, part.indices, *weight, *rest
            )  # fmt: skip
            return
        assert pilot.samples is not None
        rows, advance, pool, level = self._way(pilot, delta.shape[2])
        drawn = part.pitch, part.indices, part.weight
        if rows == 0:
            shares = min(tasks, len(part.size))
            advance(shares, shares, *begin, pool, level, (*drawn, part.size), *rest[1:])
            return
        features = pilot.samples.shape[1]
        advance(-(-len(part.size) // rows), *begin, pool, features, level, *drawn, *rest)

    def _simulate(
        self, pilot: Pilot, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int
    ) -> None:
        import numba

        from fastsgd.kernels._jit import LANES
        from fastsgd.kernels.normal import turn_of

        replicates = delta.shape[1]
        address = np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
        design = pilot.counts, self._paired, self._coefficient
        rest = (delta, self._optimum, pilot.params, *design, self._batch, sizes, *address)
        if pilot.kernels.lanes is None:
            tasks = min(replicates, 8 * numba.get_num_threads())
            pilot.kernels.scalar.advance(tasks, tasks, *rest)
            return
        turn = turn_of(first_replicate, replicates)
        if turn:
            for part, first in ((slice(0, turn), first_replicate), (slice(turn, None), first_replicate + turn)):
                rows = np.ascontiguousarray(delta[:, part])
                self._simulate(pilot, rows, sizes, seed, first, first_step)
                delta[:, part] = rows
            return
        shared = delta.shape[0] > 1 or self._paired or self._coefficient.size
        counts = tuple(int(c) for c in pilot.counts)
        advance = pilot.kernels.lanes(delta.shape[2], pilot.params.size, counts, 0 if shared else self._batch)
        advance(-(-replicates // LANES), *rest)


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
        first = guess if given is None else given
        _last[:] = [(key, pilot, remembered.geometry(key, pilot, first, lambda: pilot.geometry(guess, given)))]
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
    from fastsgd.kernels.own import POOL, SIMULATOR, Functions, arguments, make

    section = cast("Own", spec.problem)
    code = code_of(spec)
    takes = arguments(code.gradient)
    name = getattr(code.gradient, "__name__", "the gradient")
    if takes not in (3, 4):
        raise InputError(
            f"{name} must take (theta, sample, out) or (theta, sample, params, out), got {takes} arguments; give it these and "
            "write the gradient to out"
        )
    if code.loss is not None and arguments(code.loss) != takes - 1:
        rule = f"{code.loss.__name__} must take the arguments of {name} without out, that is {takes - 1}"
        raise InputError(f"{rule}, got {arguments(code.loss)}")
    if code.hessian is not None and arguments(code.hessian) not in (takes, takes - 1):
        rule = f"{code.hessian.__name__} must take the arguments of {name}, without sample if it is of the mean loss"
        raise InputError(f"{rule}, that is {takes} or {takes - 1}, got {arguments(code.hessian)}")
    samples = None if section.data is None else _samples(spec)
    kind = SIMULATOR if samples is None else POOL
    counts = np.array([section.normals, section.uniforms, section.exponentials], dtype=np.int64)
    return Pilot(
        code=code,
        kernels=make(kind, code.key, Functions(code.gradient, code.loss, code.hessian)),
        params=np.array(section.parameters or [], dtype=np.float64),
        samples=samples,
        counts=counts,
        size=section.pilot if samples is None else len(samples),
    )

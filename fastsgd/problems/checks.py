"""What only a spec's files, data and sizes reveal: one line for each problem, all of them at once."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from fastsgd import designs, problems
from fastsgd.problems import room
from fastsgd.spec.sections import has_pool

if TYPE_CHECKING:
    from fastsgd.spec import Spec


def check(spec: Spec) -> list[str]:
    """Lines `key rule, got value; remedy` for every arm; empty when a run can start."""
    found = room.check(spec)
    if found:
        return found
    kinds = {designs.get(arm.sampling.design).pooled: arm.sampling.design for arm in spec.arm_specs().values()}
    if len(kinds) > 1:
        found.append(
            f"arms must all draw from the pool or all draw fresh data (their optima differ), got {kinds[True]} and "
            f"{kinds[False]}; make two specs"
        )
    for name, arm in spec.arm_specs().items():
        lines = _check_arm(arm)
        found += [line if line in found or not spec.arms else f"arms.{name}: {line}" for line in lines]
    return list(dict.fromkeys(found))


def _check_arm(spec: Spec) -> list[str]:
    # A kind says by itself what is wrong with its matrices or data, and how large they are.
    lines, dimension, pool_size = import_module(f"fastsgd.problems.{problems.module(spec)}").check(spec)
    design = designs.get(spec.sampling.design)
    kind = spec.problem.kind
    if design.pooled and not has_pool(spec.problem):
        rule = f"sampling.design must be fresh for problem.kind = {kind} (it has no pool)"
        lines.append(f"{rule}, got {design.name}; take the key out")
    elif pool_size is not None and not design.pooled:
        lines.append(
            f"sampling.design must be without-replacement or with-replacement on a pool of data, got {design.name}; "
            "choose how the pool is sampled"
        )
    elif pool_size is not None or not design.pooled:
        wrong = design.problems(spec.sampling.batch, pool_size)
        lines += wrong or ([] if lines else _of_pool(spec, design, pool_size))
    value = getattr(spec.start, "value", 0.0)
    if dimension is not None and not isinstance(value, float | int) and len(value) != dimension:
        lines.append(f"start.value must have one number a coordinate, that is {dimension}, got {len(value)}")
    if spec.start.kind == "stationary" and spec.step.schedule != "constant":
        lines.append(
            f"start.kind = stationary needs step.schedule = constant, got {spec.step.schedule}; use point or gaussian"
        )
    return lines


def _of_pool(spec: Spec, design: designs.Design, pool_size: int | None) -> list[str]:
    """What a design whose covariance is no multiple of G or S_n says of the pool or the simulation."""
    if isinstance(design, designs.SimulationDesign) and getattr(spec.sampling.coefficient, "file", None) is not None:
        try:
            simulation = problems.build(spec).simulation(spec)
            assert simulation is not None
            design.coefficient(simulation, spec.sampling)
        except ValueError as error:
            return [str(error)]
    if not isinstance(design, designs.PoolDesign) or design.factor(spec.sampling.batch, pool_size) is not None:
        return []
    try:
        pool = problems.build(spec).pool(spec)
        assert pool is not None
        design.check(pool, spec.sampling)
    except ValueError as error:
        return [str(error)]
    return []

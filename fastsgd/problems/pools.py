"""What a sampling design may know of a pool, from a spec and the arrays of its problem (built, or kept in a run)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastsgd.designs import OWN, Pool, Simulation
from fastsgd.errors import InputError
from fastsgd.problems.base import Array

if TYPE_CHECKING:
    from fastsgd.designs.own import Bound
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Glm

GRADIENTS = "pool_gradients"
DESIGN, DESIGN_PARTS = "design_covariance", "design_parts"
PAIRED, CROSS, VARIANCES = "antithetic_noise", "control_covariance", "control_variances"
PAIRED_PARTS, CROSS_PARTS = "antithetic_parts", "control_parts"


def of_arrays(spec: Spec, arrays: Mapping[str, Any], optimum: Array, metric: Array, made: Any = None) -> Pool | None:
    """The pool of a problem whose arrays are pool_features and pool_targets, or pool_samples; None without a pool.

    made: the table [sampling] that the arrays of a stored run were made with.
    """
    kept = partial(_kept_covariance, arrays, made)
    own = _own(spec, arrays, kept)
    if "pool_features" in arrays:
        features, targets = np.asarray(arrays["pool_features"]), np.asarray(arrays["pool_targets"])
        return Pool(
            features, targets, metric, _glm_gradients(spec, features, targets, optimum),
            lambda name: _glm_column(spec, features, targets, name), lambda name: array_of(spec, name), own, kept,
        )  # fmt: skip
    if "pool_samples" in arrays:
        samples = np.asarray(arrays["pool_samples"])
        return Pool(
            samples, None, metric, lambda: _kept(arrays),
            lambda name: _numbered(samples, name), lambda name: array_of(spec, name), own, kept,
        )  # fmt: skip
    return None


def _kept_covariance(arrays: Mapping[str, Any], made: Any, sampling: Any) -> Array | None:
    """What a run made with the table `made` holds of another one: its covariance if they are the same."""
    if made is None or DESIGN not in arrays or made.model_dump() != sampling.model_dump():
        return None
    return np.asarray(arrays[DESIGN])


def _own(spec: Spec, arrays: Mapping[str, Any], kept: Callable[[Any], Array | None]) -> Bound | None:
    """The design of a spec with its code; None unless it is one's own."""
    if not OWN.fullmatch(spec.sampling.design):
        return None
    from fastsgd.problems.own_design import BoundDesign

    parts = np.asarray(arrays[DESIGN_PARTS]) if DESIGN_PARTS in arrays else None
    if parts is not None and not np.isfinite(parts).all():
        parts = None  # of another arm
    return BoundDesign(spec, kept, parts)


def kept_simulation(spec: Spec, arrays: Mapping[str, Any], noise: Array) -> Simulation:
    """What a design may know of a simulation problem, from the arrays that a run keeps of it."""

    def kept(name: str) -> Array:
        if name not in arrays or not np.isfinite(arrays[name]).all():
            raise ValueError(
                f"sampling.design = {spec.sampling.design} needs {name.replace('_', ' ')}, which this run does not hold; "
                "predict the spec instead, or another design"
            )
        return np.asarray(arrays[name])

    def parts(name: str) -> Array | None:
        # Not a number: those of another arm.
        return np.asarray(arrays[name]) if name in arrays and np.isfinite(arrays[name]).all() else None

    return Simulation(
        noise, lambda: kept(PAIRED), lambda: kept(CROSS), np.asarray(arrays.get(VARIANCES, np.ones(1))),
        lambda name: array_of(spec, name), lambda: parts(PAIRED_PARTS), lambda: parts(CROSS_PARTS),
    )  # fmt: skip


def _glm_gradients(spec: Spec, features: Array, targets: Array, optimum: Array) -> Callable[[], Array]:
    from fastsgd.problems.likelihood import Model

    # The ridge is the same for every sample, and is not sampled.
    problem = cast("Glm", spec.problem)
    return lambda: Model(problem.family, features, targets, 0.0, float(problem.threshold)).scores(optimum)


def _kept(arrays: Mapping[str, Any]) -> Array:
    if GRADIENTS not in arrays or not np.isfinite(arrays[GRADIENTS]).all():
        raise ValueError(
            "sampling needs the gradients of the pool, which a run keeps for its own design, up to a million numbers; predict "
            "the spec instead"
        )
    return np.asarray(arrays[GRADIENTS])


def _glm_column(spec: Spec, features: Array, targets: Array, name: str) -> Array:
    data = cast("Glm", spec.problem).data
    if data.file is None:
        p = features.shape[1] - data.intercept
        table = {f"x{j + 1}": features[:, j + data.intercept] for j in range(p)}
    else:
        read = spec.table()
        table = dict(zip(read.names, np.asarray(read.features).T, strict=True)) | {data.target or "": read.target}
    return _chosen(table, name)


def _numbered(samples: Array, name: str) -> Array:
    return _chosen({str(j): samples[:, j] for j in range(samples.shape[1])}, name)


def _chosen(table: Mapping[str, Array], name: str) -> Array:
    if name not in table:
        names = list(table)
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise ValueError(f'must be a column of the data, got "{name}"; its columns are {listed}')
    return np.ascontiguousarray(table[name], dtype=np.float64)


def array_of(spec: Spec, name: str) -> Array:
    try:
        array: Array = np.asarray(spec.array(name), dtype=np.float64)
    except InputError as error:
        raise ValueError(f'sampling: file = "{name}" cannot be used: {error.lines[0]}') from None
    if not np.isfinite(array).all():
        raise ValueError(f'sampling: file = "{name}" must hold finite numbers, got NaN or infinity; mend it')
    return array

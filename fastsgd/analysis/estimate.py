"""From data to the optimum, its standard errors, the geometry of SGD there, and a spec that is ready to run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis import tables
from fastsgd.analysis.estimate_bootstrap import interval, noise_quantile, resamples
from fastsgd.analysis.estimate_fit import Features, Fit, features, fit
from fastsgd.analysis.estimate_geometry import Geometry, Plateau, Steps, steps_for, suggested_batch
from fastsgd.analysis.estimate_stability import stability_limits
from fastsgd.analysis.estimate_weights import COUNTS, SAMPLING, Weighed, weights_of
from fastsgd.errors import InputError
from fastsgd.spec import chunks, toml

Array = NDArray[np.float64]

# Where H and G are nearly proportional its least possible value is 1 and every resample is farther away than the estimate.
WITHOUT_INTERVAL = ("generalised_condition_number",)
OF_NOISE = ("condition_number", "effective_dimension", "trace_noise", "sampling_risk", "balanced_temperature")
NO_SPEC = (
    "there is no spec of a problem with weights or dropped columns: a run counts all rows alike and reads every column; "
    "write the rows and columns that it is to have to a file of its own"
)
FAMILIES = ("linear", "logistic", "poisson", "probit", "huber")


@dataclass(frozen=True)
class Estimate:
    """What `estimate` found.

    Attributes:
        data, target: the file and its target; fit: optimum and matrices, in the coordinates of `fit.features`.
        geometry: scalars, with their bootstrap errors in `geometry_errors` (empty without a bootstrap).
        geometry_intervals: 95 % intervals of them, free of the bias that the bootstrap finds (`interval`).
        theta_errors: bootstrap errors of theta*, float64[d], or None. bootstrap: resamples that were used.
        steps: step sizes, one entry a batch; the first is the suggested batch unless batches were asked for.
        step_errors, step_intervals: bootstrap error and 95 % interval of `high` for each of them, or None.
        epochs: passes over the data for which `low` is.
    """

    data: str
    target: str
    fit: Fit
    geometry: Geometry
    geometry_errors: Mapping[str, float]
    geometry_intervals: Mapping[str, tuple[float, float]]
    theta_errors: Array | None
    bootstrap: int
    steps: tuple[Steps, ...]
    step_errors: tuple[float | None, ...]
    step_intervals: tuple[tuple[float, float] | None, ...]
    epochs: float
    in_memory: bool
    dropped: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """False where no spec is this problem: runs weigh rows alike and read every column."""
        return self.fit.features.weights.column is None and not self.dropped

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints, as plain Python values."""
        fit, at = self.fit, self.fit.features
        own, low = fit.in_columns(), fit.low_rank
        content = {
            "data": self.data,
            "target": self.target,
            "family": at.family,
            "ridge": fit.ridge,
            "threshold": at.threshold if at.family == "huber" else None,
            "rows": at.rows,
            "weights": at.weights.column if at.weights.kind == SAMPLING else None,
            "counts": at.weights.column if at.weights.kind == COUNTS else None,
            "effective_rows": at.weights.effective,
            "dropped": list(self.dropped),
            "dimension": at.dimension,
            "in_memory": self.in_memory,
            "passes": fit.passes,
            "coordinates": list(at.names),
            "optimum": fit.theta,
            "standard_errors": fit.standard_errors,
            "bootstrap_errors": self.theta_errors,
            "column_mean": at.mean,
            "column_scale": at.scale,
            "coefficients": None if own is None else own[0],
            "coefficient_errors": None if own is None else own[1],
            "margin_error": fit.margin_error,
            "hessian": fit.hessian,
            "noise": fit.noise,
            "noise_diagonal": np.diagonal(fit.noise),
            "metric": fit.metric,
            "low_rank": None if low is None else low_rank_dict(fit),
            "effective_gradients": fit.tails.effective,
            "geometry": self.geometry.as_dict(),
            "geometry_errors": dict(self.geometry_errors) or None,
            "geometry_intervals": dict(self.geometry_intervals) or None,
            "bootstrap": self.bootstrap,
            "epochs": self.epochs,
            "steps": [
                step.as_dict() | {"high_error": error, "high_interval": inside}
                for step, error, inside in zip(self.steps, self.step_errors, self.step_intervals, strict=True)
            ],
            "spec": self.spec_tables() if self.runs else None,
        }
        plain: dict[str, Any] = tables.plain(content)
        return plain

    def spec_tables(self, folder: Path | None = None) -> dict[str, Any]:
        """A spec that is ready to run: the suggested batch and step, halved twice where the loss is not quadratic.

        folder: where the spec will be, to which its file name is made relative; default: as `data` was given.

        Raises:
            InputError: with weights or dropped columns, which a run does not have.
        """
        if not self.runs:
            raise InputError(NO_SPEC)
        fit, at, step = self.fit, self.fit.features, self.steps[0]
        data = Path(self.data)
        name = os.path.relpath(data.absolute(), folder.absolute()) if folder is not None else str(data)
        linear = at.family == "linear"
        size = float(f"{step.suggested:.3g}")
        slowest = size * self.geometry.smallest_curvature / (1 if linear else 4)
        last = int(min(max(200, 3 / slowest), 200_000))
        standardised = bool(np.any(at.mean) or np.any(at.scale != 1.0))
        spec: dict[str, Any] = {
            "name": data.stem,
            "seed": 1,
            "replicates": 1024,
            "problem": {
                "kind": "glm",
                "family": at.family,
                "ridge": fit.ridge,
                **({"threshold": at.threshold} if at.family == "huber" else {}),
                "data": {"file": name, "target": self.target, "standardize": standardised, "intercept": at.intercept},
            },
            "sampling": {"design": "without-replacement", "batch": step.batch},
            "step": {"schedule": "constant", "size": size},
            "start": {"kind": "stationary"},
            "record": {"steps": [last // 4, last // 2, last - last // 4, last]},
        }
        if not linear:
            spec["arms"] = {"eta": {}, "eta_half": {"step.size": size / 2}, "eta_quarter": {"step.size": size / 4}}
        return spec

    def spec_toml(self, folder: Path | None = None) -> str:
        """`spec_tables` as TOML."""
        return toml.dumps(self.spec_tables(folder))

    def to_text(self) -> str:
        """For people."""
        from fastsgd.analysis.estimate_text import text

        return text(self)


def low_rank_dict(fit: Fit) -> dict[str, Any]:
    """The streaming approximation against the full S_n."""
    low = fit.low_rank
    assert low is not None
    top = float(np.linalg.norm(fit.noise, 2))
    return {
        "rank": len(low.values),
        "values": low.values,
        "vectors": low.vectors.T,
        "share_of_trace": low.captured,
        "error_bound": low.error_bound / top,
        "error": float(np.linalg.norm(fit.noise - low.dense(), 2)) / top,
        "error_with_diagonal": float(np.linalg.norm(fit.noise - low.dense(diagonal=True), 2)) / top,
    }


def estimate(
    data: str | os.PathLike[str],
    family: str,
    *,
    target: str = "y",
    weights: str | None = None,
    counts: str | None = None,
    drop: Sequence[str] = (),
    ridge: float = 0.0,
    threshold: float | None = None,
    batches: Sequence[int] = (),
    rank: int | None = None,
    bootstrap: int = 100,
    standardize: bool = True,
    intercept: bool = True,
    epochs: float = 10.0,
    in_memory: int = chunks.IN_MEMORY,
    seed: int = 0,
) -> Estimate:
    """Fit a generalised linear model to a file and say what its geometry asks of SGD.

    Args:
        data: CSV, NPZ or HDF5 file, read in chunks when it is larger than `in_memory` bytes.
        family: linear, logistic, poisson, probit or huber. target: column or array; an HDF5 path such as train/y is fine.
        weights: column of sampling weights >= 0; counts: column that says how many equal rows a row stands for
            (`estimate_weights`). drop: columns to leave out; those of a CSV file need not hold numbers.
        ridge: penalty (ridge/2)|theta|^2, the intercept included.
        threshold: of huber, residuals beyond which the loss is linear; default 1.
        batches: batches to give step sizes for; default: the suggested one.
        rank: also approximate G in a stream by this rank.
        bootstrap: resamples for the errors; 0 for none.
        epochs: passes over the data within which the start should be forgotten.

    Raises:
        InputError: what the file has wrong, no unique finite optimum, or an impossible argument.
    """
    if family not in FAMILIES:
        raise InputError(f"the family must be one of {', '.join(FAMILIES)}, got {family!r}")
    if not 0.0 <= ridge < np.inf:
        raise InputError(f"the ridge must be >= 0, got {ridge:g}")
    if threshold is not None and family != "huber":
        raise InputError(f"a threshold is for the family huber, got {threshold:g} with {family}; leave it out")
    if threshold is not None and not 0.0 < threshold < np.inf:
        raise InputError(f"the threshold must be > 0, got {threshold:g}")
    if not 0.0 < epochs < np.inf:
        raise InputError(f"the epochs must be > 0 and finite, got {epochs:g}")
    if bootstrap < 0 or bootstrap == 1:
        raise InputError(f"the bootstrap must have 2 resamples or more for a standard error, or 0, got {bootstrap}")
    if weights is not None and counts is not None:
        raise InputError(f"rows have weights or counts, got both ({weights}, {counts}); give one of them")
    path = Path(data)
    table = chunks.open_table(path, target, in_memory, tuple(drop))
    rows = Weighed.of(table, path, weights if counts is None else counts)
    counted = weights_of(rows, path, SAMPLING if counts is None else COUNTS)
    at = features(rows, family, counted, standardize, intercept, 1.0 if threshold is None else threshold)
    for batch in batches:
        if not 1 <= batch <= at.rows:
            raise InputError(f"a batch must be between 1 and the {at.rows} rows of {path}, got {batch}")
    fitted = fit(at, ridge, None if rank is None else min(rank, at.dimension))
    if at.rows < 2 or not np.any(np.abs(fitted.noise) > 0):
        raise InputError(
            f"{path} gives no gradient noise at the optimum (every row is fitted exactly); nothing to plan"
        )
    curvature = np.linalg.eigvalsh(fitted.hessian)
    if not curvature[0] > 10 * at.dimension * np.finfo(np.float64).eps * curvature[-1]:
        raise InputError(
            f"{path} has columns of too different sizes for SGD (H is singular to rounding); standardise them"
        )
    geometry = Geometry.of(fitted.hessian, fitted.noise, fitted.metric, at.rows)
    plateau = Plateau.of(fitted.hessian, fitted.noise, fitted.metric)
    wanted = list(batches) or [suggested_batch(at.rows, geometry, geometry.largest_stable_step)]
    limits = stability_limits(fitted, wanted)
    steps = [steps_for(b, at.rows, geometry, plateau, epochs, e) for b, e in zip(wanted, limits, strict=True)]
    drawn = resamples(fitted, bootstrap, seed) if bootstrap > 0 else []
    errors = _errors(drawn, fitted, geometry, steps)
    theta_errors = np.std([r.theta for r in drawn], axis=0, ddof=1) if len(drawn) > 1 else None
    memory = chunks.is_in_memory(table)
    return Estimate(
        str(data), target, fitted, geometry, errors.geometry, errors.intervals, theta_errors, len(drawn), tuple(steps),
        errors.steps, errors.step_intervals, epochs, memory, tuple(drop),
    )  # fmt: skip


@dataclass(frozen=True)
class _Errors:
    """Bootstrap errors and intervals of the geometry and of the largest step size of each batch."""

    geometry: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    steps: tuple[float | None, ...]
    step_intervals: tuple[tuple[float, float] | None, ...]


def _errors(drawn: Sequence[Any], of: Fit, at: Geometry, steps: Sequence[Steps]) -> _Errors:
    rows, wide = of.features.rows, noise_quantile(of.features.rows, of.tails.kurtosis)
    if len(drawn) < 2:
        return _Errors({}, {}, tuple(None for _ in steps), tuple(None for _ in steps))
    found, highs = [], []
    for r in drawn:
        geometry = Geometry.of(r.hessian, r.noise, r.metric, rows)
        plateau = Plateau.of(r.hessian, r.noise, r.metric)
        found.append(geometry.as_dict())
        ratio = geometry.largest_stable_step / at.largest_stable_step
        highs.append([steps_for(s.batch, rows, geometry, plateau, 1.0, 2 * s.stable * ratio).high for s in steps])
    values = {name: np.array([f[name] for f in found]) for name in found[0]}
    errors = {name: float(np.std(value, ddof=1)) for name, value in values.items()}
    own = at.as_dict()
    intervals = {
        name: interval(own[name], value, *([wide] if name in OF_NOISE else []))
        for name, value in values.items()
        if name not in WITHOUT_INTERVAL
    }
    each = np.array(highs).T
    return _Errors(
        errors,
        intervals,
        tuple(float(e) for e in np.std(each, axis=1, ddof=1)),
        tuple(interval(s.high, value, wide) for s, value in zip(steps, each, strict=True)),
    )


__all__ = ["Estimate", "Features", "Fit", "Geometry", "Steps", "estimate"]

"""The standard errors that a spec's replicates will give, before it is run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.arms import LIMIT, step_size_groups
from fastsgd.analysis.combined import scale_weights
from fastsgd.analysis.model import from_spec
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.scatter import FEWEST_KEPT, SizeScatter, size_scatter, sizes
from fastsgd.analysis.time_averages import RISK, predicted_average
from fastsgd.theory import richardson
from fastsgd.theory.statistics import sidak_z

Array = NDArray[np.float64]

FALSE_ALARM = 1e-4
PARTS = 8  # of a rehearsal, whose differences say how well a scatter is known


class Rehearsal(Protocol):
    """Risks float64[A, R, S], their time averages float64[A, R] and last iterates float64[A, R, d] of some replicates, moments
    over them at each step, int64[A, S], float64[A, S, d], float64[A, S, d, d], and kept trajectories float64[A, K, S, d]."""

    @property
    def risk(self) -> Array: ...

    @property
    def final(self) -> Array: ...

    @property
    def average(self) -> Array | None: ...

    @property
    def count(self) -> NDArray[np.int64]: ...

    @property
    def mean(self) -> Array: ...

    @property
    def covariance(self) -> Array: ...

    @property
    def kept(self) -> Array: ...


@dataclass(frozen=True)
class Expected:
    """One row that `ratio` will have.

    Attributes:
        standard_error: of the ratio measured/predicted with the asked replicates, the error of an estimated geometry included.
        known_to: relative standard error of that, from the scatter of simulated replicates; 0: exact (Gaussian); None: not
            known, that of a Gaussian law for a problem that has another.
        tested: False for a covariance that `ratio` will show and not test, as nothing that the run keeps tells its error.
        detectable: relative error of a prediction that the verdict finds half of the time.
        for_one_percent: replicates that give a standard error of 1 %, but for that of the geometry.
    """

    arm: str
    quantity: str
    step: int | None
    predicted: float
    standard_error: float
    known_to: float | None
    detectable: float
    for_one_percent: int
    tested: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


@dataclass(frozen=True)
class _Row:
    """A row of one replicate: `relative` is its standard error, by theory, and `each` of a rehearsal if there is one.

    pilot: relative error of the prediction, of an estimated geometry, which no replicates take away. known: how well
    `relative` is known where it does not follow from a law, None if nothing says it.
    """

    arm: str
    quantity: str
    step: int | None
    predicted: float
    relative: float
    exact: bool
    each: Array | None = None
    pilot: float = 0.0
    known: float | None = None
    tested: bool = True

    def spread(self) -> tuple[float, float | None]:
        """Relative standard deviation of one replicate, and how well that is known."""
        if self.exact or self.each is None or not np.isfinite(self.each).all():
            return self.relative, 0.0 if self.exact else self.known
        deviation = float(np.std(self.each, ddof=1))
        kurtosis = float(np.mean((self.each - np.mean(self.each)) ** 4)) / deviation**4
        return deviation, math.sqrt(max(kurtosis - 1.0, 0.0) / (4 * len(self.each)))


def expected_errors(spec: Any, replicates: int | None = None, rehearsal: Rehearsal | None = None) -> list[Expected]:
    """Rows "risk" and "covariance" at every recorded step, "risk (all steps)", time averages, and of several arms their
    ratios where they are predicted exactly, else the limit of step size 0.

    From the Gaussian law where it is exact. Other laws have heavier tails: errors of up to a few per cent more for small
    steps, a third more near the limit of stability or for few and skew gradients. They come from the scatter of a rehearsal
    if there is one, those of covariances as `ratio` finds them (`scatter`). So do ratios and limits of arms, which share
    their draws: without it there is an upper bound.
    """
    count = replicates or spec.replicates
    steps = np.asarray(spec.record_steps(), dtype=np.int64)
    predictions = [Prediction.of(model, steps) for model in from_spec(spec)]
    rows = [row for a, p in enumerate(predictions) for row in _of_arm(p, a, rehearsal)]
    if all(p.exact for p in predictions):
        for b in range(1, len(predictions)):
            rows += _of_pair(predictions[0], predictions[b], b, rehearsal)
    for group in step_size_groups(predictions):
        rows += _of_limit(predictions, group, rehearsal)
    threshold = sidak_z(FALSE_ALARM, max(sum(row.tested for row in rows), 1))
    found = []
    for row in rows:
        one, known = row.spread()
        error = math.hypot(one / math.sqrt(count), row.pilot)
        found.append(
            Expected(
                row.arm,
                row.quantity,
                row.step,
                row.predicted,
                error,
                known,
                threshold * error,
                _replicates(one),
                row.tested,
            )
        )
    return found


@dataclass(frozen=True)
class _Seen:
    """One arm of a rehearsal: as a run, the scatter of its sizes, and that of each of `PARTS` parts of its replicates."""

    prediction: Prediction
    rehearsal: Rehearsal
    arm: int

    @cached_property
    def observed(self) -> Observed:
        return _observed(self.rehearsal, self.arm, slice(None))

    @cached_property
    def scatter(self) -> list[SizeScatter | None]:
        return size_scatter(self.prediction, self.observed)

    @cached_property
    def parts(self) -> list[list[SizeScatter | None]]:
        parts = [_observed(self.rehearsal, self.arm, slice(first, None, PARTS)) for first in range(PARTS)]
        return [size_scatter(self.prediction, part) for part in parts]


def _observed(rehearsal: Rehearsal, a: int, rows: slice) -> Observed:
    risk, final = rehearsal.risk[a, rows], rehearsal.final[a, rows]
    count = np.where(rehearsal.count[a] == rehearsal.risk.shape[1], len(risk), 0)
    diverged_at = np.where(np.isfinite(risk).all(axis=1), -1, 0)
    kept = rehearsal.kept[a] if rows == slice(None) else rehearsal.kept[a, :0]
    return Observed(risk, count, rehearsal.mean[a], rehearsal.covariance[a], final, diverged_at, lambda: kept)


def _of_covariance(p: Prediction, s: int, seen: _Seen | None, pilot: float) -> _Row:
    """Of the size of the covariance at steps[s]: of the last step and of kept trajectories q itself, else by the risks."""
    arm, step, gaussian = p.model.arm, int(p.steps[s]), math.sqrt(2 / p.whitener(s).shape[1])
    one = None if seen is None else seen.scatter[s]
    if seen is None or one is None:
        return _Row(arm, "covariance", step, 1.0, gaussian, p.gaussian, pilot=pilot, tested=seen is None)
    kept, last = seen.observed.trajectories(), s == len(p.steps) - 1
    if one.known and (last or len(kept) >= FEWEST_KEPT):
        each = sizes(p, seen.observed, s, seen.observed.final if last else kept[:, s])
        return _Row(arm, "covariance", step, 1.0, gaussian, False, each, pilot)
    known, relative = None, math.sqrt(one.variance)
    if one.known:
        deviations = [math.sqrt(part.variance) for of in seen.parts if (part := of[s]) is not None and part.known]
        if len(deviations) == PARTS:
            known = float(np.std(deviations, ddof=1)) / math.sqrt(PARTS) / relative
    return _Row(arm, "covariance", step, 1.0, relative, False, pilot=pilot, known=known, tested=one.known)


def _of_arm(p: Prediction, a: int, rehearsal: Rehearsal | None) -> Iterator[_Row]:
    arm, exact = p.model.arm, p.gaussian
    risk = None if rehearsal is None else rehearsal.risk[a]
    seen = None if rehearsal is None or exact else _Seen(p, rehearsal, a)
    index = np.flatnonzero(p.random)
    for s in index:
        step, value = int(p.steps[s]), float(p.risk[s])
        each = None if risk is None else risk[:, s] / value
        at, one = np.array([s]), np.ones(1)
        errors = (0.0, 0.0) if p.pilot is None else (p.pilot.of_risk(at, one) / value, p.pilot.of_size(at, one))
        yield _Row(arm, "risk", step, value, math.sqrt(p.risk_variance[s]) / value, exact, each, errors[0])
        yield _of_covariance(p, int(s), seen, errors[1])
    if len(index):
        weights, variance = scale_weights(p.risk[index], p.risk_covariance(index))
        each = None if risk is None else risk[:, index] @ weights
        error = 0.0 if p.pilot is None else p.pilot.of_risk(index, weights)
        yield _Row(arm, "risk (all steps)", None, 1.0, math.sqrt(variance), exact, each, error)
    average = predicted_average(p)
    if average is not None and p.model.design.independent and average["risk"] > 0:
        value = average["risk"]
        means = None if rehearsal is None or rehearsal.average is None else rehearsal.average[a] / value
        error = 0.0 if p.pilot is None else p.pilot.relative(p)
        yield _Row(arm, RISK, None, value, average["standard_deviation"] / value, exact, means, error)


def _of_pair(first: Prediction, other: Prediction, b: int, rehearsal: Rehearsal | None) -> Iterator[_Row]:
    names = f"{first.model.arm}/{other.model.arm}"
    for s in np.flatnonzero(first.random & other.random):
        step, rho = int(first.steps[s]), float(first.risk[s] / other.risk[s])
        if rehearsal is None or not np.isfinite(rehearsal.risk[[0, b], :, s]).all():
            both = math.sqrt(sum(float(p.risk_variance[s] / p.risk[s] ** 2) for p in (first, other)))
            yield _Row(names, "risk ratio (at most)", step, rho, both, False)
            continue
        top, bottom = rehearsal.risk[0, :, s], rehearsal.risk[b, :, s]
        # As `ratio` has it: the mean of the differences over the mean of the risk below, relative to rho.
        yield _Row(
            names, "risk ratio", step, rho, math.nan, False, top / (rho * np.mean(bottom)) - bottom / np.mean(bottom)
        )


def _of_limit(predictions: Sequence[Prediction], group: Sequence[int], rehearsal: Rehearsal | None) -> Iterator[_Row]:
    """As `extrapolated_rows` has the risk at the last step."""
    of = [predictions[a] for a in group]
    if not all(p.random[-1] for p in of):
        return
    weights = richardson.weights([p.model.schedule.size for p in of])
    arm, step = "all" if len(of) == len(predictions) else ",".join(p.model.arm for p in of), int(of[0].steps[-1])
    pilot = abs(float(weights @ [0.0 if p.pilot is None else p.pilot.relative(p) for p in of]))
    if rehearsal is None or not np.isfinite(rehearsal.risk[list(group), :, -1]).all():
        apart = math.sqrt(
            sum(float(w * w * p.risk_variance[-1] / p.risk[-1] ** 2) for w, p in zip(weights, of, strict=True))
        )
        yield _Row(arm, f"risk {LIMIT} (at most)", step, 1.0, apart, False, pilot=pilot)
        return
    each = weights @ np.stack([rehearsal.risk[a, :, -1] / p.risk[-1] for a, p in zip(group, of, strict=True)])
    yield _Row(arm, f"risk {LIMIT}", step, 1.0, math.nan, False, each, pilot)


def _replicates(one: float) -> int:
    """Replicates for a relative error of 1 %, from that of one replicate."""
    return math.ceil((one / 0.01) ** 2)

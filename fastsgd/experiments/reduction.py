"""Remark 9.1: designs that lower the covariance of a mini-batch gradient, and what this does to the plateau."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fastsgd.analysis.arms import paired_row
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.time_averages import Averages, predicted_average
from fastsgd.analysis.zscores import z_sample_mean
from fastsgd.experiments import pictures
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.controls import each_arm
from fastsgd.experiments.rows import certain, from_analysis
from fastsgd.experiments.view import View
from fastsgd.theory import comparison, lyapunov, richardson

Array = NDArray[np.float64]
NEWSVENDOR = Part("reduction-newsvendor", {"quick": {"replicates": 200}})
POOL = Part("reduction-pool", {"quick": {"replicates": 256}})
PARTS = ((NEWSVENDOR, "newsvendor"), (POOL, "pool"))
LIMIT, DIRECTION, ORDER = " (step size -> 0)", "variance ratio, direction", "S' <= S where G' <= G"
ROUNDING = 1e-10


@dataclass(frozen=True)
class Design:
    """The arms of one sampling design.

    Attributes:
        arm: name of its first arm, the one with the largest step.
        predictions: one a step size. averages: time-averaged risk float64[J, R]. expected: of each, float64[J].
        exact: `expected` has no bias in the step size.
    """

    arm: str
    predictions: tuple[Prediction, ...]
    averages: Array
    expected: Array
    exact: bool

    @property
    def sizes(self) -> Array:
        """Step sizes float64[J]."""
        return np.array([p.model.schedule.size for p in self.predictions])

    @property
    def relative(self) -> Array:
        """Measured over predicted risk of each replicate, float64[R]: of mean 1, extrapolated to step size 0 if not exact."""
        each = self.averages / self.expected[:, None]
        return each[0] if self.exact else richardson.weights(self.sizes) @ each

    @property
    def level(self) -> float:
        """The plateau that ratios are of: exact, or leading order at the largest step."""
        leading = self.predictions[0].plateau()[1]
        return float(self.expected[0]) if self.exact or leading is None else leading

    @property
    def testable(self) -> bool:
        """Exact, or at step sizes enough to extrapolate."""
        return self.exact or len(self.predictions) > 1


def designs(view: View, case: Case) -> list[Design]:
    """The arms of a run, those that differ in their step size only together; the first design is the reference."""
    groups: dict[str, list[tuple[Prediction, Array, float]]] = {}
    for prediction in view.predictions(case):
        seen, law = Averages.of(case.run, prediction.model.arm), predicted_average(prediction)
        if seen is not None and law is not None and seen.whole:
            groups.setdefault(_key(case, prediction.model.arm), []).append((prediction, seen.risk, float(law["risk"])))
    found = []
    for members in groups.values():
        members.sort(key=lambda member: -member[0].model.schedule.size)
        predictions, risks, expected = zip(*members, strict=True)
        exact = all(p.exact for p in predictions)
        found.append(Design(predictions[0].model.arm, predictions, np.stack(risks), np.array(expected), exact))
    return found


def _key(case: Case, arm: str) -> str:
    """What the arms of one design share, as they were run: everything but the step size."""
    content = dict(case.spec.arm_specs()[arm].canonical())
    content["step"] = {key: value for key, value in content["step"].items() if key != "size"}
    return json.dumps(content, sort_keys=True)


def analyse(view: View) -> list[Row]:
    """Plateau of the first design, of every other one relative to it; variances by direction; the order of covariances."""
    return list(_rows(view))


def _rows(view: View, exchanged: Part | None = None) -> Iterator[Row]:
    for part, word in PARTS:
        for case in view.of(part):
            found = designs(view, case)
            first, *others = _exchanged(found) if part == exchanged else found
            limit = "" if first.exact else LIMIT
            error, z = z_sample_mean(first.relative, 1.0)
            value, level = float(np.mean(first.relative)), first.level
            yield Row(
                f"plateau{limit}", f"{word}, {first.arm}", level * value, level * error, level, z,
                first.predictions[0].plateau()[1], tested=first.testable,
            )  # fmt: skip
            for other in others:
                where = f"{word}, {other.arm}/{first.arm}"
                yield ratio(first, other, where)
                if first.exact and other.exact:
                    yield from _directions(view, case, first, other, where)
                if comparison.loewner_below(other.predictions[0].sigma, first.predictions[0].sigma):
                    yield certain(ORDER, where, float(_order_kept(first, other)), 1.0)


def ratio(first: Design, other: Design, where: str) -> Row:
    """Plateau of a design over that of the first, replicate by replicate: they share their draws."""
    rho = other.level / first.level
    limit = "" if first.exact else LIMIT
    row = paired_row("", "", None, rho * other.relative, first.relative, rho)
    lead = [d.predictions[0].plateau()[1] for d in (other, first)]
    leading = lead[0] / lead[1] if lead[0] and lead[1] else None
    tested = first.testable and other.testable
    return from_analysis(row).but(quantity=f"plateau ratio{limit}", where=where, leading=leading, tested=tested)


def _directions(view: View, case: Case, first: Design, other: Design, where: str) -> Iterator[Row]:
    """v'S'v / v'Sv at the last step along the generalised eigenvectors of (S', S): all below 1 iff S' < S."""
    upper, lower = first.predictions[0], other.predictions[0]
    values, vectors = linalg.eigh(lower.covariance[-1], upper.covariance[-1])
    final = {p.model.arm: o.final for p, o in zip(view.predictions(case), view.observed(case), strict=True)}
    for k, value in enumerate(values):
        top, bottom = ((final[d.arm] @ vectors[:, k]) ** 2 for d in (other, first))
        row = from_analysis(paired_row("", "", None, top, bottom, float(value)))
        # The others share their replicates with it; the largest one decides the order.
        tested = row.tested and k == len(values) - 1
        yield row.but(quantity=f"{DIRECTION} {k + 1}", where=where, tested=tested)


def _order_kept(first: Design, other: Design) -> bool:
    """S' <= S in Loewner order and tr(F S') <= tr(F S), which G' <= G implies; noise of the optimum, largest step."""
    a, b = first.predictions[0], other.predictions[0]
    model, eta = a.model, a.model.largest_eta
    found = comparison.reduction(model.metric, model.drift, a.sigma, b.sigma, eta)
    size = float(np.linalg.norm(lyapunov.discrete_stationary(model.drift, a.sigma, eta), 2))
    return found.covariance_smallest >= -ROUNDING * size and found.risk_ratio <= 1 + ROUNDING


def notes(view: View) -> Sequence[str]:
    """The Loewner order of every pair, and what common draws are worth."""
    found = []
    for part, word in PARTS:
        for case in view.of(part):
            first, *others = designs(view, case)
            found += [f"{word}: {_order_text(one, other)}" for one, other in _pairs([first, *others])]
            found += [f"{word}, {_gain(first, other)}" for other in others]
    return found


def _pairs(found: Sequence[Design]) -> Iterator[tuple[Design, Design]]:
    return ((one, other) for k, one in enumerate(found) for other in found[k + 1 :])


def _order_text(one: Design, other: Design) -> str:
    above, below = one.predictions[0].sigma, other.predictions[0].sigma
    shares = linalg.eigh(below, above, eigvals_only=True)
    order = f"from {shares[0]:.4g} to {shares[-1]:.4g} of that of {one.arm} by direction"
    if comparison.loewner_below(below, above):
        return f"the covariance of {other.arm} is {order}: below it in Loewner order"
    if comparison.loewner_below(above, below):
        return f"the covariance of {other.arm} is {order}: above it in Loewner order"
    words = "lower" if other.level < one.level else "higher"
    return f"the covariance of {other.arm} is {order}: not ordered, though its plateau is {words}"


def _gain(first: Design, other: Design) -> str:
    """Standard error of the ratio on common draws against that of independent ones, from the same replicates."""
    a, b = other.relative / np.mean(other.relative), first.relative / np.mean(first.relative)
    share = float(np.sqrt(np.var(a - b) / (np.var(a) + np.var(b))))
    return f"{other.arm}: on common draws its ratio has {share:.3f} of the standard error of independent draws"


def draw(view: View) -> Drawn:
    """Left: plateau ratios of the simulated problem against the step size. Right: plateau and variances on the pool."""
    figure, axes = pictures.sheet(1, 2, (7.4, 3.6))
    left, right = axes[0]
    drawn = Drawn(
        figure,
        "Left: plateau of each design of the newsvendor over that of its first design; lines: frozen noise, which is met in "
        "the limit of step size 0, extrapolated at 0. Right: on a pool, the plateau ratio and the ratio of variances in each "
        "direction (generalised eigenvectors). Bars: two standard errors.",
    )
    for case in view.of(NEWSVENDOR):
        first, *others = designs(view, case)
        for index, other in enumerate(others):
            _against_steps(drawn, left, index, first, other)
    for case in view.of(POOL):
        first, *others = designs(view, case)
        for index, other in enumerate(others):
            rows = [ratio(first, other, ""), *_directions(view, case, first, other, "")]
            x = np.arange(len(rows)) + 0.08 * (index - (len(others) - 1) / 2)
            value, error, expected = _columns(rows)
            pictures.series(drawn, right, "pool", index, _words(other.arm), x, value, error, expected)
            right.set_xticks(np.arange(len(rows)), ["plateau", *(f"{k}" for k in range(1, len(rows)))])
    left.set_xlabel("step size")
    right.set_xlabel("plateau; variance in direction")
    for axis, part in ((left, NEWSVENDOR), (right, POOL)):
        axis.axhline(1.0, color="grey", linewidth=0.9, linestyle=":")
        axis.set_ylim(0, 1.3)
        cases = view.of(part)
        if cases:
            axis.set_ylabel(f"ratio to {_words(designs(view, cases[0])[0].arm)}")
            pictures.legend(axis, loc="upper center", columns=2, fontsize=7)
    return drawn


def _against_steps(drawn: Drawn, axis: object, index: int, first: Design, other: Design) -> None:
    rows = [ratio(first, other, "")]
    for j in range(len(other.predictions)):
        rho = float(other.expected[j] / first.expected[j])
        rows.append(from_analysis(paired_row("", "", None, other.averages[j], first.averages[j], rho)))
    value, error, expected = _columns(rows)
    x = np.array([0.0, *other.sizes])
    order = np.argsort(x)
    pictures.series(
        drawn, axis, "newsvendor", index, _words(other.arm), x[order], value[order], error[order], expected[order]
    )


def _columns(rows: Sequence[Row]) -> tuple[Array, Array, Array]:
    value, error, expected = (
        np.array([getattr(r, n) for r in rows]) for n in ("empirical", "standard_error", "predicted")
    )
    return value, error, expected


def _words(arm: str) -> str:
    return arm.replace("_", " ")


def _all_as_first(part: Part) -> Callable[[Case], Sequence[str]]:
    """Every arm of a part predicted with the sampling of the first."""

    def assume(case: Case) -> Sequence[str]:
        if case.part != part.spec:
            return []
        first = next(iter(case.spec.arm_specs().values())).sampling.design
        return each_arm(case, lambda spec: f"sampling.design={first}" if spec.sampling.design != first else None)

    return assume


def _exchanged(found: Sequence[Design]) -> list[Design]:
    """Every design but the first with the prediction of the next one, where their step sizes are the same."""
    first, *others = found
    pairs = zip(others, [*others[1:], *others[:1]], strict=True)
    return [first, *(_under(a, b) if np.array_equal(a.sizes, b.sizes) else a for a, b in pairs)]


def _under(design: Design, other: Design) -> Design:
    return replace(design, predictions=other.predictions, expected=other.expected)


def _strata_ignored(case: Case) -> Sequence[str]:
    """Strata predicted as draws without replacement from the whole pool."""
    return each_arm(
        case, lambda spec: "sampling.design=without-replacement" if spec.sampling.design == "stratified" else None
    )


CONTROLS = (
    Control("newsvendor: no reduction", "every design predicted with the covariance of fresh samples",
            assume=_all_as_first(NEWSVENDOR)),
    Control("newsvendor: exchanged", "antithetic pairs predicted as control variates and the other way round",
            rows=lambda v: list(_rows(v, exchanged=NEWSVENDOR))),
    Control("pool: no reduction", "every design predicted with the covariance of draws with replacement",
            assume=_all_as_first(POOL)),
    Control("pool: exchanged", "every design but the first predicted with the covariance of the next one",
            rows=lambda v: list(_rows(v, exchanged=POOL))),
    Control("strata ignored", "a stratified batch predicted as one without replacement", assume=_strata_ignored),
)  # fmt: skip

ENTRY = Entry(
    name="reduction",
    title="Variance reduction",
    paper="Remark 9.1",
    claim="A design whose mini-batch covariance is below that of another in Loewner order has the lower stationary "
    "covariance, and its plateau is lower by a factor that the covariances predict.",
    ran="A newsvendor with fresh samples, antithetic pairs and control variates at several step sizes, extrapolated to 0; "
    "least squares on a pool with batches with and without replacement, stratified and by importance, against exact plateaus. "
    "All designs of a problem share their draws.",
    dear_plan=True,
    parts=(NEWSVENDOR, POOL),
    analyse=analyse,
    draw=draw,
    controls=CONTROLS,
    notes=notes,
)

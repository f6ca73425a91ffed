"""Experiment 6, Figure 9: risk / tau against eta k falls on one curve for all step sizes and batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Drawn, Entry, Part, Row
from fastsgd.experiments.rows import risk_rows
from fastsgd.experiments.view import View

STEPS = {"0.0001": 64, "0.0003": 100, "0.001": 200, "0.003": 400}  # replicates at quick: long cells get few
PARTS = tuple(Part(f"collapse-{size}", {"quick": {"replicates": r}}, split=True) for size, r in STEPS.items())
TESTED_APART = 3.5  # ratio of eta k between tested risks of a cell, from which on they are nearly independent


def _cases(view: View) -> Iterator[Case]:
    for part in PARTS:
        yield from view.of(part)


def _name(case: Case) -> str:
    return f"eta = {case.spec.step.size:g}, b = {case.spec.sampling.batch}"


def _scaled(view: View, case: Case) -> list[tuple[float, Row]]:
    """(eta k, row of risk / tau) at every recorded step; the leading order is the plateau tr(F S)/tau."""
    (prediction,), (seen,) = view.predictions(case), view.observed(case)
    eta, tau = case.spec.step.size, case.spec.step.size / case.spec.sampling.batch
    steps = prediction.steps[prediction.random]
    return [
        (float(eta * step), _over(row, tau, f"{_name(case)}, eta k = {eta * step:.3g}"))
        for row, step in zip(risk_rows(prediction, seen), steps, strict=True)
    ]


def _over(row: Row, tau: float, where: str) -> Row:
    return row.but(
        quantity=row.quantity.replace("risk", "risk / tau"), where=where, empirical=row.empirical / tau,
        standard_error=row.standard_error / tau, predicted=row.predicted / tau,
        leading=None if row.leading is None else row.leading / tau,
    )  # fmt: skip


def analyse(view: View) -> list[Row]:
    """risk / tau of every cell at times far apart, and its time average on the plateau."""
    return list(_rows(view))


def _rows(view: View) -> Iterator[Row]:
    together = []
    for case in _cases(view):
        tested = np.inf
        found = []
        for time, row in reversed(_scaled(view, case)):
            apart = time * TESTED_APART <= tested
            tested = time if apart else tested
            found.append(row.but(tested=row.tested and apart))
        yield from reversed(found)
        tau = case.spec.step.size / case.spec.sampling.batch
        (prediction,) = view.predictions(case)
        for row in view.averages(case):
            if row.quantity == "time-averaged risk":
                together.append(row)
                yield _over(row.but(leading=prediction.plateau()[1]), tau, _name(case))
    if len(together) > 1:
        yield _all_cells(together)


def _all_cells(rows: Sequence[Row]) -> Row:
    """Measured over predicted plateau of all cells, whose draws are their own, weighted by their precision."""
    precision = np.array([row.predicted / row.standard_error for row in rows])
    ratio, z = np.array([row.empirical / row.predicted for row in rows]), np.array([row.z for row in rows])
    error = 1 / float(np.linalg.norm(precision))
    value = float(np.sum(precision**2 * ratio)) * error**2
    return Row(
        "time-averaged risk / prediction", "all cells", value, error, 1.0, float(precision @ z) * error,
        tested=all(row.tested for row in rows),
    )  # fmt: skip


def draw(view: View) -> Drawn:
    """All cells in one panel, and each over its own exact prediction below."""
    figure, axes = pictures.sheet(2, 1, (6.6, 6.4), sharex=True, height_ratios=(1.5, 1))
    top, below = axes[:, 0]
    drawn = Drawn(
        figure, "risk / tau against eta k: exact lines of the cells, markers measured, plateau at leading order."
    )
    cases = list(_cases(view))
    dodges = np.geomspace(0.88, 1.14, len(cases))
    sizes = sorted({case.spec.step.size for case in cases})
    least = min(case.spec.sampling.batch for case in cases)
    for case, dodge in zip(cases, dodges, strict=True):
        index, second = sizes.index(case.spec.step.size), case.spec.sampling.batch > least
        found = _scaled(view, case)
        time = np.array([t for t, _ in found])
        value, error, expected = (
            np.array([getattr(r, n) for _, r in found]) for n in ("empirical", "standard_error", "predicted")
        )
        eta, tau = case.spec.step.size, case.spec.step.size / case.spec.sampling.batch
        line = np.unique(np.rint(np.geomspace(max(1, 0.005 / eta), case.spec.horizon, 100)).astype(np.int64))
        (path,) = view.predictions(case, line.tolist())
        pictures.series(
            drawn,
            top,
            "risk / tau",
            index,
            _name(case),
            time,
            value,
            error,
            expected,
            (eta * line, path.risk / tau),
            dodge,
            second,
        )
        pictures.series(
            drawn, below, "ratio", index, _name(case), time, value / expected, error / expected, np.ones(len(time)),
            (time, np.ones(len(time))), dodge, second,
        )  # fmt: skip
    (first,) = view.predictions(cases[0])
    leading = first.plateau()[1]
    if leading is not None:
        tau = cases[0].spec.step.size / cases[0].spec.sampling.batch
        top.axhline(leading / tau, color="black", linewidth=1.0, label="plateau at leading order")
    top.set_xscale("log")
    top.set_ylabel(r"risk / $\tau$")
    below.set_xlabel(r"$\eta k$")
    below.set_ylabel("measured / predicted")
    pictures.legend(top, 2, loc="lower right", fontsize=7)
    return drawn


def _notes(view: View) -> list[str]:
    taus = [case.spec.step.size / case.spec.sampling.batch for case in _cases(view)]
    return [
        f"tau = eta/b from {min(taus):.3g} to {max(taus):.3g}, a factor {max(taus) / min(taus):.3g}. What the cells differ "
        "by at finite step is in their exact predictions; the leading order is the same for all."
    ]


ENTRY = Entry(
    name="collapse",
    title="Collapse on the scale of tau",
    paper="Exp 6, Fig 9",
    claim="Risk divided by tau = eta/b, against eta k, falls on one curve with the plateau tr(G)/2 for tau over two orders of "
    "magnitude.",
    ran="Direct SGD on the surrogate from the optimum in cells of eta and b, draws of their own; risks at the same "
    "eta k, time averages on the plateau.",
    parts=PARTS,
    analyse=analyse,
    draw=draw,
    controls=(controls.wrong_step(), controls.one_more()),
    notes=_notes,
)

"""Lemma 4.1, Proposition 4.5, equation (22): the covariance of a mini-batch gradient, given the pool, the law, nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.zscores import z_exact, z_sample_mean
from fastsgd.experiments import pictures
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.scores import Second, batch_scores, covariance_rows, once
from fastsgd.experiments.sequences import Law, law_of, sequences
from fastsgd.experiments.view import View
from fastsgd.theory import conditioning

Array = NDArray[np.float64]
SMALL = Part("conditioning-small", {"large": {"replicates": 10_000_000}})
POOL = Part("conditioning-pool", {"large": {"replicates": 2_000_000}})
SHARE = 4  # one sequence of its own for so many draws from the fixed pool
LEVEL = "given the pool (i)"
ROUNDING = 1e-13

Factor = Callable[[int, int], float]


def lemma(batch: int, n: int) -> float:
    """f of Lemma 4.1 with S_n normalised by n."""
    return conditioning.without_replacement_factor(batch, n)


def analyse(view: View) -> list[Row]:
    """Level (i) of every run; (22), levels (ii) and (iii) from exchangeable sequences."""
    return list(_rows(view, lemma))


def _rows(view: View, factor: Factor, more: int = 0, spread: bool = True) -> Iterator[Row]:
    """`factor`, `more` (added to the batch), `spread` (variance between measures) are what controls alter."""
    for part in (SMALL, POOL):
        for case in view.of(part):
            yield from _level_one(view, case, factor, more)
    first = next((c for c in view.of(SMALL) if c.spec.sampling.design == "without-replacement"), None)
    if first is not None:
        yield from _sequence_rows(first, more, spread)


def _level_one(view: View, case: Case, factor: Factor, more: int) -> Iterator[Row]:
    (model,) = view.models(case)
    n, batch, design = model.pool_size or 0, case.spec.sampling.batch, case.spec.sampling.design
    where = place(case)
    if batch == n and design == "without-replacement":
        largest = once(case, "largest", lambda: float(np.max(np.mean(batch_scores(view, case) ** 2, axis=0))))
        floor = ROUNDING**2 * float(np.trace(model.noise) + np.trace(model.hessian) ** 2 * np.max(model.optimum**2))
        z = 0.0 if largest <= floor else z_exact(largest, 0.0, floor)
        yield Row(f"variance {LEVEL}", f"{where}, largest", largest, 0.0, 0.0, z)
        return
    seen = once(case, "second", lambda: Second.of(batch_scores(view, case), model.noise / batch))
    scale = 1 / (batch + more) if design == "with-replacement" else factor(min(batch + more, n), n)
    yield from covariance_rows(LEVEL, where, seen, model.noise * scale, model.noise / batch)


def place(case: Case) -> str:
    """n, b and design in words."""
    word = "" if case.spec.sampling.design == "without-replacement" else ", with replacement"
    return f"n = {case.spec.problem.data.generate.samples}, b = {case.spec.sampling.batch}{word}"


def _sequence_rows(case: Case, more: int, spread: bool) -> Iterator[Row]:
    """Rows of `SHARE` of the run's number of replicates as sequences, a fresh pool each."""
    spec = case.spec
    law, n, batch, where = law_of(spec), spec.problem.data.generate.samples, spec.sampling.batch, place(case)
    found = once(case, "sequences", lambda: _levels(case))
    for m, G in enumerate(law.covariances):
        parts, at = conditioning.decomposition(G, batch + more, n), f"{where}, law {m + 1}"
        yield from covariance_rows("within pools (22)", at, found["within", m], parts.within)
        yield from covariance_rows("between pools (22)", at, found["between", m], parts.between)
        sizes = found["sum", m] * (batch + more)
        error, z = z_sample_mean(sizes, 1.0)
        yield Row("within + between pools (22), of G/b", at, float(np.mean(sizes)), error, 1.0, z)
        given = conditioning.given_measure(G, batch + more)
        yield from covariance_rows("given the law (ii)", at, found["given", m], given)
    total = _total(law, batch + more, spread)
    yield from covariance_rows("unconditional (iii)", where, found["total", 0], total, _total(law, batch, False))


def _total(law: Law, batch: int, spread: bool) -> Array:
    """Proposition 4.5 (iii); without the variance between laws E[G]/b."""
    if spread:
        return conditioning.unconditional(law.covariances, law.means, batch)
    result: Array = law.covariances.mean(axis=0) / batch
    return result


def _levels(case: Case) -> dict[tuple[str, int], Any]:
    """Second moments of the draws of every level; sequences of their own for (22), (ii) and (iii)."""
    spec = case.spec
    drawn, law = sequences(spec, max(int(case.run.replicates) // SHARE, 100)), law_of(spec)
    n, batch = spec.problem.data.generate.samples, spec.sampling.batch
    use = np.arange(len(drawn.measure)) % 4  # 0, 1: equation (22); 2: (ii); 3: (iii)
    found: dict[tuple[str, int], Any] = {}
    for m, G in enumerate(law.covariances):
        parts = conditioning.decomposition(G, batch, n)
        pairs, alone = (use < 2) & (drawn.measure == m), (use == 2) & (drawn.measure == m)
        differences = (drawn.batches[pairs, 0] - drawn.batches[pairs, 1]) / np.sqrt(2.0)
        found["within", m] = Second.of(differences, parts.within)
        between = drawn.pool[pairs] - law.means[m]
        found["between", m] = Second.of(between, parts.between)
        # tr(G^-1 (within + between))/d of every sequence: 1/b in the mean, whatever n.
        root = np.linalg.inv(np.linalg.cholesky(G)).T
        found["sum", m] = np.mean((differences @ root) ** 2 + (between @ root) ** 2, axis=1)
        given = conditioning.given_measure(G, batch)
        found["given", m] = Second.of(drawn.batches[alone, 0] - law.means[m], given)
    rest = drawn.batches[use == 3, 0] - law.means.mean(axis=0)
    found["total", 0] = Second.of(rest, _total(law, batch, True))
    return found


def notes(view: View) -> Sequence[str]:
    """How far the two finite-population factors are apart on the small pool."""
    found = []
    for case in view.of(SMALL):
        n, b = case.spec.problem.data.generate.samples, case.spec.sampling.batch
        if case.spec.sampling.design == "without-replacement" and b < n:
            found += _apart(view, case, n, b)
    return found


def _apart(view: View, case: Case, n: int, b: int) -> list[str]:
    (model,) = view.models(case)
    values = batch_scores(view, case)
    white = np.linalg.solve(np.linalg.cholesky(model.noise / b), values.T)
    sizes = np.mean(white**2, axis=0)
    count = len(sizes)
    value, error = float(np.mean(sizes)), float(np.std(sizes, ddof=1)) / np.sqrt(count)
    right, wrong = (n - b) / (n - 1), (n - b) / n
    return [
        f"Pool of {n}, b = {b}, {count} draws: b times the covariance is {value:.5f} +- {error:.5f} of S_n; "
        f"(n-b)/(n-1) = {right:.5f} is {abs(value - right) / error:.1f} standard errors away, (n-b)/n = {wrong:.5f} is "
        f"{abs(value - wrong) / error:.1f} away; the two are {abs(right - wrong) / error:.1f} standard errors apart."
    ]


def draw(view: View) -> Drawn:
    """Left: b tr Cov / tr S_n against b/n on the line (n-b)/(n-1). Right: the parts of (22)."""
    figure, axes = pictures.sheet(1, 2, (7.4, 3.6))
    left, right = axes[0]
    drawn = Drawn(
        figure,
        "Covariance of a mini-batch gradient given the pool (left) and over pools (right); bars: two standard errors.",
    )
    _draw_level_one(view, drawn, left)
    rows = [row for row in analyse(view) if "(22)" in row.quantity or "(ii)" in row.quantity or "(iii)" in row.quantity]
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if row.predicted and row.quantity.startswith("variance"):
            kinds.setdefault(row.quantity.removeprefix("variance "), []).append(row)
    for index, (kind, found) in enumerate(kinds.items()):
        x, y, e = (np.array([getattr(r, k) for r in found]) for k in ("predicted", "empirical", "standard_error"))
        order = np.argsort(x)
        pictures.series(drawn, right, "levels", index, kind, x[order], y[order], e[order], x[order])
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("predicted variance")
    right.set_ylabel("measured variance")
    pictures.legend(right, fontsize=7)
    return drawn


def _draw_level_one(view: View, drawn: Drawn, axis: Any) -> None:
    for index, (part, design) in enumerate(
        ((POOL, "without-replacement"), (SMALL, "without-replacement"), (SMALL, "with-replacement"))
    ):
        cases = [c for c in view.of(part) if c.spec.sampling.design == design]
        if not cases:
            continue
        x, y, e, p = [], [], [], []
        for case in cases:
            (model,) = view.models(case)
            n, b = model.pool_size or 0, case.spec.sampling.batch
            sizes = np.sum(batch_scores(view, case) ** 2, axis=1) * (b / np.trace(model.noise))
            x.append(b / n)
            y.append(float(np.mean(sizes)))
            e.append(float(np.std(sizes, ddof=1)) / np.sqrt(len(sizes)))
            p.append(1.0 if design == "with-replacement" else b * lemma(b, n))
        size = cases[0].spec.problem.data.generate.samples
        grid = np.linspace(1 / size, 1, 200)
        line = np.ones(200) if design == "with-replacement" else (1 - grid) * size / (size - 1)
        word = "with replacement" if design == "with-replacement" else "without"
        pictures.series(drawn, axis, "given the pool", index, f"n = {size}, {word}", x, y, e, p, (grid, line))
    axis.set_xlabel("b / n")
    axis.set_ylabel(r"$b\,\mathrm{tr\,Cov}(\bar g)\,/\,\mathrm{tr}\,S_n$")
    pictures.legend(axis, fontsize=7)


def infinite(batch: int, n: int) -> float:
    """1/b: no finite-population factor."""
    return 1 / batch


def other_normalisation(batch: int, n: int) -> float:
    """(n-b)/n in the place of (n-b)/(n-1): the factor that belongs to the other S_n (Remark 4.2)."""
    return (1 - batch / n) / batch


CONTROLS = (
    Control("no pool factor", "covariance S_n/b, no finite-population factor", rows=lambda v: list(_rows(v, infinite))),
    Control(
        "(n-b)/n", "the factor (n-b)/n with S_n normalised by n", rows=lambda v: list(_rows(v, other_normalisation))
    ),
    Control("b + 1", "predicted with b + 1 in the place of the batch b", rows=lambda v: list(_rows(v, lemma, more=1))),
    Control(
        "no variance between laws", "unconditional covariance E G/b, without Cov(E g | law)",
        rows=lambda v: list(_rows(v, lemma, spread=False)),
    ),
)  # fmt: skip

ENTRY = Entry(
    name="conditioning",
    title="Three levels of conditioning",
    paper="Lemma 4.1, Prop 4.5, (22)",
    claim="Given the pool the covariance of a mini-batch gradient has the finite-population factor; over pools the variance "
    "within and between them adds up to G/b; without identifiability the variance between laws comes on top.",
    ran="Mini-batch gradients at the optimum of least squares, a run of one step a draw: a small and a larger pool, with and "
    "without replacement, up to the whole pool. Exchangeable sequences, each with a pool and a law, for (22), (ii), (iii).",
    dear_plan=True,
    parts=(SMALL, POOL),
    analyse=analyse,
    draw=draw,
    controls=CONTROLS,
    notes=notes,
)

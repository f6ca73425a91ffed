"""Sections 1.1, 9.2, 9.4: a budget of oracle calls planned from H and G, and the same budget simulated.

A nonlinear problem at (b, eta, T) leaves the frozen-noise risk by O(Delta^2). At a budget m N with batches m b, the same eta
and T, and a start m times closer in variance, Delta is m^-1/2 times as large and the frozen-noise risk m^-1 times, for every
eta, however large; a start of symmetric law leaves no odd power. Measured/predicted is then a smooth function of 1/m that is
1 at 0: two budgets extrapolate to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.budget import Surface, budget
from fastsgd.analysis.zscores import z_sample_mean
from fastsgd.errors import InputError
from fastsgd.experiments import pictures
from fastsgd.experiments.base import FALSE_ALARM, Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.controls import PER_CENT
from fastsgd.experiments.memory import memory
from fastsgd.experiments.rows import certain
from fastsgd.experiments.scores import once
from fastsgd.experiments.view import View
from fastsgd.theory import lyapunov, richardson
from fastsgd.theory.statistics import sidak_z

Array = NDArray[np.float64]
Predict = Callable[[View, Case], float]
HALF = 0.5  # of the edge of stability 2/lambda_max: steps up to 1/lambda_max, as Theorem 7.3 has them


def cells(spec: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """A run for every batch, multiple of its planned step size (the sweep) and budget (record.steps)."""
    base, budgets = spec.without_sweep(), sorted(spec.record_steps())
    if base.start.kind != "gaussian" or len(budgets) < 2 or any(N % budgets[0] for N in budgets):
        raise InputError('planning needs start.kind = "gaussian" and record.steps of N and multiples of it')
    plan = budget(base, budgets[0], spec.sweep_axes["sampling.batch"])
    limits = dict(zip(plan.batches.tolist(), plan.stable.tolist(), strict=True))
    found: list[tuple[str, Mapping[str, Any]]] = []
    for choice in plan.choices:
        for times in spec.sweep_axes["step.size"]:
            size = float(f"{times * choice.size:.3g}")
            if size > HALF * limits[choice.batch]:
                continue
            for N in budgets:
                m = N // budgets[0]
                changes = {
                    "sampling.batch": m * choice.batch,
                    "step.size": size,
                    "start.scale": base.start.scale / math.sqrt(m),
                    "record.steps": [choice.steps],
                }
                found.append((f"N={N},b={m * choice.batch},eta={size:g}", changes))
    return found


QUICK = {"replicates": 200}
PARTS = (
    Part("planning-newsvendor", {"quick": QUICK}, cells=cells),
    Part("planning-logistic", {"quick": QUICK}, cells=cells),
    Part("planning-queue", {"quick": QUICK}, cells=cells),
)
NAMES = {
    "planning-newsvendor": "newsvendor",
    "planning-logistic": "logistic, real data",
    "planning-queue": "queue",
}


def cell(case: Case) -> tuple[int, int, float]:
    """(N, b, eta) of a run, from its label."""
    N, b, eta = (part.partition("=")[2] for part in case.label.split(","))
    return int(N), int(b), float(eta)


def groups(view: View, part: Part) -> dict[tuple[int, float], list[Case]]:
    """(b, eta) at the smallest budget -> its runs, the smallest budget first."""
    cases = view.of(part)
    least = min((cell(case)[0] for case in cases), default=1)
    found: dict[tuple[int, float], list[Case]] = {}
    for case in sorted(cases, key=lambda one: cell(one)[0]):
        N, b, eta = cell(case)
        found.setdefault((b * least // N, eta), []).append(case)
    return found


def planned(view: View, case: Case) -> float:
    """The risk that `plan --budget` predicts for a run, from the matrices in its file."""
    return float(once(case, "planned", lambda: _planned(view, case)))


def _planned(view: View, case: Case) -> float:
    (model,) = view.models(case)
    calls = model.spec.sampling.batch * int(case.run.steps[-1])
    return Surface(model, calls).risk(model.spec.sampling.batch, model.schedule.size)


def at_budget(view: View, case: Case) -> Array:
    """Risk of every replicate at the end of the budget, float64[R]."""
    return np.asarray(view.observed(case)[0].risk[:, -1])


def pilot_error(view: View, case: Case) -> float:
    """Standard error of the planned risk over it, from the pilot sample that G comes from; 0 for a G known exactly."""
    error = case.run.problem(case.run.arms[0]).get("noise_error")
    return 0.0 if error is None else float(once(case, "pilot", lambda: _pilot_error(view, case, np.asarray(error))))


def _pilot_error(view: View, case: Case, error: Array) -> float:
    """The risk is linear in G, whose entries on the diagonal have independent errors (separate queues)."""
    start = _noiseless(view, case)
    shares = [_altered(view, case, partial(_only, error, j)) - start for j in range(len(error))]
    return float(np.linalg.norm(shares)) / planned(view, case)


def _only(error: Array, j: int, _: Array) -> Array:
    """The error of G_jj alone."""
    alone = np.zeros_like(error)
    alone[j, j] = error[j, j]
    return alone


def limit(view: View, cases: Sequence[Case], predict: Predict) -> Array:
    """Measured over predicted risk in the limit of large budgets, float64[R]; runs of different seeds paired at random."""
    weights = richardson.weights([1 / cell(case)[0] for case in cases])
    each = [at_budget(view, case) / predict(view, case) for case in cases]
    count = min(len(one) for one in each)
    return np.asarray(sum(w * one[:count] for w, one in zip(weights, each, strict=True)))


def analyse(view: View) -> list[Row]:
    """Every (b, eta) against its planned risk, all together, and the planned best against all others."""
    return list(_rows(view, planned))


def _rows(view: View, predict: Predict, choice: bool = True, steps: float = 1.0) -> Iterator[Row]:
    for part in PARTS:
        found, values = groups(view, part), {}
        for (b, eta), cases in found.items():
            where = f"{NAMES[part.spec]}, b = {b}, step {eta:g}"
            values[b, eta] = ratio = limit(view, cases, predict)
            yield _row("risk / planned (N -> inf)", where, ratio, pilot_error(view, cases[0]))
            N = cell(cases[0])[0]
            plain = at_budget(view, cases[0]) / predict(view, cases[0])
            yield _row(f"risk / planned at N = {N}", where, plain, 0.0).but(tested=False)
        if not found:
            continue
        count = min(len(one) for one in values.values())
        together = np.mean([one[:count] for one in values.values()], axis=0)
        own = float(np.mean([pilot_error(view, cases[0]) for cases in found.values()]))
        mean = _row("risk / planned (N -> inf)", f"{NAMES[part.spec]}, mean of all", together, own)
        yield mean.but(tested=False)  # its parts are
        yield from _memory(found, view, NAMES[part.spec], steps)
        if choice:
            yield from _best(view, part, predict)


def _memory(found: Mapping[Any, list[Case]], view: View, where: str, steps: float) -> Iterator[Row]:
    """What all (b, eta) of a problem remember of their start over what is planned, in the limit of large budgets."""
    total: Any = 0.0
    sum_of_weights = 0.0
    for cases in found.values():
        weights = richardson.weights([1 / cell(case)[0] for case in cases])
        each = [memory(view, case, steps) for case in cases]
        if all(precision > 0 for _, precision in each):
            count = min(len(values) for values, _ in each)
            value = sum(w * values[:count] for w, (values, _) in zip(weights, each, strict=True))
            own = 1 / sum(w * w / precision for w, (_, precision) in zip(weights, each, strict=True))
            total, sum_of_weights = total + own * value, sum_of_weights + own
    if sum_of_weights:
        yield _row("memory of the start / planned (N -> inf)", f"{where}, all together", total / sum_of_weights, 0.0)


def _row(quantity: str, where: str, ratio: Array, own: float) -> Row:
    error, z = z_sample_mean(ratio, 1.0)
    whole = math.hypot(error, own)
    return Row(quantity, where, float(ratio.mean()), whole, 1.0, z * error / whole if whole else z)


def simulated(view: View, part: Part) -> dict[tuple[int, float], Array]:
    """Risk of every replicate at the budget N in the limit, float64[R], of every (b, eta)."""
    return {key: limit(view, cases, planned) * planned(view, cases[0]) for key, cases in groups(view, part).items()}


def _best(view: View, part: Part, predict: Predict) -> Iterator[Row]:
    """Cells whose simulated risk is below that of the planned best by more than the error: none."""
    found = groups(view, part)
    best = min(found, key=lambda key: predict(view, found[key][0]))
    key = "risks", tuple(found)
    # What was measured does not depend on a control's assumptions.
    risks = once(found[best][0], key, lambda: simulated(view, part))
    far, below = sidak_z(FALSE_ALARM / 10, max(len(found) - 1, 1)), 0
    for other, values in risks.items():
        if other != best:
            count = min(len(values), len(risks[best]))
            below += z_sample_mean(risks[best][:count] - values[:count], 0.0)[1] > far
    yield certain("choices better than the planned one", NAMES[part.spec], float(below), 0.0)


def notes(view: View) -> Sequence[str]:
    """The planned and the simulated best."""
    lines = []
    for part in PARTS:
        found = groups(view, part)
        if not found:
            continue
        risks = simulated(view, part)
        best = min(found, key=lambda key: planned(view, found[key][0]))
        least = min(risks, key=lambda key: float(risks[key].mean()))
        gap = risks[best][: len(risks[least])] - risks[least][: len(risks[best])]
        error = float(gap.std(ddof=1)) / math.sqrt(len(gap))
        lines.append(
            f"{NAMES[part.spec]}: planned best b = {best[0]}, step {best[1]:g}; simulated best b = {least[0]}, step "
            f"{least[1]:g}; their simulated risks differ by {gap.mean():.2g} (standard error {error:.2g}) of "
            f"{risks[best].mean():.3g}."
        )
    return lines


def draw(view: View) -> Drawn:
    """Risk at the budget against the step size, a line a batch."""
    parts = [part for part in PARTS if groups(view, part)]
    figure, axes = pictures.sheet(1, len(parts), (3.4 * len(parts) + 0.6, 3.6))
    drawn = Drawn(
        figure,
        "Risk after a fixed budget of oracle calls against the step size, a line a batch: planned from H and G (lines), "
        "simulated at that budget (markers, two standard errors); star: the planned best.",
    )
    for axis, part in zip(axes[0], parts, strict=True):
        found = groups(view, part)
        for index, batch in enumerate(sorted({b for b, _ in found})):
            cases = [found[key][0] for key in sorted(found) if key[0] == batch]
            x = np.array([cell(case)[2] for case in cases])
            risks = [at_budget(view, case) for case in cases]
            y, e = (
                np.array([r.mean() for r in risks]),
                np.array([r.std(ddof=1) / math.sqrt(len(r)) for r in risks]),
            )
            (model,) = view.models(cases[0])
            surface = Surface(model, cell(cases[0])[0])
            line = np.geomspace(x.min() / 1.5, min(x.max() * 1.3, HALF * surface.edge), 40)
            curve = [surface.risk(batch, eta) for eta in line]
            expected = [planned(view, case) for case in cases]
            pictures.series(drawn, axis, NAMES[part.spec], index, f"b = {batch}", x, y, e, expected, (line, curve))
        best = min(found, key=lambda key: planned(view, found[key][0]))
        axis.plot(
            best[1],
            planned(view, found[best][0]),
            marker="*",
            color="black",
            markersize=14,
            markerfacecolor="none",
            linestyle="none",
        )
        N = cell(found[best][0])[0]
        axis.set_title(f"{NAMES[part.spec]}, N = {N}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("step size")
    axes[0, 0].set_ylabel("risk at the budget")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return drawn


def _altered(view: View, case: Case, noise: Callable[[Array], Array], steps: float = 1.0) -> float:
    """As planned, with another G and a multiple of the step size."""
    (model,) = view.models(case)
    b = model.spec.sampling.batch
    surface = Surface(replace(model, noise=noise(model.noise)), b * int(case.run.steps[-1]))
    return surface.risk(b, steps * model.schedule.size)


def _half_noise(view: View, case: Case) -> float:
    return _altered(view, case, lambda G: 0.5 * G)


def _half_step(view: View, case: Case) -> float:
    return _altered(view, case, lambda G: G, 0.5)


def _isotropic(view: View, case: Case) -> float:
    return _altered(view, case, lambda G: float(np.trace(G)) / len(G) * np.eye(len(G)))


def _stationary(view: View, case: Case) -> float:
    """The plateau of (b, eta), as if the budget were endless."""
    (model,) = view.models(case)
    return lyapunov.stationary_risk(model.metric, model.hessian, model.gradient_covariance(), model.schedule.size)


def _noiseless(view: View, case: Case) -> float:
    """What is left of the start without noise."""
    (model,) = view.models(case)
    _, second = model.start(model.noise)
    steps = int(case.run.steps[-1])
    move = np.linalg.matrix_power(np.eye(model.dimension) - model.schedule.size * model.hessian, steps)
    return float(np.sum(model.metric * (move @ second @ move.T)))


def _under(predict: Predict, choice: bool = False) -> Callable[[View], Sequence[Row]]:
    """Rows with other planned risks; `choice`: the choice that they make too."""
    return lambda view: list(_rows(view, predict, choice))


def _wrong_step(view: View) -> list[Row]:
    wrong = 1 + PER_CENT / 100
    return list(_rows(view, lambda v, case: _altered(v, case, lambda G: G, wrong), False, wrong))


# b + 1 would be no control: what it changes vanishes with 1/N, as frozen noise does.
CONTROLS = (
    Control("step off by 3 %", "planned with a step size 3 % larger than that of the runs", rows=_wrong_step),
    Control("half the noise", "planned with batches twice as large in as many steps", rows=_under(_half_noise)),
    Control("half the step", "planned with half the step size of the runs", rows=_under(_half_step)),
    Control(
        "isotropic surrogate",
        "planned with isotropic noise (tr G / d) I in the place of the anisotropic G",
        rows=_under(_isotropic),
    ),
    Control("endless budget", "planned, and chosen, by the stationary risk", rows=_under(_stationary, choice=True)),
    Control("no noise", "planned by what is left of the start", rows=_under(_noiseless)),
)

ENTRY = Entry(
    name="planning",
    title="Planning a budget",
    paper="Sections 1.1, 9.2, 9.4",
    claim="With H and G at hand, in closed form, from a pool or from a pilot sample, the risk at a fixed budget of oracle "
    "calls is known for every batch and step size before anything is run, and so is the best choice.",
    ran="Newsvendor with correlated demand (closed form), logistic regression on the Wisconsin diagnostic data (pool), "
    "service rates of queues (G from a pilot): many batches, step sizes about the planned one. "
    "Measured over planned risk at a budget and at a multiple of it, extrapolated in 1/N to where frozen "
    "noise is exact; what is left of the start likewise; no choice simulates better than the planned best.",
    dear_plan=True,
    parts=PARTS,
    analyse=analyse,
    draw=draw,
    controls=CONTROLS,
    notes=notes,
)

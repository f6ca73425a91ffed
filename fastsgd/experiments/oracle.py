"""Theorem 7.3, Corollary 7.8: stationarity in the dual norm under a budget of oracle calls, at the balanced step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.model import Model, from_spec
from fastsgd.analysis.zscores import z_sample_mean
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import FALSE_ALARM, Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.rows import certain, slope_row
from fastsgd.experiments.scores import once
from fastsgd.experiments.view import View
from fastsgd.figures.style import look
from fastsgd.theory import complexity
from fastsgd.theory.statistics import sidak_z

Array = NDArray[np.float64]
RISE = 1.5  # of the bound past the feasible edge, from which on what is measured must rise too
POINTS = 40  # recorded steps of a run, over which its path is averaged
QUICK = {"record.steps": [300, 3000, 30000], "replicates": 32, "record.trajectories": 32}


def constants(model: Model, features: Array, targets: Array) -> complexity.Setting:
    """l (a bound of the Hessian everywhere), L(theta_0) - L* and G of a model on a pool."""
    from fastsgd.problems.likelihood import Model as Likelihood

    problem = model.spec.problem
    start = np.broadcast_to(np.asarray(model.spec.start.value, dtype=np.float64), (model.dimension,))
    pool = Likelihood(problem.family, features, targets, float(problem.ridge))
    curvature = {"logistic": 0.25}.get(problem.family, 1.0)
    top = float(np.linalg.eigvalsh(features.T @ features / len(features))[-1]) * curvature + problem.ridge
    return complexity.setting(model.noise, top, _gap(pool, model.optimum, start))


def _gap(pool: Any, optimum: Array, start: Array) -> float:
    """L(theta* + start) - L(theta*), the integral of the gradient along the line (Gauss-Legendre, 40 points)."""
    x, w = np.polynomial.legendre.leggauss(40)
    along = [float(pool.gradient(optimum + 0.5 * (1 + s) * start) @ start) for s in x]
    return float(0.5 * w @ np.array(along))


def cells(spec: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """A run for every budget (record.steps) and batch (the sweep) that leaves two steps or more, at the balanced step."""
    base = spec.without_sweep()
    (model,) = from_spec(base)
    from fastsgd.problems import build

    arrays = build(base).arrays
    at = constants(model, arrays["pool_features"], arrays["pool_targets"])
    found: list[tuple[str, Mapping[str, Any]]] = []
    for N in spec.record_steps():
        for b in spec.sweep_axes["sampling.batch"]:
            T = N // b
            if T >= 2:
                steps = np.unique(np.rint(np.geomspace(1, T, POINTS)).astype(int)).tolist()
                size = min(complexity.balanced_step(at, N, b), 1 / at.smoothness)
                changes = {"sampling.batch": b, "step.size": size, "record.steps": steps}
                found.append((f"N={N},b={b}", changes))
    return found


PARTS = (
    Part("oracle-linear", {"quick": QUICK, "large": {"record.trajectories": 6400}}, cells=cells),
    Part("oracle-logistic", {"quick": QUICK, "large": {"record.trajectories": 6400}}, cells=cells),
)
NAMES = {"oracle-linear": "least squares", "oracle-logistic": "logistic"}


def setting(view: View, case: Case) -> complexity.Setting:
    """The constants of one run."""
    (model,), arrays = view.models(case), case.run.problem(case.run.arms[0])
    found: complexity.Setting = once(
        case, "setting", lambda: constants(model, arrays["pool_features"], arrays["pool_targets"])
    )
    return found


def budget(case: Case) -> tuple[int, int]:
    """(N, b) of a cell, from its label."""
    N, b = (int(part.partition("=")[2]) for part in case.label.split(","))
    return N, b


def path_mean(view: View, case: Case) -> Array:
    """Mean over the path of |grad L|^2 in the norm of G^-1, of every replicate, float64[R]; steps by trapezoids."""
    return np.asarray(once(case, "path", lambda: _path_mean(view, case)))


def _path_mean(view: View, case: Case) -> Array:
    from fastsgd.problems.likelihood import Model as Likelihood

    (model,), problem = view.models(case), case.spec.problem
    arrays = case.run.problem(case.run.arms[0])
    paths = np.asarray(case.run.trajectories(case.run.arms[0]))
    start = np.broadcast_to(np.asarray(case.spec.start.value, dtype=np.float64), (paths.shape[2],))
    paths = np.concatenate([np.broadcast_to(start, (len(paths), 1, len(start))), paths], axis=1)
    X, y = arrays["pool_features"], arrays["pool_targets"]
    if problem.family == "linear":
        gradients = paths @ model.hessian
    elif problem.family == "logistic":
        theta = paths.reshape(-1, paths.shape[2]) + model.optimum
        with np.errstate(over="ignore"):
            residuals = 1 / (1 + np.exp(-theta @ X.T)) - y
        gradients = (residuals @ X / len(y) + problem.ridge * theta).reshape(paths.shape)
    else:
        pool = Likelihood(problem.family, X, y, float(problem.ridge))
        flat = [pool.gradient(model.optimum + delta) for delta in paths.reshape(-1, paths.shape[2])]
        gradients = np.array(flat).reshape(paths.shape)
    inverse = np.linalg.pinv(model.noise)
    squares = np.einsum("rsi,ij,rsj->rs", gradients, inverse, gradients)
    return np.asarray(squares @ _weights(case))


def _weights(case: Case) -> Array:
    """Of step 0 and the recorded steps in the mean over the path, float64[S + 1]; sum 1."""
    steps = np.concatenate([[0], np.asarray(case.run.steps)]).astype(float)
    gaps = np.diff(steps)
    return np.asarray(0.5 * (np.append(gaps, 0.0) + np.append(0.0, gaps)) / steps[-1])


def expected(view: View, case: Case, noise: bool = True) -> float:
    """The same mean as the exact moments have it (least squares); without `noise` the path of the mean alone."""
    (prediction,) = view.predictions(case, [0, *case.run.steps.tolist()])
    model = prediction.model
    form = model.hessian @ np.linalg.pinv(model.noise) @ model.hessian
    second = prediction.mean[:, :, None] * prediction.mean[:, None, :] + noise * prediction.covariance
    return float(np.sum(form * second, axis=(1, 2)) @ _weights(case))


def analyse(view: View) -> list[Row]:
    """Least squares: every cell against its exact value. All: no cell above the bound."""
    return list(_rows(view))


def _rows(view: View, noise: bool = True, faster: float = 0.0) -> Iterator[Row]:
    """Controls take away the noise, or make the bound fall faster in N by this power."""
    for part in PARTS:
        cases, above = view.of(part), 0
        least = min((budget(case)[0] for case in cases), default=1)
        far = sidak_z(FALSE_ALARM / 10, max(len(cases), 1))
        for case in cases:
            (N, b), values, at = budget(case), path_mean(view, case), setting(view, case)
            bound = complexity.budget_bound(at, N, b) * (least / N) ** faster
            where = f"{NAMES[part.spec]}, N = {N}, b = {b}"
            mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
            above += mean - bound > far * error
            if view.models(case)[0].features is not None:
                value = expected(view, case, noise)
                error, z = z_sample_mean(values, value)
                yield Row("squared gap", where, mean, error, value, z, bound)
            else:
                yield Row("squared gap / bound", where, mean / bound, error / bound, 1.0, 0.0, tested=False)
        if cases:
            yield certain("cells above the bound", NAMES[part.spec], float(above), 0.0)
            yield from _slopes(view, part, noise)
            yield from _past_the_edge(view, part)


def _slopes(view: View, part: Part, noise: bool) -> Iterator[Row]:
    """Slope in N at the smallest batch; in b over the feasible batches of the largest budget. Leading: of the bound."""
    cases, name = view.of(part), NAMES[part.spec]
    least, most = min(budget(case)[1] for case in cases), max(budget(case)[0] for case in cases)
    in_N = [case for case in cases if budget(case)[1] == least]
    in_b = [case for case in cases if budget(case)[0] == most and _feasible(view, case)]
    lines = (
        ("slope in N", f"{name}, b = {least}", in_N, -0.5),
        ("slope in b", f"{name}, N = {most}, feasible", in_b, 0.0),
    )
    for place, (quantity, where, chosen, leading) in enumerate(lines):
        if len(chosen) < 3:
            continue
        values = [path_mean(view, case) for case in chosen]
        mean = np.array([value.mean() for value in values])
        spread = np.array([value.var(ddof=1) / len(value) for value in values]) / mean**2
        exact = view.models(chosen[0])[0].features is not None
        x = np.log([budget(case)[place] for case in chosen])
        curve = np.array([expected(view, case, noise) for case in chosen]) if exact else np.exp(leading * x)
        row = slope_row(where, x, mean, curve, np.diag(spread)).but(quantity=quantity, leading=leading)
        yield row if exact else row.but(z=0.0, tested=False)


def _feasible(view: View, case: Case) -> bool:
    N, b = budget(case)
    return b <= complexity.largest_feasible_batch(setting(view, case), N)


def _past_the_edge(view: View, part: Part) -> Iterator[Row]:
    """Budgets at which the largest batch does worse than the largest feasible one, of those where the bound rises far."""
    worse, told, cases = 0, 0, view.of(part)
    for N in sorted({budget(case)[0] for case in cases}):
        here = sorted((case for case in cases if budget(case)[0] == N), key=budget)
        inside = [case for case in here if _feasible(view, case)]
        if inside and inside[-1] is not here[-1]:
            last, edge = here[-1], inside[-1]
            rise, base = (complexity.budget_bound(setting(view, case), *budget(case)) for case in (last, edge))
            if rise > RISE * base:
                told += 1
                worse += int(path_mean(view, last).mean() > path_mean(view, edge).mean())
    if told:
        yield certain("budgets that do worse past the feasible edge", NAMES[part.spec], float(worse), float(told))


def notes(view: View) -> Sequence[str]:
    """Feasible batches and slopes."""
    found = []
    for part in PARTS:
        cases = view.of(part)
        if not cases:
            continue
        at = setting(view, cases[0])
        budgets = sorted({budget(case)[0] for case in cases})
        edges = ", ".join(f"{complexity.largest_feasible_batch(at, N):.0f} at N = {N}" for N in budgets)
        smallest = min(budget(case)[1] for case in cases)
        line = [(budget(c)[0], float(path_mean(view, c).mean())) for c in cases if budget(c)[1] == smallest]
        slope = (
            np.polyfit(np.log([N for N, _ in line]), np.log([v for _, v in line]), 1)[0] if len(line) > 1 else math.nan
        )
        found.append(
            f"{NAMES[part.spec]}: feasible batches up to {edges}; slope of the squared gap in N at b = {smallest}: {slope:.3f} "
            "(bound: -1/2). The column of leading order holds the bound."
        )
    return found


def draw(view: View) -> Drawn:
    """Squared gap against b, a series a budget; bounds as lines, exact values of least squares as the series' lines."""
    parts = [part for part in PARTS if view.of(part)]
    figure, axes = pictures.sheet(1, len(parts), (3.8 * len(parts), 4.0), sharey=True)
    drawn = Drawn(
        figure,
        "Mean squared dual gradient norm over the path against the batch at fixed budgets N: markers measured, coloured lines "
        "exact (least squares) or through the markers (logistic), grey: the bounds, flat in b up to the feasible edge.",
    )
    for column, part in enumerate(parts):
        axis = axes[0, column]
        for index, N in enumerate(sorted({budget(case)[0] for case in view.of(part)})):
            cases = [case for case in view.of(part) if budget(case)[0] == N]
            b = np.array([budget(case)[1] for case in cases], dtype=float)
            values = [path_mean(view, case) for case in cases]
            y = np.array([v.mean() for v in values])
            e = np.array([v.std(ddof=1) / math.sqrt(len(v)) for v in values])
            exact = y
            if view.models(cases[0])[0].features is not None:
                exact = np.array([expected(view, case) for case in cases])
            pictures.series(drawn, axis, NAMES[part.spec], index, f"N = {N}", b, y, e, exact)
            bound = [complexity.budget_bound(setting(view, case), N, budget(case)[1]) for case in cases]
            axis.plot(b, bound, color="grey", linewidth=0.9, linestyle=look(index).line, label=f"bound, N = {N}")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(NAMES[part.spec])
        axis.set_xlabel("batch b")
    axes[0, 0].set_ylabel(r"mean of $|\nabla L|^2_{G^{-1}}$ over the path")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names) // 2, frameon=False, fontsize=7)
    return drawn


CONTROLS = (
    controls.one_more(),
    Control("no noise", "the path of the mean alone", rows=lambda v: list(_rows(v, noise=False))),
    Control(
        "bound of order 1/N",
        "a bound that falls as 1/N from the smallest budget",
        rows=lambda v: list(_rows(v, faster=0.5)),
    ),
)

ENTRY = Entry(
    name="oracle",
    title="Oracle complexity at the balanced step",
    paper="Thm 7.3, Cor 7.8",
    claim="At the balanced step the mean squared dual gradient norm over the path stays below a bound of order N^-1/2 that "
    "does not depend on b inside the feasible region and grows with b outside.",
    ran="Least squares and logistic regression on a pool drawn with replacement: several budgets, batches up to the "
    "feasible edge and past it; least squares against its exact moments at every cell, both against the bound.",
    dear_plan=True,
    parts=PARTS,
    analyse=analyse,
    draw=draw,
    controls=CONTROLS,
    notes=notes,
)

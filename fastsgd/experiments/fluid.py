"""Theorem 5.7: the fluid limit of constant-step SGD from a far start, and the Gaussian fluctuations around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fastsgd.analysis.zscores import z_gamma, z_pearson3
from fastsgd.errors import InputError
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.scores import once
from fastsgd.experiments.view import View
from fastsgd.theory import fluid, richardson

Array = NDArray[np.float64]
FLUID = Part(
    "fluid",
    {
        "quick": {"replicates": 2500, "record.trajectories": 1000},
        "large": {"record.trajectories": 20000},
    },
)
TOLERANCE = 1e-7  # of the solver: far below every standard error
COARSE = 0.4  # spacing of the sums over the population against that of the optimum: relative errors below 1e-6
LIMIT = "(step -> 0)"
GAUSSIAN_PATHS = 100_000


@dataclass(frozen=True)
class Path:
    """What Theorem 5.7 predicts at the common times, from the assumptions of one run.

    Attributes:
        limit: `theory.fluid` of theta - theta* at `times` float64[S].
    """

    times: Array
    limit: fluid.FluidPath


@dataclass(frozen=True)
class Seen:
    """One step size at the common times: U = (theta - path)/sqrt(eta).

    Attributes:
        eta, replicates. mean: float64[S, d], of theta - path (not divided). covariance: float64[S, d, d], of U.
        paths: float64[K, S, d], U of the replicates whose iterates are kept.
    """

    eta: float
    replicates: int
    mean: Array
    covariance: Array
    paths: Array


def common_times(view: View) -> Array:
    """Times eta k that every run recorded, float64[S]."""
    cases = view.of(FLUID)
    each = [np.asarray(c.run.steps, dtype=np.float64) * c.spec.step.size for c in cases]
    shared = [t for t in each[0] if all(np.any(np.abs(other / t - 1) < 1e-9) for other in each[1:])]
    if len(cases) < 2 or not shared:
        raise InputError("fluid needs runs at several step sizes with common times eta k; choose record.steps so")
    return np.array(shared)


def predicted(case: Case, model: Any, times: Array, frozen: bool) -> Path:
    """The fluid limit and the covariance around it; `frozen`: with H and G of the optimum all along."""
    from fastsgd.problems.population import population

    of, eta, optimum = population(model.spec), model.schedule.size, model.optimum

    def gradient(delta: Array) -> Array:
        return of.gradient(optimum + delta, of.at(optimum + delta, COARSE))

    def hessian(delta: Array) -> Array:
        return of.hessian(of.at(optimum + delta, COARSE))

    def noise(delta: Array) -> Array:
        theta = optimum + delta
        points = of.at(theta, COARSE)
        mean = of.gradient(theta, points)
        pull = mean - of.ridge * theta
        result: Array = of.noise(theta, points) + of.ridge**2 * np.outer(theta, theta) - np.outer(pull, pull)
        return result

    start = np.broadcast_to(np.asarray(model.spec.start.value, dtype=np.float64), (model.dimension,))
    stretched = times * (eta / case.spec.step.size)
    if frozen:
        curves = (lambda _: model.hessian, lambda _: model.noise)
    else:
        curves = (hessian, noise)
    d, b = model.dimension, model.spec.sampling.batch
    path = fluid.covariance_path(gradient, curves[0], curves[1], start, np.zeros((d, d)), b, stretched, TOLERANCE)
    return Path(times, path)


def paths(view: View, frozen: bool = False) -> list[Path]:
    """The prediction for each run: the same for all, but for controls on the step size."""
    times, found = common_times(view), []
    for case in view.of(FLUID):
        (model,) = view.models(case)
        stretch = model.schedule.size / case.spec.step.size
        key = "path", frozen, round(stretch, 12), model.spec.sampling.batch
        first = view.of(FLUID)[0]
        (base,) = view.models(first)
        found.append(once(first, key, partial(predicted, first, base, times, frozen)))
    return found


def seen(case: Case, view: View, path: Path) -> Seen:
    """Moments around a path at its times, from one run."""
    observed, eta = view.observed(case)[0], float(case.spec.step.size)
    at = [int(np.argmin(np.abs(case.run.steps * eta - t))) for t in path.times]
    kept = np.asarray(case.run.trajectories(case.run.arms[0]))[:, at]
    theta = path.limit.theta
    scale = math.sqrt(eta)
    return Seen(
        eta, observed.replicates, observed.mean[at] - theta, observed.covariance[at] / eta, (kept - theta) / scale
    )


def analyse(view: View) -> list[Row]:
    """Mean, covariance and normality at every time and the supremum over them, all in the limit of step size 0."""
    return list(_rows(view, paths(view)))


def _rows(view: View, limits: Sequence[Path]) -> Iterator[Row]:
    cases = view.of(FLUID)
    runs = [seen(case, view, path) for case, path in zip(cases, limits, strict=True)]
    path = limits[0]
    etas = np.array([run.eta for run in runs])
    weights = richardson.weights(etas)
    for s, t in enumerate(path.times):
        where, last = f"t = {t:.3g}", s == len(path.times) - 1
        move, Q = increment(path, s)
        moves = [run.mean[s] - (move @ run.mean[s - 1] if s else 0.0) for run in runs]
        yield _mean_row(runs, moves, weights, Q, where)
        sizes = [run.paths[:, s] - (run.paths[:, s - 1] @ move.T if s else 0.0) for run in runs]
        spread = [np.cov(one.T) for one in sizes]
        yield _covariance_row(f"covariance of the increment of U {LIMIT}", runs, spread, weights, Q, where)
        # Successive times are correlated: their increments above are not.
        row = _covariance_row(
            f"Cov U(t) / V(t) {LIMIT}", runs, [r.covariance[s] for r in runs], weights, path.limit.V[s], where
        )
        yield row.but(tested=last)
    yield _all_times(runs, weights, path)
    yield from _normality(runs, path)
    yield from _supremum(cases[0], runs, weights, path)


def increment(path: Path, s: int) -> tuple[Array, Array]:
    """(P, Q) of U(t_s) = P U(t_{s-1}) + an independent increment of covariance Q, float64[d, d] each."""
    V = path.limit.V
    if s == 0:
        return np.zeros_like(V[0]), V[0]
    move = path.limit.propagator(s, s - 1)
    return move, V[s] - move @ V[s - 1] @ move.T


def _mean_row(runs: Sequence[Seen], moves: Sequence[Array], weights: Array, Q: Array, where: str) -> Row:
    """Distance of the mean to the path since the time before, in units of its expected square; d degrees of freedom."""
    distance = sum(w * move for w, move in zip(weights, moves, strict=True))
    variance = sum(w * w * run.eta / run.replicates for w, run in zip(weights, runs, strict=True))
    d = len(Q)
    value = float(distance @ np.linalg.solve(Q * variance, distance)) / d
    return Row(f"distance of the mean to the path {LIMIT}", where, value, math.sqrt(2 / d), 1.0, z_gamma(d / 2, value))


def _covariance_row(
    quantity: str, runs: Sequence[Seen], spread: Sequence[Array], weights: Array, V: Array, where: str
) -> Row:
    """tr(V^-1 C)/d of the covariances C of the runs, extrapolated."""
    d = len(V)
    sizes = np.array([float(np.trace(np.linalg.solve(V, C))) / d for C in spread])
    error = math.sqrt(sum(w * w * 2 / (d * (len(r.paths) - 1)) for w, r in zip(weights, runs, strict=True)))
    value = float(weights @ sizes)
    return Row(quantity, where, value, error, 1.0, (value - 1) / error)


def _all_times(runs: Sequence[Seen], weights: Array, path: Path) -> Row:
    """The mean over the times of tr(V^-1 Cov U)/d; its error from the covariance of U between times."""
    V, S = path.limit.V, len(path.times)
    d = V.shape[1]
    inverse = np.linalg.inv(V)
    joint = np.empty((S, S))
    for s in range(S):
        for t in range(s + 1):
            cross = path.limit.cross_covariance(s, t)
            joint[s, t] = joint[t, s] = 2 * float(np.trace(inverse[s] @ cross @ inverse[t] @ cross.T)) / d**2
    each = np.array([np.mean(np.einsum("sij,sji->s", inverse, run.covariance)) / d for run in runs])
    one = float(np.mean(joint))
    error = math.sqrt(sum(w * w * one / (r.replicates - 1) for w, r in zip(weights, runs, strict=True)))
    value = float(weights @ each)
    # Its parts are tested time by time; together they see a wrong batch better.
    return Row(f"Cov U(t) / V(t) {LIMIT}", "mean of all times", value, error, 1.0, (value - 1) / error)


def _normality(runs: Sequence[Seen], path: Path) -> Iterator[Row]:
    """Skewness (odd in sqrt eta) and kurtosis (even) of U at the last time, extrapolated to step size 0."""
    _, vectors = np.linalg.eigh(path.limit.V[-1])
    halves = richardson.weights(np.sqrt([run.eta for run in runs]))
    whole = richardson.weights([run.eta for run in runs])
    for i in range(vectors.shape[1]):
        skew, kurt, one, two = [], [], [], []
        for run in runs:
            u = run.paths[:, -1] @ vectors[:, i]
            n, y = len(u), (u - u.mean()) / u.std()
            skew.append(float(np.mean(y**3)))
            kurt.append(float(np.mean(y**4)) - 3 * (n - 1) / (n + 1))
            one.append(6 * (n - 2) / ((n + 1) * (n + 3)))
            two.append(24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)))
        where = f"t = {path.times[-1]:.3g}, direction {i + 1}"
        for name, w, values, variance in (("skewness", halves, skew, one), ("excess kurtosis", whole, kurt, two)):
            value, error = float(w @ np.array(values)), math.sqrt(float(w**2 @ np.array(variance)))
            # The estimated kurtosis is itself skewed (Anscombe and Glynn 1983): 6 sqrt(6/n).
            third = np.array([6 * math.sqrt(6 / len(run.paths)) for run in runs]) * (name != "skewness")
            skewed = float(w**3 @ (np.array(variance) ** 1.5 * third)) / error**3
            yield Row(f"{name} of U {LIMIT}", where, value, error, 0.0, z_pearson3(value / error, skewed))


def _supremum(case: Case, runs: Sequence[Seen], weights: Array, path: Path) -> Iterator[Row]:
    """Mean over replicates of max over the times of |theta - path|: over sqrt(eta), and its slope in eta."""
    each = [np.max(np.linalg.norm(run.paths, axis=2), axis=1) for run in runs]
    means = np.array([float(np.mean(one)) for one in each])
    errors = np.array([float(np.std(one, ddof=1)) / math.sqrt(len(one)) for one in each])
    expected, own = once(case, ("supremum", path.limit.V.tobytes()), partial(gaussian_supremum, path))
    value, error = float(weights @ means), math.hypot(float(np.sqrt(weights**2 @ errors**2)), own)
    yield Row(f"sup distance / sqrt(eta) {LIMIT}", "all times", value, error, expected, (value - expected) / error)
    etas = np.array([run.eta for run in runs])
    if len(runs) > 2:
        # Slopes between neighbours, which leave 1/2 by O(eta), extrapolated from the two of the smallest steps.
        logs = np.log(means * np.sqrt(etas))
        order = np.argsort(etas)[:3]
        a, b, c = np.log(etas[order])
        fine, coarse = etas[order][:2].mean(), etas[order][1:].mean()
        up = coarse / (coarse - fine)
        from_fine, from_coarse = np.array([-1, 1, 0]) / (b - a), np.array([0, -1, 1]) / (c - b)
        w = up * from_fine - (up - 1) * from_coarse
        slope = float(w @ logs[order])
        error = float(np.sqrt(w**2 @ (errors / means)[order] ** 2))
        yield Row(f"slope of the sup distance in eta {LIMIT}", "all times", slope, error, 0.5, (slope - 0.5) / error)


def gaussian_supremum(path: Path) -> tuple[float, float]:
    """(E max_t |U(t)|, its standard error) of the Gaussian process of the theorem at the times, by simulation."""
    rng = np.random.default_rng(20261123)
    V = path.limit.V
    U = np.zeros((GAUSSIAN_PATHS, V.shape[1]))
    largest, spread = np.zeros(GAUSSIAN_PATHS), np.zeros_like(V[0])
    for s, target in enumerate(V):
        step = path.limit.propagator(s, max(s - 1, 0))
        added = target - step @ spread @ step.T
        U = U @ step.T + rng.standard_normal(U.shape) @ np.linalg.cholesky(added).T
        largest = np.maximum(largest, np.linalg.norm(U, axis=1))
        spread = target
    return float(largest.mean()), float(largest.std() / math.sqrt(GAUSSIAN_PATHS))


def draw(view: View) -> Drawn:
    """Path and replicates' mean; Cov U over time; the sup distance in eta; quantiles of U."""
    figure, axes = pictures.sheet(2, 2, (7.4, 6.4))
    limits, cases = paths(view), view.of(FLUID)
    runs = [seen(case, view, path) for case, path in zip(cases, limits, strict=True)]
    path = limits[0]
    drawn = Drawn(
        figure,
        "Mean iterate on the fluid path (smallest step); tr Cov U(t) against its differential equation; largest distance "
        "to the path against the step, on the line of slope 1/2; normal quantiles of U at the last time (smallest step).",
    )
    finest = min(runs, key=lambda run: run.eta)
    R, times = finest.replicates, path.times
    for i in range(path.limit.theta.shape[1]):
        error = np.sqrt(finest.eta * path.limit.V[:, i, i] / R)
        theta = path.limit.theta[:, i]
        pictures.series(
            drawn, axes[0, 0], "path", i, f"coordinate {i + 1}", times, theta + finest.mean[:, i], error, theta
        )
    total = np.trace(path.limit.V, axis1=1, axis2=2)
    spread = np.sqrt(2 * np.sum(path.limit.V**2, axis=(1, 2)))
    for index, run in enumerate(runs):
        value, error = np.trace(run.covariance, axis1=1, axis2=2), spread / math.sqrt(run.replicates)
        dodge = 1 + 0.012 * (index - 1)
        pictures.series(
            drawn, axes[0, 1], "variance", index, f"step {run.eta:g}", times, value, error, total, dodge=dodge
        )
    each = [np.max(np.linalg.norm(run.paths, axis=2), axis=1) * math.sqrt(run.eta) for run in runs]
    x, y = np.array([run.eta for run in runs]), np.array([one.mean() for one in each])
    e = np.array([one.std() / math.sqrt(len(one)) for one in each])
    expected = once(cases[0], ("supremum", path.limit.V.tobytes()), partial(gaussian_supremum, path))[0]
    pictures.series(drawn, axes[1, 0], "sup distance", 0, "mean of the sup distance", x, y, e, expected * np.sqrt(x))
    axes[1, 0].set_xscale("log")
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_xticks(x, [f"{size:g}" for size in x], minor=False)
    axes[1, 0].set_xticks([], minor=True)
    _quantiles(drawn, axes[1, 1], finest, path)
    for axis, words in zip(axes.ravel(), (("t = eta k", r"$\theta - \theta^*$"), ("t = eta k", "tr Cov U(t)"),
                                          ("step size", "sup distance to the path"), ("normal quantile", "U, whitened")),
                           strict=True):  # fmt: skip
        axis.set_xlabel(words[0])
        axis.set_ylabel(words[1])
        pictures.legend(axis, fontsize=7)
    return drawn


def _quantiles(drawn: Drawn, axis: Any, run: Seen, path: Path) -> None:
    weights, vectors = np.linalg.eigh(path.limit.V[-1])
    white = np.sort((run.paths[:, -1] @ vectors) / np.sqrt(weights), axis=0)
    n = len(white)
    place = special.ndtri((np.arange(n) + 0.5) / n)
    pick = np.unique(np.linspace(0, n - 1, 60).astype(int))
    for i in range(white.shape[1]):
        p = special.ndtr(place[pick])
        error = np.sqrt(p * (1 - p) / n) / np.exp(-0.5 * place[pick] ** 2) * math.sqrt(2 * math.pi)
        pictures.record(drawn, "quantiles", f"direction {i + 1}", place[pick], white[pick, i], error, place[pick])
        look = pictures.look(i)
        axis.plot(place[pick], white[pick, i], linestyle="none", marker=look.marker, color=look.color, markersize=3,
                  markerfacecolor="none", label=f"direction {i + 1}")  # fmt: skip
    axis.plot(place[[0, -1]], place[[0, -1]], color="black", linewidth=0.8)


FROZEN = Control(
    "H and G of the optimum",
    "fluctuations with H and G of the optimum all along the path",
    rows=lambda v: list(_rows(v, paths(v, frozen=True))),
)

ENTRY = Entry(
    name="fluid",
    title="The fluid limit and its fluctuations",
    paper="Thm 5.7",
    claim="From a far start theta_k follows dtheta/dt = -grad L up to sqrt(eta), and the rescaled difference is a Gaussian "
    "process whose covariance solves dV/dt = -HV - VH + G/b along the path.",
    ran="Logistic regression on fresh data at several step sizes and the same times; every quantity is extrapolated to step "
    "size 0, where the theorem is exact.",
    dear_plan=True,
    parts=(FLUID,),
    analyse=analyse,
    draw=draw,
    controls=(controls.wrong_step(), controls.one_more(), FROZEN),
)

"""Reuse by epoch reshuffling: exact risks of a pool where they are known, and rows of measured over predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.model import Model
from fastsgd.analysis.zscores import z_sample_mean
from fastsgd.experiments.base import Case, Part, Row
from fastsgd.experiments.scores import once
from fastsgd.experiments.view import View
from fastsgd.problems.families import curvature
from fastsgd.theory import lyapunov, reshuffled_pool, reshuffling, richardson, transient

Array = NDArray[np.float64]
Risks = Callable[[Model, Sequence[int]], Array]
QUICK = {"replicates": 200}
DRAWS = 60_000  # of one replicate, beyond LEAST steps
LEAST = 200


def cells(spec: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """A run for every batch, with fewer steps where a step draws more."""
    base = spec.without_sweep()
    found: list[tuple[str, Mapping[str, Any]]] = []
    for batch in spec.sweep_axes["sampling.batch"]:
        steps = [k for k in base.record_steps() if k <= max(LEAST, DRAWS // batch)]
        found.append((f"batch={batch}", {"sampling.batch": batch, "record.steps": steps}))
    return found


LOCATION = Part("reuse-location", {"quick": {"replicates": 100}}, cells=cells)
SMALL = Part("reuse-reshuffled", {"quick": QUICK})
LOGISTIC = Part("reuse-reshuffled-logistic", {"quick": QUICK})
PARTS = (LOCATION, SMALL, LOGISTIC)
WORDS = ("two groups", "least squares", "logistic")
RISK = "risk of reshuffling, all steps"


def exact(model: Model, steps: Sequence[int]) -> Array:
    """E r at recorded steps, float64[S]: in closed form for additive noise, else by the subsets of the pool."""
    if model.additive:
        return additive(model, steps)
    assert model.pool is not None and model.pool.targets is not None
    X, problem = model.pool.features, model.spec.problem
    weights = curvature(problem.family, X @ model.optimum, model.pool.targets, problem.threshold)
    hessians = weights[:, None, None] * X[:, :, None] * X[:, None, :] + problem.ridge * np.eye(model.dimension)
    gradients = model.pool.gradients - model.pool.gradients.mean(axis=0)
    maps = reshuffled_pool.epoch(hessians, gradients, model.schedule.size, model.spec.sampling.batch)
    mean, cov = model.start(model.noise)
    _, seconds = reshuffled_pool.moments(maps, np.asarray(steps), mean, cov + np.outer(mean, mean))
    result: Array = np.sum(model.metric * seconds, axis=(1, 2))
    return result


def additive(model: Model, steps: Sequence[int]) -> Array:
    """The same with the noise of the optimum at every state, correlated within an epoch."""
    sampling, n, (mean, cov) = model.spec.sampling, model.pool_size or 1, model.start(model.noise)
    m, C = reshuffling.moments(model.hessian, model.noise, model.etas, np.asarray(steps), mean, cov, sampling.batch, n)
    return np.atleast_1d(transient.risk(model.metric, m, C))


def anew(model: Model, steps: Sequence[int]) -> Array:
    """As if every batch were drawn from the whole pool, without replacement."""
    b, n = model.spec.sampling.batch, model.pool_size or 1
    noise = model.noise * (n - b) / (n - 1) / b
    level = lyapunov.stationary_risk(model.metric, model.hessian, noise, model.schedule.size)
    return np.full(len(steps), level)


def rows(view: View, place: Callable[[Case], str], risks: Risks = exact) -> Iterator[Row]:
    """Measured over predicted risk of every run, averaged over its recorded steps; logistic in the limit of step size 0."""
    for part, word in zip(PARTS, WORDS, strict=True):
        for case in view.of(part):
            where = f"{word}, {place(case)}"
            found = ratios(view, case, risks)
            if len(found) == 1:
                yield _row(RISK, where, found[0])
                continue
            models = view.models(case)
            for model, one in zip(models, found, strict=True):
                yield _row(RISK, f"{where}, {model.arm}", one).but(tested=False)
            weights = richardson.weights([model.schedule.size for model in models])
            yield _row(f"{RISK} (step -> 0)", where, weights @ np.stack(found))


def ratios(view: View, case: Case, risks: Risks = exact) -> list[Array]:
    """Measured over predicted risk of every replicate, the mean over recorded steps, float64[R], for each arm."""
    pairs = zip(predicted(view, case, risks), view.observed(case), strict=True)
    return [np.asarray((seen.risk / risk).mean(axis=1)) for risk, seen in pairs]


def predicted(view: View, case: Case, risks: Risks = exact) -> list[Array]:
    """Risk of each arm at the recorded steps, float64[S]; found once a run."""
    steps = [int(k) for k in case.run.steps]
    found: list[Array] = once(case, risks, lambda: [risks(model, steps) for model in view.models(case)])
    return found


def _row(quantity: str, where: str, ratio: Array) -> Row:
    error, z = z_sample_mean(ratio, 1.0)
    return Row(quantity, where, float(ratio.mean()), error, 1.0, z)

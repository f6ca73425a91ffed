"""A generalised linear model on a fixed pool: mini-batches are drawn from it at every step.

    L(theta) = (1/n) sum_i l(x_i'theta, y_i) + (ridge/2) |theta|^2

over all d coordinates, the intercept included; families as in `families`. Per-sample gradients are
g_i = dl/dz x_i + ridge theta. At the optimum theta*:

    H   = (1/n) sum d2l/dz2 x x' + ridge I             the Hessian of L (observed curvature)
    S_n = (1/n) sum (g_i - gmean)(g_i - gmean)'        the noise; normalised by n (Lemma 4.1 with (n-b)/(n-1))
    F   = (1/n) sum E[(dl/dz)^2 | x] x x'              Fisher information of one sample, by the model, without the ridge

For a canonical link (linear, logistic, poisson) and ridge = 0, F = H; probit and huber have another curvature. S_n = F only
for a correct model and a large pool. The loss of huber has a second derivative that jumps where a residual meets the threshold:
H is that of the pool's optimum, and an iterate sees it changed by the few samples whose residuals lie between (O(1/n)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastsgd.errors import InputError
from fastsgd.problems.base import Arm, Array, Problem, Stepper
from fastsgd.problems.data import DataError, Pool, load
from fastsgd.problems.families import FAMILIES, outside
from fastsgd.problems.likelihood import Model, NoOptimum, optimum
from fastsgd.problems.matrices_check import check_file
from fastsgd.problems.samples import Samples, Sums
from fastsgd.problems.weighted import WeightedGlmStepper

if TYPE_CHECKING:
    from fastsgd.spec import Spec
    from fastsgd.spec.sections import Data, Glm


def check(spec: Spec) -> tuple[list[str], int | None, int | None]:
    """Lines of what is wrong with data and metric, dimension d, pool size n."""
    problem = cast("Glm", spec.problem)
    data = problem.data
    key = "problem.data.generate" if data.file is None else f'problem.data.file = "{data.file}"'
    try:
        pool = _pool(spec)
    except InputError as error:
        return [f"{key} cannot be used: {line}" for line in error.lines], None, None
    except DataError as error:
        return [f"{key} {error}"], None, None
    n, d = pool.features.shape
    lines = _check_targets(problem.family, pool.targets)
    if not lines:
        try:
            _optimum(pool, _model(pool, problem))
        except NoOptimum as error:
            lines.append(f"{key} {error}")
    metric = problem.metric
    if not isinstance(metric, str):
        lines += check_file(spec, "problem.metric.file", metric.file, None, definite=False)
        if not lines and len(spec.array(metric.file)) != d:
            side = len(spec.array(metric.file))
            lines.append(
                f"problem.metric.file must be {d} x {d}, one row a coordinate (the intercept is the first), "
                f"got {side} x {side}; save a matrix of that size"
            )
    return lines, d, n


def _check_targets(family: str, targets: Array) -> list[str]:
    wrong = outside(family, targets)
    if not wrong.any():
        return []
    row, rule = int(np.argmax(wrong)), FAMILIES[family]
    return [
        f"problem.data.target must be {rule.rule} for family {family}, got {targets[row]:.6g} in row {row + 1} "
        f"({int(wrong.sum())} such rows); {rule.remedy}"
    ]


# The arms of a run share one pool and one optimum; the last is kept.
_last_pool: list[tuple[tuple[Data, str], object, Pool]] = []
_last_optimum: list[tuple[Pool, tuple[str, float, float], Array]] = []


def _pool(spec: Spec) -> Pool:
    problem = cast("Glm", spec.problem)
    key = problem.data, problem.family
    table = None if problem.data.file is None else spec.table()
    if _last_pool and _last_pool[0][0] == key and _last_pool[0][1] is table:
        return _last_pool[0][2]
    pool = load(spec)
    _last_pool[:] = [(key, table, pool)]
    return pool


def _model(pool: Pool, problem: Glm) -> Model:
    return Model(problem.family, pool.features, pool.targets, float(problem.ridge), float(problem.threshold))


def _optimum(pool: Pool, model: Model) -> Array:
    form = (model.family, model.ridge, model.threshold)
    if _last_optimum and _last_optimum[0][0] is pool and _last_optimum[0][1] == form:
        return _last_optimum[0][2]
    theta = optimum(model, pool.names)
    _last_optimum[:] = [(pool, form, theta)]
    return theta


def build(spec: Spec) -> GlmProblem:
    """Pool, optimum and geometry of a checked spec."""
    problem, pool = cast("Glm", spec.problem), _pool(spec)
    model = _model(pool, problem)
    theta = _optimum(pool, model)
    hessian, noise = model.hessian(theta), model.noise(theta)
    metric = problem.metric
    if not isinstance(metric, str):
        matrix = np.array(spec.array(metric.file), dtype=np.float64, order="C")
    elif metric == "fisher":
        matrix = model.fisher(theta)
    else:
        matrix = {"hessian": hessian, "noise": noise, "identity": np.eye(len(theta))}[metric]
    arrays: dict[str, np.ndarray] = {"pool_features": pool.features, "pool_targets": pool.targets}
    if pool.coefficients is not None:
        arrays["pool_coefficients"] = pool.coefficients
    return GlmProblem(
        kind="glm",
        coordinates=pool.names,
        optimum=theta,
        hessian=hessian,
        noise=noise,
        metric=matrix,
        pool_size=len(pool.targets),
        exact=False,
        arrays=arrays,
        model=model,
    )


@dataclass(frozen=True, kw_only=True)
class GlmProblem(Problem):
    """`model`: the loss on its pool."""

    model: Model

    def slope(self) -> Callable[[Array], Array]:
        return self.model.gradient

    def stepper(self, arms: Sequence[Arm]) -> Stepper:
        draws = arms[0].draws
        if draws is not None:
            return WeightedGlmStepper(self.model, self.optimum, draws)
        return GlmStepper(self.model, self.optimum, arms)


class GlmStepper:
    """Mini-batch SGD; all arms use the same batches and differ in their step sizes alone."""

    def __init__(self, model: Model, theta: Array, arms: Sequence[Arm]):
        from fastsgd.kernels.draws import WITH_REPLACEMENT, WITHOUT_REPLACEMENT
        from fastsgd.kernels.glm import pack_pool

        codes = {"without-replacement": WITHOUT_REPLACEMENT, "with-replacement": WITH_REPLACEMENT}
        assert len({(arm.batch, arm.design) for arm in arms}) == 1, "arms of a pool share their batches"
        # The kernel's huber has threshold 1: features and targets are measured in thresholds, and steps follow.
        unit = model.threshold if model.family == "huber" else 1.0
        self._unit = unit * unit
        scaled = (model.features, model.targets) if unit == 1.0 else (model.features / unit, model.targets / unit)
        self._pool = pack_pool(*scaled)
        self._samples = len(model.targets)
        self._optimum = theta
        self._ridge = model.ridge / self._unit
        self._family = FAMILIES[model.family].code
        self._batch, self._design = arms[0].batch, codes[arms[0].design]

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        import numba

        from fastsgd.kernels.glm import advance_glm

        given = self._given(sizes, seed, first_replicate, first_step)
        advance_glm(delta, *given, min(delta.shape[1], 8 * numba.get_num_threads()))

    def advance_sampling(
        self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int, samples: Samples, sums: Sums
    ) -> None:
        from fastsgd.kernels.glm_average import average_glm

        given = self._given(sizes, seed, first_replicate, first_step)
        when = samples.burn_in, samples.thin, samples.count, samples.metric, samples.diagonal
        average_glm(delta, *given, *when, sums.first, sums.second, sums.risk)

    def _given(self, sizes: Array, seed: int, first_replicate: int, first_step: int) -> tuple[Any, ...]:
        address = np.uint64(seed), np.uint64(first_replicate), np.uint64(first_step)
        kind = self._family, self._batch, self._design
        return self._optimum, self._pool, self._samples, self._ridge, *kind, sizes * self._unit, *address

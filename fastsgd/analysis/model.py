"""What an arm is, as the theory needs it: matrices, step sizes, design and start, from a spec or from a stored run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import designs, schedules
from fastsgd.errors import InputError
from fastsgd.problems import pools
from fastsgd.theory import least_squares, least_squares_weighted, lyapunov
from fastsgd.theory.eigen import Eigenbasis, eigenbasis

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """One arm: H, G (per-sample gradient covariance at the optimum; pool: S_n with 1/n) and F, float64[d, d]; theta*.

    `exact` is False where the linear recursion with additive noise is only the leading order in the step size.
    `features`, `targets`: float64[n, d], float64[n] of a least-squares pool, whose noise at any state is known.
    `pool`, `simulation`: what a sampling design may know of the pool, or of the simulation; None without one.
    `slope`: makes the gradient of L less that at theta* as a function of theta, None without code (of a stored run).
    `estimates`: of what a pilot was made for, `hessian_parts`, `noise_parts` float64[C, d, d] and
    `optimum_error` float64[d] (`pilot_errors`).
    """

    arm: str
    spec: Any
    hessian: Array
    noise: Array
    metric: Array
    optimum: Array
    pool_size: int | None
    exact: bool
    features: Array | None = None
    targets: Array | None = None
    pool: designs.Pool | None = None
    simulation: designs.Simulation | None = None
    estimates: Mapping[str, Array] = field(default_factory=dict, repr=False, compare=False)
    slope: Callable[[], Callable[[Array], Array] | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.hessian)

    @property
    def schedule(self) -> schedules.Schedule:
        """Step sizes eta_k."""
        return schedules.from_spec(self.spec.step)

    @property
    def etas(self) -> Any:
        """The step sizes as the theory takes them: one number when constant."""
        schedule = self.schedule
        return schedule.size if schedule.constant else schedule

    @property
    def largest_eta(self) -> float:
        """The largest of `etas`."""
        return self.schedule.largest()

    @property
    def drift(self) -> Array | Eigenbasis:
        """D of the recursion Delta' = (I - eta D) Delta + eta xi that a step takes; H, but for a process in time."""
        return self.hessian

    def largest_stable_step(self) -> float:
        """The constant step.size from which on a recursion with additive noise has no stationary law."""
        return lyapunov.largest_stable_step(self.hessian)

    def leading_plateau(self, sigma: Array) -> float:
        """tr(F S) of the continuous-time limit of a constant step."""
        return lyapunov.continuous_stationary_risk(self.metric, self.hessian, sigma, self.schedule.size)

    @property
    def design(self) -> designs.Design:
        """The sampling design."""
        return designs.get(self.spec.sampling.design)

    def with_batch(self, batch: int) -> Model:
        """The same with another batch."""
        sampling = self.spec.sampling.model_copy(update={"batch": batch})
        return replace(self, spec=self.spec.model_copy(update={"sampling": sampling}))

    def gradient_covariance(self) -> Array:
        """Sigma = Cov(mini-batch gradient of one step) under the sampling design, float64[d, d]."""
        sampling, design = self.spec.sampling, self.design
        try:
            wrong = design.problems(sampling.batch, self.pool_size)
            if wrong:
                raise InputError("; ".join(wrong))
            if isinstance(design, designs.SimulationDesign):
                assert self.simulation is not None
                return design.covariance(self.simulation, sampling)
            if design.factor(sampling.batch, self.pool_size) is None:
                return design.covariance(self.pool, sampling)  # type: ignore[attr-defined,no-any-return]
            return designs.design_covariance(sampling.design, self.noise, sampling.batch, self.pool_size)
        except ValueError as error:
            raise InputError(str(error)) from None

    def covariance_parts(self) -> Array | None:
        """Independent estimates of `gradient_covariance` float64[C, d, d] of a design of one's own; None if it is exact."""
        if not isinstance(self.design, designs.Own):
            return None
        assert self.pool is not None
        try:
            return self.design.parts(self.pool, self.spec.sampling)
        except ValueError as error:
            raise InputError(str(error)) from None

    @property
    def factor(self) -> float:
        """f with Sigma = f M for the sampling design, M = G, or the noise of `least_squares` (which has its weights)."""
        sampling = self.spec.sampling
        factor = self.design.factor(sampling.batch, self.pool_size)
        return 1.0 if factor is None else factor

    @cached_property
    def additive(self) -> bool:
        """True for least squares whose samples all have the same x x', so that the noise is the same at every state."""
        if self.features is None:
            return False
        mean = self.features.T @ self.features / len(self.features)
        chunks = (self.features[start : start + 1024] for start in range(0, len(self.features), 1024))
        return all(np.allclose(x[:, :, None] * x[:, None, :], mean, rtol=1e-12, atol=1e-12) for x in chunks)

    @cached_property
    def least_squares(self) -> least_squares.Pool | None:
        """The pool in the eigenbasis of H; None unless its noise at every state is known."""
        design = self.design
        if self.features is None or self.targets is None or not design.independent:
            return None
        pool = least_squares.pool(self.features, self.targets, self.optimum, self.spec.problem.ridge)
        if isinstance(design, designs.PoolDesign) and design.factor(self.spec.sampling.batch, self.pool_size) is None:
            if not design.has_form:
                return None
            assert self.pool is not None
            form = design.form(self.pool, self.spec.sampling)
            pool = least_squares_weighted.of_form(pool, form.weights, form.groups, form.centres)
        return pool.turned(eigenbasis(self.hessian))

    def start(self, sigma: Array) -> tuple[Array, Array]:
        """Mean float64[d] and covariance float64[d, d] of Delta_0."""
        d, start = self.dimension, self.spec.start
        zero = np.zeros(d)
        if start.kind == "point":
            return np.broadcast_to(np.asarray(start.value, dtype=np.float64), (d,)).copy(), np.zeros((d, d))
        if start.kind == "gaussian":
            return zero, start.scale**2 * np.eye(d)
        try:
            return zero, lyapunov.discrete_stationary(self.drift, sigma, self.largest_eta)
        except ValueError as error:
            raise InputError(f"start.kind 'stationary' needs a stable constant step: {error}") from None


def from_spec(spec: Any) -> list[Model]:
    """Models of every arm of a spec, building the problem (reads data files, fits a glm)."""
    return [built(arm, arm_spec) for arm, arm_spec in spec.arm_specs().items()]


def built(arm: str, arm_spec: Any) -> Model:
    """Model of one arm from its own spec."""
    from fastsgd import problems

    try:
        problem = problems.build(arm_spec)
    except ValueError as error:
        raise InputError(str(error)) from None
    matrices = (problem.hessian, problem.noise, problem.metric, problem.optimum)
    data = _least_squares(arm_spec, problem.arrays)
    sampled = problem.pool(arm_spec), problem.simulation(arm_spec)
    return _kind(arm_spec)(
        arm, arm_spec, *matrices, problem.pool_size, problem.exact, *data, *sampled, _estimates(problem.arrays),
        problem.slope,
    )  # fmt: skip


def from_run(run: Any) -> list[Model]:
    """Models of every arm of a stored run, from the arrays in the file: nothing is built or fitted again."""
    return [stored(run, arm, arm_spec) for arm, arm_spec in run.spec.arm_specs().items()]


def stored(run: Any, arm: str, arm_spec: Any) -> Model:
    """Model of one arm from the stored arrays and the (possibly altered) spec of the arm."""
    arrays = run.problem(arm)
    pool = next((len(arrays[name]) for name in ("pool_features", "pool_samples") if name in arrays), None)
    exact = arm_spec.problem.kind in ("quadratic", "ou")
    hessian, noise, metric, optimum = (arrays[name] for name in ("hessian", "noise", "metric", "optimum"))
    data = _least_squares(arm_spec, arrays)
    made = run.spec.arm_specs()[arm].sampling
    sampled = pools.of_arrays(arm_spec, arrays, optimum, metric, made)
    simulated = pools.kept_simulation(arm_spec, arrays, noise)
    return _kind(arm_spec)(
        arm, arm_spec, hessian, noise, metric, optimum, pool, exact, *data, sampled, simulated, _estimates(arrays)
    )


def _estimates(arrays: Mapping[str, Any]) -> dict[str, Array]:
    names = ("hessian_parts", "noise_parts", "optimum_error")
    return {name: np.asarray(arrays[name]) for name in names if name in arrays}


def _kind(arm_spec: Any) -> type[Model]:
    from fastsgd.analysis.process import ProcessModel

    return ProcessModel if arm_spec.problem.kind == "ou" else Model


def _least_squares(arm_spec: Any, arrays: Mapping[str, Any]) -> tuple[Array | None, Array | None]:
    """Features and targets of a linear model on a pool; (None, None) for anything else."""
    problem = arm_spec.problem
    if problem.kind != "glm" or getattr(problem, "family", None) != "linear" or "pool_features" not in arrays:
        return None, None
    return np.asarray(arrays["pool_features"]), np.asarray(arrays["pool_targets"])

"""How to spend a budget of N = b T oracle calls: the risk at its end for every batch and step size. Sections 5, 7."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fastsgd import designs
from fastsgd.analysis.model import Model, from_spec
from fastsgd.analysis.path import LARGEST_WORK
from fastsgd.errors import InputError
from fastsgd.schedules import Schedule
from fastsgd.theory import complexity, geometry, least_squares_stationary, least_squares_transient, lyapunov, transient
from fastsgd.theory.eigen import Eigenbasis, eigenbasis
from fastsgd.theory.relaxation import Relaxation, relax

Array = NDArray[np.float64]

KINDS = ("quadratic", "glm", "newsvendor", "queue", "portfolio")
CLOSE = 1.1  # what counts as nearly the best risk
FEWEST_STEPS = 10  # of the largest batch that is tried unasked
REFINED_VARYING = 20_000  # of them up to which the best step size is refined between points of the grid
LONGEST_VARYING = 10**6  # steps of a decaying schedule, which has no closed form
POINTS = 41


@dataclass(frozen=True)
class Choice:
    """The best step size of one batch.

    Attributes:
        batch, steps: b and T = N // b. size: step size (of a decaying schedule its numerator).
        risk: E r at step T; plateau: stationary part of it, None for a decaying or unstable step.
        low, high: sizes between which the risk is within 10 % of it (ends of the grid if it never leaves).
        risk_exact: with state-dependent noise at this size (least squares on a pool), else None.
        feasible: b satisfies Corollary 7.8; balanced: its step eta*, 0 where the start is the optimum.
        risk_balanced: risk at eta*, None where that is unstable or 0.
    """

    batch: int
    steps: int
    size: float
    risk: float
    plateau: float | None
    low: float
    high: float
    risk_exact: float | None
    feasible: bool
    balanced: float
    risk_balanced: float | None


@dataclass(frozen=True)
class Budget:
    """The grid and what is best in it.

    Attributes:
        arm: the arm that is planned. calls: N.
        batches: int64[B]; sizes: float64[E]; risk: float64[B, E], NaN where unstable or left out.
        stable: largest stable step size of each batch, float64[B].
        choices: best step size of each batch. best: index of the best batch.
        close: batches whose best risk is within 10 % of the best.
        smoothness: l, taken as lambda_max(H); gap0: L(theta_0) - L*, quadratic; largest_feasible: Corollary 7.8.
        notes: what a reader must know.
    """

    arm: str
    calls: int
    schedule: str
    exact: bool
    batches: NDArray[np.int64]
    sizes: Array
    risk: Array
    stable: Array
    choices: tuple[Choice, ...]
    best: int
    close: tuple[int, ...]
    smoothness: float
    gap0: float
    largest_feasible: float
    notes: tuple[str, ...]


class Surface:
    """Risk at the budget as a function of batch and step size, in the eigenbasis of H."""

    def __init__(self, model: Model, calls: int):
        self.model, self.calls = model, calls
        basis = eigenbasis(model.hessian)
        self.basis, self._sigmas = basis, dict[int, Array]()
        self.hessian = Eigenbasis(basis.values, basis.correction)
        self.metric, self.noise = basis.into(model.metric), basis.into(model.noise)
        self.design = designs.get(model.spec.sampling.design)
        self.stationary = model.spec.start.kind == "stationary" and model.pool_size is None
        self.from_zero = model.spec.start.kind == "stationary" and not self.stationary
        mean0, cov0 = np.zeros(model.dimension), None
        if self.from_zero:
            mean0 = -model.optimum
        elif not self.stationary:
            mean0, cov0 = model.start(model.noise)
        self.mean0 = basis.into_vector(mean0)
        self.cov0 = np.zeros_like(self.noise) if cov0 is None else basis.into(cov0)
        self.edge = lyapunov.largest_stable_step(self.hessian)
        self.flow = self._flow()

    def _flow(self) -> Relaxation | None:
        """The fluid limit from the start, where a linear one is not what the mean does; None otherwise."""
        if self.model.exact or self.model.features is not None or not np.any(self.mean0):
            return None
        slope, schedule = self.model.slope(), self.model.schedule
        if slope is None:
            return None
        unit = replace(schedule, size=1.0)
        last = self.edge / unit.largest() * _total(schedule, self.calls)
        basis, optimum = self.basis, self.model.optimum

        def gradient(delta: Array) -> Array:
            return basis.into_vector(slope(optimum + basis.back_vector(delta)))

        return relax(basis.values, gradient, self.mean0, last * (1.0 + 1e-9))

    def bend(self, size: float, steps: int, linear: Array) -> Array:
        """Mean after so many steps, float64[d]: `linear` of the recursion (36), and what the fluid limit has beside its own."""
        if self.flow is None:
            return linear
        t = size * _total(self.model.schedule, steps)
        return np.asarray(linear + self.flow(t) - np.exp(-self.basis.values * t) * self.mean0)

    def sigma(self, batch: int) -> Array:
        """Gradient covariance of a batch, float64[d, d]."""
        if batch not in self._sigmas:
            factor = self.design.factor(batch, self.model.pool_size)
            if factor is not None:
                self._sigmas[batch] = factor * self.noise
            else:
                self._sigmas[batch] = self.basis.into(self.model.with_batch(batch).gradient_covariance())
        return self._sigmas[batch]

    def steps(self, batch: int) -> int:
        """T = N // b."""
        return self.calls // batch

    def risk(self, batch: int, size: float) -> float:
        """E r at step T, frozen noise; NaN for an unstable step or one left out."""
        schedule, sigma = replace(self.model.schedule, size=size), self.sigma(batch)
        if size >= self.edge if schedule.constant else self.steps(batch) > LONGEST_VARYING:
            return math.nan
        start = lyapunov.discrete_stationary(self.hessian, sigma, size) if self.stationary else self.cov0
        etas: Any = size if schedule.constant else schedule
        at = [self.steps(batch)]
        if self.flow is None:
            return float(transient.risks(self.metric, self.hessian, sigma, etas, at, self.mean0, start)[0])
        means, covs = transient.moments(self.hessian, sigma, etas, at, self.mean0, start)
        return float(transient.risk(self.metric, self.bend(size, at[0], means[0]), covs[0]))

    def plateau(self, batch: int, size: float) -> float | None:
        """Stationary risk; None for a decaying or unstable step."""
        if not self.model.schedule.constant or size >= self.edge:
            return None
        return lyapunov.stationary_risk(self.metric, self.hessian, self.sigma(batch), size)

    def limit(self, batch: int) -> float:
        """Largest stable step size: in mean square where that is known."""
        if self.model.least_squares is None or self.model.dimension > 36:
            return self.edge
        at = self.model.with_batch(batch)
        assert at.least_squares is not None
        return least_squares_stationary.largest_stable_step(at.least_squares, at.factor)

    def exact(self, batch: int, size: float) -> float | None:
        """E r with state-dependent noise, least squares on a pool; None otherwise or where it is too much work."""
        at = self.model.with_batch(batch)
        pool, schedule = at.least_squares, replace(self.model.schedule, size=size)
        etas: Any = size if schedule.constant else schedule
        last = self.steps(batch)
        if pool is None or self.stationary or least_squares_transient.work(pool, etas, last) > LARGEST_WORK:
            return None
        second0 = self.cov0 + np.multiply.outer(self.mean0, self.mean0)
        _, second = least_squares_transient.moments(pool, etas, at.factor, [last], self.mean0, second0)
        return float(np.sum(self.metric * second[0]))

    def gap(self) -> float:
        """L(theta_0) - L* of the quadratic, 0 for a start at the optimum or in the stationary law."""
        second = self.cov0 + np.multiply.outer(self.mean0, self.mean0)
        return 0.5 * float(np.sum(np.diagonal(second) * self.hessian.values))


def budget(spec: Any, calls: int, batches: Sequence[int] = (), sizes: Sequence[float] = ()) -> Budget:
    """Plan a budget for the first arm of a checked spec; its own batch and step size do not enter.

    Args:
        calls: N, oracle calls of one replicate.
        batches, sizes: the grid; by default powers of two that leave at least 10 steps, and 41 step sizes up to the
            edge of stability.

    Raises:
        InputError: a budget below 1, a batch that is larger than the budget or the pool, no stable step size.
    """
    model = from_spec(spec)[0]
    if spec.problem.kind not in KINDS and ":" not in spec.problem.kind:
        raise InputError(f"plan --budget is for problems {', '.join(KINDS)} and your own, got {spec.problem.kind}")
    if not model.design.independent:
        raise InputError(
            f"plan --budget has no prediction for sampling.design = {model.design.name}; give another design"
        )
    if calls < 1:
        raise InputError(f"the budget must be >= 1 oracle calls, got {calls}")
    surface = Surface(model, calls)
    tried = _batches(surface, batches)
    grid = _sizes(surface, tried, sizes)
    risk = np.array([[surface.risk(b, eta) for eta in grid] for b in tried])
    limits = np.array([surface.limit(b) for b in tried])
    if model.schedule.constant:
        risk[grid[None, :] >= limits[:, None]] = np.nan
    rows = [i for i in range(len(tried)) if np.isfinite(risk[i]).any()]
    if not rows:
        raise InputError(f"no step size of the grid is stable; give step sizes below {surface.edge:.6g}")
    top, gap0 = float(np.max(surface.hessian.values)), surface.gap()
    setting = complexity.setting(model.noise, top, gap0) if gap0 > 0 and np.any(model.noise) else None
    choices = tuple(_choice(surface, tried[i], grid, risk[i], float(limits[i]), setting) for i in rows)
    best = int(np.argmin([c.risk for c in choices]))
    close = tuple(c.batch for c in choices if c.risk <= CLOSE * choices[best].risk)
    largest = complexity.largest_feasible_batch(setting, calls) if setting is not None else math.inf
    notes = _notes(surface, setting is None, len(rows) < len(tried) or bool(np.isnan(risk[rows]).all(axis=1).any()))
    return Budget(
        model.arm, calls, model.schedule.schedule, model.exact, np.array(tried), grid, risk, limits, choices, best,
        close, top, gap0, largest, tuple(notes),
    )  # fmt: skip


def _batches(surface: Surface, wanted: Sequence[int]) -> list[int]:
    calls, pool = surface.calls, surface.model.pool_size
    most = min(calls, pool or calls)
    for b in wanted:
        if not 1 <= b <= most:
            limit = "pool" if pool is not None and b > pool else "budget"
            raise InputError(
                f"a batch must be between 1 and the {limit} of {most if limit == 'budget' else pool}, got {b}"
            )
    if wanted:
        return sorted(set(wanted))
    top = max(1, min(calls // FEWEST_STEPS, pool or calls, 2**16))
    powers = [2**k for k in range(top.bit_length())]
    # Pairs and strata need batches of some sizes.
    return [b for b in powers if _possible(surface.model, b)] or powers


def _possible(model: Model, batch: int) -> bool:
    try:
        model.with_batch(batch).gradient_covariance()
    except InputError:
        return False
    return True


def _sizes(surface: Surface, batches: Sequence[int], wanted: Sequence[float]) -> Array:
    unit = replace(surface.model.schedule, size=1.0).largest()
    edge = surface.edge / unit
    if wanted:
        if not all(0 < s < math.inf for s in wanted):
            raise InputError(f"step sizes must be > 0, got {', '.join(f'{s:g}' for s in wanted)}")
        return np.array(sorted(set(wanted)))
    constant = surface.model.schedule.constant
    # Below it the slowest direction has hardly moved after all steps of the smallest batch.
    slow = float(np.min(surface.hessian.values)) * _total(surface.model.schedule, surface.steps(batches[0]))
    low = max(1e-7 * edge, min((1e-3 if constant else 0.1) * edge, 0.3 / slow))
    points = POINTS if constant else 17
    return np.geomspace(low, 0.98 * edge, points)


def _total(schedule: Schedule, steps: int) -> float:
    """Sum of so many steps of size 1/(k + offset)^exponent, by the integral; their number when constant."""
    if schedule.constant:
        return float(steps)
    a, first = schedule.exponent, schedule.offset
    if a == 1.0:
        return math.log1p(steps / first)
    return ((steps + first) ** (1.0 - a) - first ** (1.0 - a)) / (1.0 - a)


def _choice(
    surface: Surface, batch: int, grid: Array, risk: Array, limit: float, setting: complexity.Setting | None
) -> Choice:
    inside = np.flatnonzero(np.isfinite(risk))
    at = int(inside[np.argmin(risk[inside])])
    size, value = float(grid[at]), float(risk[at])
    ends = grid[max(at - 1, inside[0])], grid[min(at + 1, inside[-1])]
    quick = surface.model.schedule.constant or surface.steps(batch) <= REFINED_VARYING
    if ends[1] > ends[0] and quick:
        found = optimize.minimize_scalar(
            lambda x: surface.risk(batch, math.exp(x)), bounds=np.log(ends), method="bounded", options={"xatol": 1e-4}
        )
        if found.fun < value:
            size, value = math.exp(float(found.x)), float(found.fun)
    low, high = _range(surface, batch, grid[inside], risk[inside], size, CLOSE * value)
    balanced, feasible, there = 0.0, True, None
    if setting is not None:
        balanced = complexity.balanced_step(setting, surface.calls, batch)
        feasible = complexity.feasible(setting, surface.calls, batch)
        if surface.model.schedule.constant and balanced < limit:
            there = surface.risk(batch, balanced)
    return Choice(
        batch, surface.steps(batch), size, value, surface.plateau(batch, size), low, high, surface.exact(batch, size),
        feasible, balanced, there,
    )  # fmt: skip


def _range(surface: Surface, batch: int, grid: Array, risk: Array, size: float, level: float) -> tuple[float, float]:
    """Where the risk crosses `level` below and above `size`; the ends of the grid where it does not."""

    def above(x: float) -> float:
        return surface.risk(batch, math.exp(x)) - level

    ends = []
    for side in (np.flatnonzero(grid < size)[::-1], np.flatnonzero(grid > size)):
        inner, end = math.log(size), size
        for i in side:
            outer = end = math.log(grid[i])
            if risk[i] > level:
                end = float(optimize.brentq(above, inner, outer, xtol=1e-4))
                break
            inner = outer
        ends.append(math.exp(end) if len(side) else size)
    return ends[0], ends[1]


def _notes(surface: Surface, optimal_start: bool, left_out: bool) -> list[str]:
    notes = []
    if surface.from_zero:
        notes.append("the spec starts in the stationary law; the plan starts at theta = 0, with everything to learn")
    if not surface.model.exact:
        mean = "the mean follows the gradient flow from the start; " if surface.flow is not None else ""
        notes.append(
            f"risks are frozen-noise; {mean}l is lambda_max(H) at the optimum and the gap that of the quadratic there"
        )
    if surface.model.pool_size is not None and np.any(surface.model.noise):
        covariance = geometry.sandwich(surface.model.hessian, surface.model.noise) / surface.model.pool_size
        own = float(np.sum(surface.model.metric * covariance))
        notes.append(
            f"risks are from the optimum of the pool, whose own sampling error has risk {own:.4g}: less buys nothing"
        )
    if not surface.model.schedule.constant:
        notes.append(
            "of a decaying schedule the numerator is planned, up to the edge of stability at step 0; with more than "
            f"{REFINED_VARYING} steps its best value is a point of the grid"
        )
    if optimal_start:
        notes.append(
            "the start is the optimum or the stationary law: nothing has to be learnt, so the smallest step is best "
            "and every batch feasible; plan a start away from it, for example with --set start.value=1.0"
        )
    if left_out:
        notes.append(f"batches without a stable step, or with more than {LONGEST_VARYING} decaying steps, are left out")
    return notes

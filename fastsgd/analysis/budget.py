"""How to spend a budget of N = b T oracle calls: the risk at its end for every batch and step size. Sections 5, 7."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fastsgd.analysis.budget_calibration import Calibration, Simulate, calibrate
from fastsgd.analysis.budget_surface import LONGEST_VARYING, Surface, total
from fastsgd.analysis.model import Model, from_spec
from fastsgd.errors import InputError
from fastsgd.theory import complexity, geometry

Array = NDArray[np.float64]

KINDS = ("quadratic", "glm", "newsvendor", "queue", "portfolio")
CLOSE = 1.1  # what counts as nearly the best risk
FEWEST_STEPS = 10  # of the largest batch that is tried unasked
REFINED_VARYING = 20_000  # of them up to which the best step size is refined between points of the grid
POINTS = 41
TRUSTED = 0.1  # relative standard error up to which a corrected risk is trusted
LINEAR = 0.2  # of the edge of stability up to which a frozen-noise risk of a nonlinear problem is
EXACT = 0.4  # of the wanted cells whose exact values are enough
KNOWN = 0.03  # relative standard error down to which the best steps of good batches are simulated
ROUNDS = 5
AGAIN = 4  # times the replicates of a pilot run that simulate the best step of a batch


@dataclass(frozen=True)
class Choice:
    """The best step size of one batch.

    Attributes:
        batch, steps: b and T = N // b. size: step size (of a decaying schedule its numerator).
        risk: E r at step T, the best prediction there is; error: relative standard error of it, 0 where it is exact, None
            where it is the closed form for a problem that is not linear; trusted: as of the grid.
        frozen: the closed form, noise of the optimum at every state; plateau: its stationary part, None for a decaying
            or unstable step.
        low, high: sizes between which the risk is within 10 % of it (ends of the grid if it never leaves).
        risk_exact: `risk` where it is exact with state-dependent noise (least squares on a pool), else None.
        feasible: b satisfies Corollary 7.8; balanced: its step eta*, 0 where the start is the optimum.
        risk_balanced: risk at eta*, None where that is unstable or 0.
    """

    batch: int
    steps: int
    size: float
    risk: float
    error: float | None
    trusted: bool
    frozen: float
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
        error: relative standard error of them, float64[B, E], 0 where exact, NaN where it is not known.
        trusted: bool[B, E], an error of 10 % at most and, where it is simulated, a step of at most half the edge of
            stability and half of one that diverged; of a closed form that is not exact, a fifth of the edge.
        replicates, cells: of the pilot that corrects the closed form; 0 without one.
        simulated: mean risk of a simulation of the best pair and its standard error; None without a pilot.
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
    error: Array
    trusted: NDArray[np.bool_]
    replicates: int
    cells: int
    simulated: tuple[float, float] | None
    stable: Array
    choices: tuple[Choice, ...]
    best: int
    close: tuple[int, ...]
    smoothness: float
    gap0: float
    largest_feasible: float
    notes: tuple[str, ...]


def budget(
    spec: Any,
    calls: int,
    batches: Sequence[int] = (),
    sizes: Sequence[float] = (),
    pilot: Callable[[Surface], Simulate] | None = None,
    replicates: int | None = None,
) -> Budget:
    """Plan a budget for the first arm of a checked spec; its own batch and step size do not enter.

    Args:
        calls: N, oracle calls of one replicate.
        batches, sizes: the grid; by default powers of two that leave at least 10 steps, and 41 step sizes up to the
            edge of stability.
        pilot: makes what simulates cells, so that a closed form that is not exact can be corrected; None: it is not.
        replicates: of each pilot run; default: as many as some ten seconds allow.

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
    frozen = np.array([[surface.risk(b, eta) for eta in grid] for b in tried])
    limits = np.array([surface.limit(b) for b in tried])
    if model.schedule.constant:
        frozen[grid[None, :] >= limits[:, None]] = np.nan
    simulate = None if pilot is None or model.exact else pilot(surface)
    at = Corrected(surface, _calibration(surface, tried, grid, frozen, simulate, replicates))
    if simulate is not None and at.simulated:
        at.look_again(tried, grid, frozen, simulate)
    risk, error = at.table(tried, grid, frozen)
    rows = [i for i in range(len(tried)) if np.isfinite(risk[i]).any()]
    if not rows:
        raise InputError(f"no step size of the grid is stable; give step sizes below {surface.edge:.6g}")
    top, gap0 = float(np.max(surface.hessian.values)), surface.gap()
    setting = complexity.setting(model.noise, top, gap0) if gap0 > 0 and np.any(model.noise) else None

    def chosen() -> tuple[Choice, ...]:
        return tuple(_choice(at, tried[i], grid, risk[i], float(limits[i]), setting) for i in rows)

    choices = chosen()
    best, simulated = int(np.argmin([c.risk for c in choices])), None
    if simulate is not None and at.simulated:
        simulated = at.confirm(choices[best], simulate)
    close = tuple(c.batch for c in choices if c.risk <= CLOSE * choices[best].risk)
    largest = complexity.largest_feasible_batch(setting, calls) if setting is not None else math.inf
    trusted = np.array([[at.trusted(b, eta, error[i, j]) for j, eta in enumerate(grid)] for i, b in enumerate(tried)])
    trusted &= np.isfinite(risk)
    notes = _notes(at, setting is None, len(rows) < len(tried) or bool(np.isnan(risk[rows]).all(axis=1).any()))
    made = at.calibration
    pilots = (made.replicates, len(made.cells)) if made is not None and at.simulated else (0, 0)
    return Budget(
        model.arm, calls, model.schedule.schedule, model.exact, np.array(tried), grid, risk, error, trusted, *pilots,
        simulated, limits, choices, best, close, top, gap0, largest, tuple(notes),
    )  # fmt: skip


def _calibration(
    surface: Surface,
    tried: Sequence[int],
    grid: Array,
    frozen: Array,
    simulate: Simulate | None,
    replicates: int | None,
) -> Calibration | None:
    """Exact values where they are known and no great work, else a pilot, else nothing."""
    if surface.model.exact:
        return None
    if surface.pool is not None:
        found = calibrate(surface, tried, grid, frozen, None, None)
        if simulate is None or (found.cells and found.share >= EXACT):
            return found if found.cells else None
    return None if simulate is None else calibrate(surface, tried, grid, frozen, simulate, replicates)


@dataclass
class Corrected:
    """The risk of a surface times what a calibration found."""

    surface: Surface
    calibration: Calibration | None

    @property
    def simulated(self) -> bool:
        """Whether the correction comes from simulated cells."""
        return self.calibration is not None and not self.calibration.exact and bool(self.calibration.cells)

    def risk(self, batch: int, size: float) -> float:
        """E r at step T; NaN where it is unstable or left out."""
        value = self.surface.risk(batch, size)
        if self.calibration is None:
            return value
        if self.calibration.diverges(batch, size):
            return math.nan
        return value * self.calibration.factor(batch, size)

    def error(self, batch: int, size: float) -> float:
        """Relative standard error of `risk`, 0 where exact, NaN where not known."""
        if self.surface.model.exact:
            return 0.0
        return math.nan if self.calibration is None else float(self.calibration.at([batch], [size])[1][0])

    def trusted(self, batch: int, size: float, error: float) -> bool:
        """Whether a risk with this relative standard error is."""
        if math.isnan(error):
            return size <= LINEAR * self.surface.largest_size()
        doubtful = self.simulated and self.calibration is not None and self.calibration.doubtful(batch, size)
        return error <= TRUSTED and not doubtful

    def table(self, tried: Sequence[int], grid: Array, frozen: Array) -> tuple[Array, Array]:
        """`risk` and `error` on a grid, float64[B, E]; exact values where all of them are little work."""
        made = self.calibration
        if made is None:
            return frozen, np.where(np.isfinite(frozen), 0.0 if self.surface.model.exact else np.nan, np.nan)
        where = np.repeat(np.array(tried), len(grid)), np.tile(grid, len(tried))
        factor, error = (part.reshape(frozen.shape) for part in made.at(*where))
        risk = frozen * factor
        unstable = [[made.diverges(b, eta) for eta in grid] for b in tried]
        risk[np.array(unstable, dtype=np.bool_)] = np.nan
        if made.exact and made.all_exact(tried, grid, frozen):
            for i, j in np.argwhere(np.isfinite(frozen)):
                value = self.surface.exact(tried[i], float(grid[j]))
                risk[i, j], error[i, j] = (math.nan, math.nan) if value is None else (value, 0.0)
        return risk, error

    def look_again(self, tried: Sequence[int], grid: Array, frozen: Array, simulate: Simulate) -> None:
        """Simulate batches at the step size that the corrected risk says is best, until that is known for the good ones."""
        made = self.calibration
        assert made is not None
        for turn in range(ROUNDS):
            risk, _ = self.table(tried, grid, frozen)
            top = float(np.nanmin(risk)) if np.isfinite(risk).any() else math.inf
            good = [i for i in range(len(tried)) if np.nanmin(risk[i], initial=math.inf) < (1.5 if turn else 3.0) * top]
            more = [(tried[i], _best_size(self, tried[i], grid, risk[i])[0]) for i in good]
            more = [cell for cell in more if self.error(*cell) > KNOWN and made.affordable(*cell)]
            for cell in more:
                made.add(*cell, simulate, AGAIN * made.replicates)
            if not more:
                return

    def confirm(self, choice: Choice, simulate: Simulate) -> tuple[float, float] | None:
        """Mean risk of fresh replicates of a pair and its standard error; None if that is too much work."""
        made = self.calibration
        assert made is not None
        if not made.affordable(choice.batch, choice.size):
            return None
        risks = simulate(choice.batch, choice.size, choice.steps, AGAIN * made.replicates)
        return float(np.mean(risks)), float(np.std(risks, ddof=1)) / math.sqrt(len(risks))


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
    slow = float(np.min(surface.hessian.values)) * total(surface.model.schedule, surface.steps(batches[0]))
    low = max(1e-7 * edge, min((1e-3 if constant else 0.1) * edge, 0.3 / slow))
    points = POINTS if constant else 17
    return np.geomspace(low, 0.98 * edge, points)


def _best_size(at: Corrected, batch: int, grid: Array, risk: Array) -> tuple[float, float]:
    """Step size of the least risk, between points of the grid too, and that risk."""
    inside = np.flatnonzero(np.isfinite(risk))
    middle = int(inside[np.argmin(risk[inside])])
    size, value = float(grid[middle]), float(risk[middle])
    ends = grid[max(middle - 1, inside[0])], grid[min(middle + 1, inside[-1])]
    surface = at.surface
    quick = surface.model.schedule.constant or surface.steps(batch) <= REFINED_VARYING
    if ends[1] > ends[0] and quick:
        found = optimize.minimize_scalar(
            lambda x: at.risk(batch, math.exp(x)), bounds=np.log(ends), method="bounded", options={"xatol": 1e-4}
        )
        if found.fun < value:
            size, value = math.exp(float(found.x)), float(found.fun)
    return size, value


def _choice(
    at: Corrected, batch: int, grid: Array, risk: Array, limit: float, setting: complexity.Setting | None
) -> Choice:
    surface = at.surface
    inside = np.flatnonzero(np.isfinite(risk))
    size, value = _best_size(at, batch, grid, risk)
    low, high = _range(at, batch, grid[inside], risk[inside], size, CLOSE * value)
    exact = surface.exact(batch, size) if at.calibration is not None and at.calibration.exact else None
    error = 0.0 if exact is not None else at.error(batch, size)
    balanced, feasible, there = 0.0, True, None
    if setting is not None:
        balanced = complexity.balanced_step(setting, surface.calls, batch)
        feasible = complexity.feasible(setting, surface.calls, batch)
        if surface.model.schedule.constant and balanced < limit:
            there = at.risk(batch, balanced)
    return Choice(
        batch, surface.steps(batch), size, value if exact is None else exact,
        None if math.isnan(error) else error, at.trusted(batch, size, error), surface.risk(batch, size),
        surface.plateau(batch, size), low, high, exact, feasible, balanced, there,
    )  # fmt: skip


def _range(at: Corrected, batch: int, grid: Array, risk: Array, size: float, level: float) -> tuple[float, float]:
    """Where the risk crosses `level` below and above `size`; the ends of the grid where it does not."""

    def above(x: float) -> float:
        return at.risk(batch, math.exp(x)) - level

    ends = []
    for side in (np.flatnonzero(grid < size)[::-1], np.flatnonzero(grid > size)):
        inner, end = math.log(size), size
        for i in side:
            outer = end = math.log(grid[i])
            if risk[i] > level:
                # Between points the correction is interpolated, which may leave the level at an end.
                crosses = above(inner) < 0 < above(outer)
                end = float(optimize.brentq(above, inner, outer, xtol=1e-4)) if crosses else 0.5 * (inner + outer)
                break
            inner = outer
        ends.append(math.exp(end) if len(side) else size)
    return ends[0], ends[1]


def _notes(at: Corrected, optimal_start: bool, left_out: bool) -> list[str]:
    surface, made = at.surface, at.calibration
    notes = []
    if surface.from_zero:
        notes.append("the spec starts in the stationary law; the plan starts at theta = 0, with everything to learn")
    if not surface.model.exact:
        mean = "the mean follows the gradient flow from the start; " if surface.flow is not None else ""
        if made is None:
            notes.append(
                f"risks are frozen-noise, too low by O(step size), more near the edge of stability; {mean}a pilot corrects "
                "them"
            )
        elif made.exact:
            notes.append("risks have the noise as it is at every state, exactly at the best steps")
        else:
            missing = "" if made.share == 1.0 else "; not all wanted cells, which would take long: errors tell where"
            if made.late:
                missing += (
                    f". How many it is in time depends on the machine; --pilot {made.replicates} takes all of them"
                )
            notes.append(
                f"risks are frozen-noise times a correction from {len(made.cells)} simulated cells of {made.replicates} "
                f"replicates, with its standard error{missing}"
            )
            if made.unstable:
                b, eta = min(made.unstable, key=lambda cell: cell[1])
                notes.append(f"replicates diverged, for example with batch {b} and step {eta:.3g}: left out")
        notes.append("l is lambda_max(H) at the optimum and the gap that of the quadratic there")
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

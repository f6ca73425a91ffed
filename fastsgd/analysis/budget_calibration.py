"""What the closed form of a budget lacks, at some cells: exact where noise at every state is known, else simulated.

Closed forms take the noise of the optimum at every state and a quadratic loss. The logarithm of what a cell has beside them
is a smooth function of batch and step size that vanishes with the step size: it is found at some cells and carried to all
others with its error (`budget_kriging`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.budget_kriging import Surface as Kriging
from fastsgd.analysis.budget_kriging import log_mean
from fastsgd.analysis.budget_surface import Surface

log = logging.getLogger("fastsgd")

Array = NDArray[np.float64]
# (batch, step size, steps, replicates) -> risks float64[replicates] at the last step, infinite where one diverged.
Simulate = Callable[[int, float, int, int], Array]

# Of 41 sizes, counted from the largest: closer together towards the edge of stability.
PLACES = (0, 1, 2, 4, 7, 10, 14, 19, 26, 33, 40)
WORK = 2e9  # numbers read for gradients in all pilot runs, two to ten seconds
OPERATIONS = 1e11  # of exact second moments, some seconds
FEWEST, MOST = 64, 1024  # replicates of a pilot run
SECONDS, LATEST = 8.0, 12.0  # after which no further pilot run is begun; and none of the best steps
EVERY = 4.0  # seconds between lines that say how far it is
FAR = 100.0  # cells whose risk is larger than the best one's by this factor are not simulated
CALM = 0.2  # of the edge of stability up to which the linear rate says when that is
SETTLED = 2e-3  # relative distance from the plateau at which a pilot run may end


@dataclass
class Calibration:
    """Corrections of a surface.

    Attributes:
        cells: (batch, size, log of correction, its variance) of each; unstable: (batch, size) that diverged.
        exact: cells are computed, not simulated. replicates: of a pilot run. share: of the wanted cells that were looked at.
        given: the replicates were asked for, whatever they take; begun: when, on the monotonic clock; late: ended by it.
    """

    surface: Surface
    exact: bool
    replicates: int = 0
    share: float = 1.0
    given: bool = False
    late: bool = False
    begun: float = field(default_factory=time.monotonic)
    cells: list[tuple[int, float, float, float]] = field(default_factory=list)
    unstable: list[tuple[int, float]] = field(default_factory=list)
    _fitted: dict[bool, Kriging | None] = field(default_factory=dict)

    def at(self, batches: Sequence[int] | Array, sizes: Sequence[float] | Array) -> tuple[Array, Array]:
        """Factor on the risk of the surface and its relative standard error, float64[k]."""
        b, v = np.asarray(batches, np.float64), np.asarray(sizes, np.float64) / self.edge
        factor, error = np.ones(len(b)), np.full(len(b), np.nan)
        quiet = np.array([self.quiet(int(one)) for one in batches], dtype=np.bool_)
        for which in (False, True):
            found, here = self._surface(which), quiet == which
            if found is not None and here.any():
                mean, error[here] = found(b[here], v[here])
                factor[here] = np.exp(mean)
        return factor, error

    def factor(self, batch: int, size: float) -> float:
        """Of `at` at one place."""
        found = self._surface(self.quiet(batch))
        if found is None:
            return 1.0
        return math.exp(float(found.mean(np.array([float(batch)]), np.array([size / self.edge]))[0]))

    def quiet(self, batch: int) -> bool:
        """Whether a batch has no noise, the whole pool: what it lacks is unlike what others do."""
        return not np.any(self.surface.sigma(batch))

    def _surface(self, quiet: bool) -> Kriging | None:
        """Through the cells with noise, or through those without."""
        if quiet not in self._fitted:
            cells = np.array([cell for cell in self.cells if self.quiet(cell[0]) == quiet])
            b, size, value, variance = cells.T if len(cells) else np.empty((4, 0))
            self._fitted[quiet] = Kriging.fit(b, size / self.edge, value, variance) if len(cells) else None
        return self._fitted[quiet]

    @property
    def edge(self) -> float:
        """Largest stable size of the closed form."""
        return self.surface.largest_size()

    def diverges(self, batch: int, size: float) -> bool:
        """Whether a batch no smaller diverged at a step no larger."""
        return any(batch <= b and size >= eta for b, eta in self.unstable)

    def doubtful(self, batch: int, size: float) -> bool:
        """Whether moments may be of rare excursions: above half the edge of stability, or half of a step that diverged."""
        return size > 0.5 * self.edge or self.diverges(batch, 2 * size)

    def add(self, batch: int, size: float, simulate: Simulate | None, replicates: int) -> Array | None:
        """Compute or simulate a cell; returns the risks of its replicates, if they were simulated."""
        steps = self.steps(batch, size)
        expected = self.surface.risk(batch, size, steps)
        if self.exact or simulate is None:
            value = self.surface.exact(batch, size)
            if value is not None and math.isfinite(value) and value > 0:
                self._put(batch, size, math.log(value / expected), 1e-12)
            return None
        risks = simulate(batch, size, steps, replicates)
        if not (np.isfinite(risks).all() and np.mean(risks) < 1e6 * expected):
            self.unstable.append((batch, size))
            return risks
        value, variance = log_mean(risks)
        self._put(batch, size, value - math.log(expected), variance)
        return risks

    def affordable(self, batch: int, size: float) -> bool:
        """Whether a further simulation of a cell is a small part of what the pilot may take."""
        late = time.monotonic() - self.begun > LATEST
        return self.given or (not late and _work(self, batch, size) * self.replicates <= 0.1 * WORK)

    def all_exact(self, batches: Sequence[int], sizes: Array, risk: Array) -> bool:
        """Whether exact values of all cells with a risk float64[B, E] are little work."""
        cells = np.argwhere(np.isfinite(risk))
        return sum(self.surface.exact_work(batches[i], float(sizes[j])) for i, j in cells) <= OPERATIONS

    def _put(self, batch: int, size: float, value: float, variance: float) -> None:
        self.cells.append((batch, size, value, max(variance, 1e-12)))
        self._fitted.clear()

    def steps(self, batch: int, size: float) -> int:
        """Steps of a pilot run: T, or fewer that reach the plateau four times over; near the edge it is reached later."""
        last, level = self.surface.steps(batch), self.surface.plateau(batch, size)
        if self.exact or level is None or level <= 0 or size > CALM * self.edge:
            return last
        steps = 64
        while 4 * steps < last:
            if abs(self.surface.risk(batch, size, steps) / level - 1) < SETTLED:
                return 4 * steps
            steps *= 2
        return last


def calibrate(
    surface: Surface,
    batches: Sequence[int],
    sizes: Array,
    risk: Array,
    simulate: Simulate | None,
    replicates: int | None,
) -> Calibration:
    """Corrections from cells of a grid; risk float64[B, E] of the closed form, NaN where there is none.

    replicates: of each pilot run; default as many as `WORK` allows, and fewer cells if those are too few.
    """
    exact = simulate is None
    made = Calibration(surface, exact, given=replicates is not None)
    quiet = [made.quiet(b) for b in batches]
    wanted = _wanted(batches, sizes, risk, quiet)
    work = {cell: _work(made, *cell) for cell in wanted}
    limit = OPERATIONS if exact else WORK / FEWEST if replicates is None else math.inf
    chosen = _thinned(wanted, work, list(batches), limit)
    if not exact:
        total = sum(work[cell] for cell in chosen)
        room = WORK / max(total, 1.0)
        made.replicates = replicates or int(min(MOST, max(FEWEST, 1 << int(math.log2(max(room, 1.0))))))
    made.share = len(chosen) / max(len(wanted), 1)
    told = made.begun
    for done, cell in enumerate(chosen):
        if made.diverges(*cell):
            continue
        if not exact and time.monotonic() - told > EVERY:
            told = time.monotonic()
            log.info("%d of %d cells of the budget simulated after %.0f s", done, len(chosen), told - made.begun)
        if replicates is None and time.monotonic() - made.begun > SECONDS:
            made.share = (len(made.cells) + len(made.unstable)) / len(wanted)
            made.late = True
            break
        first = not made.cells
        made.add(*cell, simulate, made.replicates)
        if first:
            made.begun = time.monotonic()  # kernels are compiled by now
    return made


def _wanted(batches: Sequence[int], sizes: Array, risk: Array, quiet: Sequence[bool]) -> list[tuple[int, float]]:
    """Cells to look at, the most promising batches first, and of a batch the smallest step first."""
    last = len(sizes) - 1
    places = range(len(sizes)) if len(sizes) <= len(PLACES) else sorted({round(last * (1 - p / 40)) for p in PLACES})
    best = np.array([np.min(row[np.isfinite(row)], initial=math.inf) for row in risk])
    order = [int(i) for i in np.argsort(best, kind="stable") if math.isfinite(best[i])]
    found, noisy = [], [i for i in order if not quiet[i]]
    top = best[(noisy or order)[0]] if order else math.inf
    for i in order:
        inside = np.flatnonzero(np.isfinite(risk[i]))
        middle = int(inside[np.argmin(risk[i][inside])])
        here = [j for j in places if math.isfinite(risk[i, j])]
        found += [(batches[i], float(sizes[j])) for j in here if quiet[i] or j >= middle or risk[i, j] < FAR * top]
    return found


def _thinned(
    wanted: list[tuple[int, float]], work: dict[tuple[int, float], float], batches: list[int], limit: float
) -> list[tuple[int, float]]:
    """As many of the cells as the limit allows: every second size, then every second batch, then the cheapest."""
    rounds: list[Callable[[int, tuple[int, float]], bool]] = [
        lambda i, cell: True,
        lambda i, cell: i % 2 == 0,
        lambda i, cell: i % 2 == 0 and batches.index(cell[0]) % 2 == 0,
        lambda i, cell: i % 4 == 0 and batches.index(cell[0]) % 2 == 0,
    ]
    chosen = wanted
    for keep in rounds:
        counted = {b: [cell for cell in wanted if cell[0] == b][::-1] for b in batches}
        chosen = [cell for cell in wanted if keep(counted[cell[0]].index(cell), cell)]
        if sum(work[cell] for cell in chosen) <= limit:
            return chosen
    found, total = set(), 0.0
    for cell in sorted(chosen, key=lambda one: work[one]):
        total += work[cell]
        if total <= limit:
            found.add(cell)
    return [cell for cell in chosen if cell in found]


def _work(made: Calibration, batch: int, size: float) -> float:
    """Of one replicate: samples times (d + 20) a step, or floating-point operations of an exact value."""
    surface = made.surface
    if made.exact:
        return surface.exact_work(batch, size)
    d = surface.model.dimension
    return made.steps(batch, size) * (batch * (d + 20) / 25.0 + d + 10.0)

"""What a problem is, once resolved to arrays: its optimum, its geometry there, and how kernels advance replicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastsgd.designs import Draws, Pool, Simulation
    from fastsgd.spec import Spec

Array = NDArray[np.float64]


class Stepper(Protocol):
    """Advances replicates of all arms of a run through consecutive steps; what `Problem.stepper` returns."""

    def advance(self, delta: Array, sizes: Array, seed: int, first_replicate: int, first_step: int) -> None:
        """Update delta in place.

        Args:
            delta: float64[A, R, d], theta - theta* in working coordinates, of replicates first_replicate, ...
            sizes: float64[A, K], step size of each of the K steps.
            seed: the run's seed.
            first_replicate: number of the first row.
            first_step: number of the first step.
        """
        ...


@dataclass(frozen=True)
class Arm:
    """One arm of a run as its stepper sees it.

    Attributes:
        problem: the problem with this arm's overrides.
        batch: b.
        design: name of the sampling design, or of the one that the kernels draw it by.
        covariance: float64[d, d], covariance of the mini-batch gradient of a step at the optimum, original coordinates.
        draws: how weighted batches are drawn, None where the kernels draw by themselves.
        coefficient: float64[d, m] of control variates, or None.
        drawing: what tells ways of drawing apart; arms with the same share their samples.
    """

    problem: Problem
    batch: int
    design: str
    covariance: Array
    draws: Draws | None = None
    coefficient: Array | None = None
    drawing: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An optimisation problem at its optimum.

    Attributes:
        kind: the word in `problem.kind`.
        coordinates: d names.
        optimum: float64[d], theta*.
        hessian: float64[d, d], H.
        noise: float64[d, d], G: covariance of one sample's gradient at theta*; on a pool S_n with 1/n.
        metric: float64[d, d], F of the risk Delta' F Delta.
        pool_size: n, or None if samples are always fresh.
        exact: True if SGD is exactly the linear recursion (36), so that predictions have no bias in the step size.
        basis: float64[d, d], rows are the working directions (eigenvectors of H), or None: working coordinates are the
            original ones.
        mixes_designs: True if a stepper takes arms that differ in their sampling; else each way has its own.
        arrays: further arrays that a stored run should hold, by name.
        single: True if the noise is made of normals in single precision.
    """

    kind: str
    coordinates: Sequence[str]
    optimum: Array
    hessian: Array
    noise: Array
    metric: Array
    pool_size: int | None = None
    exact: bool = False
    mixes_designs: ClassVar[bool] = False
    basis: Array | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    single: bool = False

    @property
    def dimension(self) -> int:
        return len(self.optimum)

    @property
    def at_hand(self) -> bool:
        """Whether there is code to run; a merge does without."""
        return True

    @property
    def remark(self) -> str:
        """One line that a run says before it starts, or nothing."""
        return ""

    def largest_stable_step(self) -> float:
        """The constant step size from which on there is no stationary law; 2 / lambda_max (Proposition 5.13)."""
        return 2.0 / float(np.linalg.eigvalsh(self.hessian)[-1])

    def stationary(self, covariance: Array, size: float) -> Array:
        """Stationary covariance float64[d, d] for a stable step `size` and mini-batch gradient covariance; (37)."""
        from fastsgd.problems.working import stationary_covariance

        return stationary_covariance(self.hessian, covariance, size)

    def pool(self, spec: Spec) -> Pool | None:
        """What a sampling design may know of the pool; None without one."""
        from fastsgd.problems.pools import of_arrays

        return of_arrays(spec, self.arrays, self.optimum, self.metric)

    def simulation(self, spec: Spec) -> Simulation | None:
        """What a design for fresh samples may know; None unless samples are simulated from draws."""
        return None

    def slope(self) -> Callable[[Array], Array] | None:
        """Gradient of L as a function of theta float64[d], less its value at theta*; None where it is not known."""
        return None

    def stepper(self, arms: Sequence[Arm]) -> Stepper:
        """The kernels of this kind of problem, bound to the arms of a run."""
        raise NotImplementedError

"""What a design for fresh samples may know of a simulation problem, and the defaults of such a design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsgd.designs.base import batch_problems

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simulation:
    """A problem whose samples are simulated from normals, uniforms and exponentials.

    Attributes:
        noise: float64[d, d], G of one sample at theta*.
        paired: gives the covariance of the mean gradient of an antithetic pair at theta*, float64[d, d].
        cross: gives Cov(g, c) at theta*, float64[d, m], c the m draws of a sample.
        variances: float64[m], of the draws: 1, 1/12 and 1.
        array: float64 array by the name of a file of the spec.
        paired_parts, cross_parts: give independent estimates of both, float64[C, d, d] and float64[C, d, m], by parts of a
            pilot; None where there is a closed form.
    """

    noise: Array
    paired: Callable[[], Array]
    cross: Callable[[], Array]
    variances: Array
    array: Callable[[str], Array]
    paired_parts: Callable[[], Array | None] = lambda: None
    cross_parts: Callable[[], Array | None] = lambda: None


class SimulationDesign:
    """A design on fresh samples; `arrays` of a built problem go into the run file, so that it can be predicted later."""

    name = ""
    pooled = False
    independent = True
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    made_of: tuple[str, ...] = ()
    """What of a `Simulation` the covariance is made of, beside G."""

    def factor(self, batch: int, pool_size: int | None = None) -> float | None:
        """None: the covariance is not a multiple of G."""
        return None

    def problems(self, batch: int, pool_size: int | None = None) -> list[str]:
        """batch >= 1."""
        return batch_problems(batch)

    def covariance(self, simulation: Simulation, sampling: Any) -> Array:
        """Exact covariance of the mini-batch gradient at theta*, float64[d, d]."""
        raise NotImplementedError

    def coefficient(self, simulation: Simulation, sampling: Any) -> Array | None:
        """B float64[d, m] of control variates; None without any."""
        return None

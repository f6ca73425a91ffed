"""Control variates: the draws that a sample is simulated from, whose means are known."""

from __future__ import annotations

from typing import Any

from fastsgd.designs.simulation import Array, Simulation, SimulationDesign


class ControlVariate(SimulationDesign):
    """ghat - B cbar, cbar the mean of the draws less their means: Cov = (G - B C' - C B' + B K B')/b.

    C = Cov(g, c) at theta*, K the (diagonal) covariance of the draws. `coefficient`: "optimal", B = C K^-1, for which
    Cov = (G - C K^-1 C')/b is never above G/b; or { file } with B float64[d, draws of a sample]. Unbiased at every theta.
    """

    name = "control-variate"
    takes = ("coefficient",)
    made_of = ("cross",)

    def coefficient(self, simulation: Simulation, sampling: Any) -> Array:
        """B float64[d, m]."""
        cross, wanted = simulation.cross(), sampling.coefficient
        if wanted is None or isinstance(wanted, str):
            return cross / simulation.variances
        given = simulation.array(wanted.file)
        if given.shape != cross.shape:
            raise ValueError(
                f"sampling.coefficient.file must be {cross.shape[0]} x {cross.shape[1]} (coordinates x draws of a sample), "
                f"got shape {list(given.shape)}; save a matrix of that shape"
            )
        return given

    def covariance(self, simulation: Simulation, sampling: Any) -> Array:
        B, C = self.coefficient(simulation, sampling), simulation.cross()
        mixed = B @ C.T
        total: Array = (simulation.noise - mixed - mixed.T + (B * simulation.variances) @ B.T) / sampling.batch
        return 0.5 * (total + total.T)


design = ControlVariate()

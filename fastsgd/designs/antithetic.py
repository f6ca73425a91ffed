"""Antithetic pairs of simulated samples."""

from __future__ import annotations

from typing import Any

from fastsgd.designs.simulation import Array, Simulation, SimulationDesign


class Antithetic(SimulationDesign):
    """b/2 independent pairs, made of normals z and -z, uniforms u and 1 - u: Cov = (G + (C + C')/2)/b, C = Cov(g, g~).

    Exact at theta*; C is a closed form for a newsvendor and found from a pilot elsewhere. Below G/b in Loewner order where
    the gradient is monotone in the draws, above it where it is even in them (a symmetric linear model).
    """

    name = "antithetic"
    made_of = ("paired",)

    def problems(self, batch: int, pool_size: int | None = None) -> list[str]:
        """batch >= 2 and even."""
        if batch < 1 or batch % 2:
            return [f"sampling.batch must be even for antithetic pairs, got {batch}; give {max(batch, 1) + 1}"]
        return []

    def covariance(self, simulation: Simulation, sampling: Any) -> Array:
        return simulation.paired() * (2.0 / sampling.batch)


design = Antithetic()

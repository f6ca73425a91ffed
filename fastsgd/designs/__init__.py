"""Sampling designs by name. A new design is a new file here with a module attribute `design`.

Packages add theirs through the entry point group `fastsgd.designs`, name = value pointing at the design object.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd.designs.base import Design, PoolDesign, scaled
from fastsgd.designs.draws import Draws
from fastsgd.designs.form import Form
from fastsgd.designs.pool import Pool
from fastsgd.designs.simulation import Simulation, SimulationDesign

__all__ = [
    "Design",
    "Draws",
    "Form",
    "Pool",
    "PoolDesign",
    "Simulation",
    "SimulationDesign",
    "design_covariance",
    "get",
    "names",
]

_HELPERS = ("base", "draws", "form", "pool", "simulation")
_found: dict[str, Design] = {}


def _registry() -> dict[str, Design]:
    if not _found:
        for module in pkgutil.iter_modules(__path__):
            if module.name not in _HELPERS:
                design = getattr(importlib.import_module(f"{__name__}.{module.name}"), "design", None)
                if design is not None:
                    _found[design.name] = design
    return _found


def names() -> list[str]:
    """Names of the designs that come with fastsgd, sorted."""
    return sorted(_registry())


def get(name: str) -> Design:
    """The design called `name`, built in or from an entry point; ValueError with the nearest names otherwise."""
    registry = _registry()
    if name in registry:
        return registry[name]
    from importlib.metadata import entry_points

    for entry in entry_points(group="fastsgd.designs"):
        if entry.name == name:
            registry[name] = entry.load()
            return registry[name]
    near = difflib.get_close_matches(name, registry, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"sampling.design must be one of {', '.join(sorted(registry))}, got {name!r}{hint}")


def design_covariance(design: str, G: ArrayLike, batch: int, pool_size: int | None = None) -> NDArray[np.float64]:
    """Exact covariance of a mini-batch gradient, conditional on the pool where there is one. Section 4.

    Args:
        design: name of a design whose covariance is a multiple of G.
        G: float64[d, d]: gradient covariance of one sample (fresh), or of the pool with normalisation 1/n.
        batch: b, samples a step.
        pool_size: n, for designs on a pool.

    Returns:
        Sigma, float64[d, d]: G/b (fresh), (n-b)/((n-1) b) S_n (without-replacement), S_n/b (with-replacement).
    """
    return scaled(get(design), G, batch, pool_size)

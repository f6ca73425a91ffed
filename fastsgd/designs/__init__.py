"""Sampling designs by name. A new design is a new file here with a module attribute `design`.

Packages add theirs through the entry point group `fastsgd.designs`, name = value pointing at the design object.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsgd import installed
from fastsgd.designs.base import Design, PoolDesign, scaled
from fastsgd.designs.draws import Draws
from fastsgd.designs.form import Form
from fastsgd.designs.own import OWN, Own, OwnDesign
from fastsgd.designs.pool import Pool
from fastsgd.designs.simulation import Simulation, SimulationDesign
from fastsgd.errors import InputError

__all__ = [
    "OWN",
    "Design",
    "Draws",
    "Form",
    "Own",
    "OwnDesign",
    "Pool",
    "PoolDesign",
    "Simulation",
    "SimulationDesign",
    "design_covariance",
    "get",
    "names",
]

_HELPERS = ("base", "draws", "form", "own", "pool", "simulation")
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
    """The design called `name`: built in, from an entry point, or `file.py:name`; ValueError with the nearest otherwise."""
    registry = _registry()
    if OWN.fullmatch(name):
        return Own(name)
    if name in registry:
        return registry[name]
    try:
        found = installed.offered("design", name)
    except InputError as error:
        raise ValueError(str(error)) from None
    if isinstance(found, Design):
        return found
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

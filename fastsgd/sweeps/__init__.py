"""Sweeps: a grid of cells, each an ordinary run, on the cores of this machine."""

from fastsgd.sweeps.run import Status, sweep

__all__ = ["Status", "sweep"]

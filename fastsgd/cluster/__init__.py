"""Runs and sweeps on a Dask cluster (`pip install fastsgd[cluster]`): its own workers, or those of any scheduler."""

from fastsgd.cluster.front import run, sweep

__all__ = ["run", "sweep"]

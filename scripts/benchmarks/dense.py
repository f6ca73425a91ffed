"""Quadratic SGD with a dense H: see `quadratic`."""

from __future__ import annotations

from benchmarks.core import Case
from benchmarks.quadratic import DIMENSIONS, PEERS, make_cases

__all__ = ["PEERS", "TITLE", "UNIT", "cases"]

TITLE = "Quadratic SGD, dense H"
UNIT = "replicate-step"


def cases(quick: bool, threads: int) -> list[Case]:
    return make_cases(quick, threads, (20,) if quick else DIMENSIONS, dense=True)

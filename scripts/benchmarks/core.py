"""The words of the benchmark: a case, a peer, the work of a peer on a case."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Case = dict[str, Any]  # "label" and the parameters of one measurement; plain JSON values
OURS = "fastsgd"
SINGLE = "fastsgd, single precision"  # its normals; the arithmetic of a recursion is double


class Unavailable(Exception):
    """A peer cannot take part; the text says why and stands in the report."""


@dataclass(frozen=True)
class Work:
    """What a peer does in one turn: `run` does `units` units; `bits`: numbers to compare with ours, bit for bit."""

    run: Callable[[], Any]
    units: float
    bits: np.ndarray | None = None


@dataclass(frozen=True)
class Peer:
    """A program that does the work of a case. Peers of one `group` share a process; `environment` is that process's."""

    name: str
    group: str
    make: Callable[[Case], Work]
    environment: dict[str, str] = field(default_factory=dict)


def require(module: str) -> Any:
    """Import a module of a peer, or say that it is missing."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(f"no {module.split('.')[0]}") from error


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)

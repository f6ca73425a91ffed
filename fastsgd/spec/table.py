"""A table of numbers with a target, and the words for what is wrong with the file of one."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fastsgd.errors import InputError

if TYPE_CHECKING:
    import numpy as np

SHOWN = 5


class DataTable(NamedTuple):
    """features float64[n, p], target float64[n], names list[p] of the feature columns."""

    features: "np.ndarray"
    target: "np.ndarray"
    names: list[str]


def fail(path: Path, problems: Sequence[str]) -> None:
    """InputError with the first problems of a file and how many more there are; nothing if there are none."""
    if problems:
        more = (
            [f"{path} has {len(problems) - SHOWN} more such problems; mend them all"] if len(problems) > SHOWN else []
        )
        raise InputError([f"{path} {problem}" for problem in problems[:SHOWN]] + more)


def choose(path: Path, target: str, names: Sequence[str], what: str, role: str = "for the target") -> None:
    """InputError naming the nearest column or array unless the target (or another in its role) is among `names`."""
    if target not in names:
        near = get_close_matches(target, names, 1) or [n for n in names if n.lower() == target.lower()]
        shown = ", ".join(list(names)[:10]) + (", ..." if len(names) > 10 else "")
        remedy = f'did you mean "{near[0]}"?' if near else f"it has {shown or 'none'}"
        raise InputError(f'{path} has no {what} "{target}" {role}; {remedy}')

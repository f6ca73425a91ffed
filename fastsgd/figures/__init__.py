"""Figures of stored runs. One file a kind, each with `draw(evaluations) -> matplotlib Figure`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastsgd.errors import InputError

KINDS = {"risk": "risk", "covariance": "covariance", "step-size": "step_size"}
SUFFIXES = (".png", ".pdf", ".svg")

__all__ = ["KINDS", "SUFFIXES", "figure", "plot"]


def plot(
    runs: Any,
    output: str | os.PathLike[str],
    *,
    kind: str | None = None,
    assume: Sequence[str] = (),
    over: str | None = None,
) -> list[Path]:
    """Draw runs with their predictions and write the figure.

    Args:
        runs: one run or path, or a list of them.
        output: file name; with a suffix .png, .pdf or .svg that format, without one a PNG and a PDF.
        kind: "risk" (against the step, ratios below), "covariance" (measured against predicted variances at the last
            recorded step), "step-size" (ratio at the last step of each arm against its step size) or "sweep" (the folder
            of a sweep: risks of all cells against a swept key; the default for a folder).
        assume: KEY=VALUE altering the prediction, as for `ratio`.
        over: the swept key on the abscissa of a sweep; default: that with the most numbers.

    Returns:
        The files written.
    """
    paths = _targets(Path(output))
    made = figure(runs, kind=kind, assume=assume, over=over)
    from fastsgd.figures.style import save

    for path in paths:
        save(made, path)
    return paths


def figure(runs: Any, *, kind: str | None = None, assume: Sequence[str] = (), over: str | None = None) -> Any:
    """The matplotlib Figure of `plot`, not written anywhere."""
    if kind == "sweep" or (kind is None and _is_sweep(runs)):
        return _of_sweep(runs, assume, over)
    if over is not None:
        raise InputError("over names a swept key: it is for the folder of a sweep")
    kind = kind or "risk"
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    from fastsgd.analysis.ratios import evaluate
    from fastsgd.analysis.sweeps import expand

    many: list[Any] = []
    for run in runs if isinstance(runs, (list, tuple)) else [runs]:
        many += expand([Path(run)]) if isinstance(run, (str, os.PathLike)) else [run]
    from fastsgd.figures.style import styled

    evaluations = [evaluate(run, assume) for run in many]
    with styled():
        return importlib.import_module(f"fastsgd.figures.{KINDS[kind]}").draw(evaluations)


def _is_sweep(runs: Any) -> bool:
    from fastsgd.analysis.sweep_data import Sweep
    from fastsgd.store.index import is_sweep

    one = runs[0] if isinstance(runs, (list, tuple)) and len(runs) == 1 else runs
    return isinstance(one, Sweep) or (isinstance(one, (str, os.PathLike)) and is_sweep(one))


def _of_sweep(runs: Any, assume: Sequence[str], over: str | None) -> Any:
    from fastsgd.analysis.sweep_data import Sweep, open_sweep
    from fastsgd.figures.style import styled
    from fastsgd.figures.sweep import draw

    if not _is_sweep(runs):
        raise InputError("kind = sweep takes the folder of one sweep")
    if assume:
        raise InputError("a sweep is drawn as predicted; --assume is for `ratio`, or for the cells' files")
    one = runs[0] if isinstance(runs, (list, tuple)) else runs
    sweep = one if isinstance(one, Sweep) else open_sweep(one)
    with styled():
        return draw(sweep, over)


def _targets(output: Path) -> list[Path]:
    if not output.name or output.is_dir():
        raise InputError(f"{str(output)!r} is no name for a figure; give a file name")
    if output.suffix.lower() in SUFFIXES:
        paths = [output]
    elif output.suffix and not output.suffix[1:].isdigit():
        raise InputError(f"{output} must end in {', '.join(SUFFIXES)} or have no suffix (then PNG and PDF)")
    else:
        paths = [output.with_name(output.name + suffix) for suffix in (".png", ".pdf")]
    if not output.parent.is_dir():
        raise InputError(f"{output.parent} is no folder; make it or choose another place for the figure")
    return paths

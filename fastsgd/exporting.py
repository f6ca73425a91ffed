"""A stored run in other formats: netCDF and zarr through xarray, and CSV."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastsgd import store
from fastsgd.analysis.sweep_data import check_target, needed, write_zarr
from fastsgd.errors import InputError

FORMATS = ("netcdf", "zarr", "csv")
SUFFIX = {"netcdf": ".nc", "zarr": ".zarr", "csv": ".csv"}
HEADER = ("arm", "replicate", "step", "risk", "diverged_at")
ROWS = 4096


def export(
    run: store.Run | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    format: str = "netcdf",
    force: bool = False,
) -> Path:
    """Write a run's numbers in another format; what only resumption needs is left out.

    Args:
        run: a run or its file; of an unfinished one the completed waves are written.
        path: the file (zarr: folder) to make; default: the run's name with another suffix.
        format: netcdf (netCDF-4, every variable of `dataset`), zarr (the same), or csv: a line for each arm, replicate and
            recorded step with its risk, and the step at which the replicate diverged (-1: it did not).
        force: replace what is there.

    Returns:
        The file.

    Raises:
        InputError: no such format, the place is taken, or a library is missing.
    """
    if format not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    opened = run if isinstance(run, store.Run) else store.open_run(run)
    target = Path(path) if path is not None else opened.path.with_suffix(SUFFIX[format])
    check_target(target, force and not (target.exists() and target.samefile(opened.path)))
    write = {"netcdf": _netcdf, "zarr": _zarr, "csv": _csv}[format]
    _in_place(target, lambda work: write(opened, work))
    return target


def dataset(run: store.Run) -> Any:
    """xarray.Dataset of a run: risk, final, diverged_at, kept iterates, moments, step sizes and the problem's arrays.

    Dimensions are `arm` (if the run has arms), `replicate`, `step`, `coordinate`, `coordinate_2`; attributes are those of the
    file. Of an unfinished run the completed replicates.
    """
    xarray = needed("xarray")
    rows = run.progress.replicates_done
    variables: dict[str, Any] = {}
    for name in run.names("replicate"):
        dims = run.dims(name)
        parts = [run.rows(name, arm) for arm in run.arms]
        variables[name] = (dims, np.stack(parts) if dims[0] == "arm" else parts[0])
    plain = [name for name in run.names("static") if "/" not in name and name not in run.dims(name)]
    for name in [*(run.names("result") if run.finished else ()), *plain]:
        variables[name] = (run.dims(name), run.whole(name))
    coords: dict[str, Any] = {"step": run.steps, "coordinate": run.coordinates, "coordinate_2": run.coordinates}
    coords["replicate"] = run.whole("replicate")[:rows]
    if run.sizes.trajectories:
        coords["trajectory_replicate"] = run.whole("trajectory_replicate")[:rows]
    if run.sizes.with_arms:
        coords["arm"] = run.arms
    import json

    attrs = {"identity": run.identity, "stream_version": str(run.stream_version), "spec": json.dumps(run.document)}
    found = xarray.Dataset(variables, coords, attrs | {"provenance": json.dumps(run.provenance)})
    return found


def _netcdf(run: store.Run, work: Path) -> None:
    needed("h5netcdf")
    dataset(run).to_netcdf(work, engine="h5netcdf")


def _zarr(run: store.Run, work: Path) -> None:
    write_zarr(dataset(run), work)


def _csv(run: store.Run, work: Path) -> None:
    numbers = run.whole("replicate")
    with work.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for arm in run.arms:
            for start in range(0, run.progress.replicates_done, ROWS):
                risk = run.rows("risk", arm, start, start + ROWS).tolist()
                diverged = run.rows("diverged_at", arm, start, start + ROWS).tolist()
                for number, line, step_lost in zip(numbers[start:].tolist(), risk, diverged, strict=False):
                    writer.writerows(
                        (arm, number, int(step), repr(value) if value == value else "", step_lost)
                        for step, value in zip(run.steps, line, strict=True)
                    )


def _in_place(target: Path, write: Callable[[Path], None]) -> None:
    """Write under another name, then put it there."""
    work = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        write(work)
        if target.is_dir():
            shutil.rmtree(target)
        work.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if work.is_dir():
            shutil.rmtree(work)
        work.unlink(missing_ok=True)

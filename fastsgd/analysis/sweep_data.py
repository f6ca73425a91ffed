"""A sweep's folder as data: rows of all cells, an xarray Dataset with the swept keys as dimensions, CSV, JSON, LaTeX."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fastsgd import store, views
from fastsgd.analysis import tables
from fastsgd.analysis.ratios import ratio_of_runs
from fastsgd.analysis.report import CONSISTENT, INCONSISTENT, RatioReport
from fastsgd.analysis.rows import COLUMNS
from fastsgd.analysis.sweeps import read, sweep_text
from fastsgd.errors import InputError
from fastsgd.store.index import FINISHED, CellEntry

NUMBERS = {
    "risk": ("empirical", "mean risk over replicates"),
    "risk_standard_error": ("standard_error", "standard error of the mean risk"),
    "risk_predicted": ("predicted", "predicted mean risk"),
    "risk_z": ("z", "normal deviate of measured against predicted"),
}
TABLE = ("arm", "step", "empirical", "standard_error", "predicted", "ratio", "z")
SUFFIX = {"netcdf": "nc", "zarr": "zarr", "csv": "csv"}
HEADS = {"empirical": "risk", "standard_error": "std.error"}


def open_sweep(folder: str | os.PathLike[str]) -> Sweep:
    """The sweep in a folder; its finished cells are read when they are needed.

    Raises:
        InputError: the folder has no index of a sweep.
    """
    return Sweep(Path(folder))


class Sweep:
    """A stored sweep.

    Attributes:
        folder, name, seed: where it is, its name, its base seed.
        keys: the swept keys, in the order of the grid.
        cells: `CellEntry` of every cell: values, file, identity, state, error.
    """

    def __init__(self, folder: Path):
        self.folder = folder if folder.is_dir() else folder.parent
        self.index = read(folder)
        self.name, self.seed = self.index.name, self.index.seed
        self.keys, self.cells = list(self.index.keys), list(self.index.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r}, {len(self.finished)} of {len(self)} cells finished, over {', '.join(self.keys)})"

    def _repr_html_(self) -> str:
        header, rows = self._table() if self.finished else (["cell", "state"], [(c.file, c.state) for c in self.cells])
        return f"<div><code>{escape(repr(self))}</code>{views.table(header, rows)}</div>"

    @property
    def finished(self) -> list[CellEntry]:
        """The cells with a finished run."""
        return [cell for cell in self.cells if cell.state == FINISHED]

    def run(self, values: Mapping[str, Any] | None = None, **more: Any) -> store.Run:
        """The run of the one cell with these values of the swept keys.

        Raises:
            InputError: no cell or several have them, or the cell is not finished.
        """
        wanted = {**(values or {}), **more}
        if unknown := wanted.keys() - set(self.keys):
            raise InputError(f"{', '.join(sorted(unknown))} is not swept; keys are {', '.join(self.keys)}")
        found = [cell for cell in self.cells if all(cell.values.get(key) == value for key, value in wanted.items())]
        if len(found) != 1:
            raise InputError(f"{len(found)} cells of {self.folder} have {wanted}; give a value for each of {self.keys}")
        return store.open_run(self.folder / found[0].file)

    @cached_property
    def reports(self) -> list[RatioReport]:
        """A report of each finished cell, judged together. InputError if there is none."""
        if not self.finished:
            raise InputError(f"{self.folder} has no finished cells yet; go on with `fastsgd sweep`")
        return ratio_of_runs([self.folder / cell.file for cell in self.finished])

    @property
    def verdict(self) -> str:
        """consistent if all finished cells are."""
        return CONSISTENT if all(report.consistent for report in self.reports) else INCONSISTENT

    def rows(self, quantity: str | None = None) -> list[dict[str, Any]]:
        """Every comparison of every finished cell: its values of the swept keys, its file, and the columns of a report."""
        return [
            {**cell.values, "cell": cell.file, **row.as_dict()}
            for cell, report in zip(self.finished, self.reports, strict=True)
            for row in report.rows
            if quantity in (None, row.quantity)
        ]

    def to_pandas(self) -> Any:
        """`rows` as a DataFrame."""
        pandas = needed("pandas")
        return pandas.DataFrame(self.rows(), columns=[*self.keys, "cell", *COLUMNS])

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """`rows` as CSV, also written to a file if one is named."""
        header = [*self.keys, "cell", *COLUMNS]
        lines = [[_plain(row.get(key)) for key in header] for row in self.rows()]
        return written(tables.csv_text(header, lines), path)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Index, rows and verdict as JSON."""
        content = self.index.document() | {"rows": self.rows(), "verdict": self.verdict}
        return written(tables.json_text(content) + "\n", path)

    def to_latex(self, path: str | os.PathLike[str] | None = None) -> str:
        """The risks at the last step of each cell as a LaTeX tabular (package booktabs)."""
        header, rows = self._table()
        lines = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in [header, *rows]]
        body = [lines[0], r"\midrule", *lines[1:]]
        columns = "l" * (len(self.keys) + 1) + "r" * (len(header) - len(self.keys) - 1)
        start, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
        return written("\n".join([start, r"\toprule", *body, r"\bottomrule", end]) + "\n", path)

    def to_text(self) -> str:
        """Facts, and the state of each cell."""
        return sweep_text(self.folder)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells of the risks at the last step of each cell and arm."""
        last: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self.rows("risk"):
            if row["step"] is not None:
                last[row["cell"], row["arm"]] = row
        header = [*self.keys, *(HEADS.get(name, name) for name in TABLE)]
        shown = [
            [*(_word(row[key]) for key in self.keys), *(_number(name, row[name]) for name in TABLE)]
            for row in last.values()
        ]
        return header, shown

    def to_xarray(self, replicates: bool = False) -> Any:
        """Dataset with the swept keys as dimensions, then `arm` and `step`; NaN where a cell is not finished.

        Variables: `risk`, `risk_standard_error`, `risk_predicted`, `risk_z`; `count`; `mean` and `covariance` of theta -
        theta* where all cells have the same coordinates. With `replicates` also `replicate_risk`, the risk of each.
        """
        xarray = needed("xarray")
        cells = [(cell, store.open_run(self.folder / cell.file)) for cell in self.finished]
        if not cells:
            raise InputError(f"{self.folder} has no finished cells yet; go on with `fastsgd sweep`")
        axes = {key: _distinct([cell.values[key] for cell in self.cells]) for key in self.keys}
        arms = _distinct([arm for _, run in cells for arm in run.arms])
        steps = sorted({int(step) for _, run in cells for step in run.steps})
        names = cells[0][1].coordinates
        same = all(run.coordinates == names for _, run in cells)
        rows = max(run.replicates for _, run in cells) if replicates else 0
        leading = {key: len(values) for key, values in axes.items()} | {"arm": len(arms)}
        sizes = leading | {"step": len(steps), "coordinate": len(names), "coordinate_2": len(names), "replicate": rows}
        layout = _layout(list(leading), same, replicates)
        data = {name: np.full([sizes[dim] for dim in dims], np.nan) for name, (dims, _) in layout.items()}
        for (cell, run), report in zip(cells, self.reports, strict=True):
            at = tuple(axes[key].index(cell.values[key]) for key in self.keys)
            columns = [steps.index(int(step)) for step in run.steps]
            for arm in run.arms:  # steps whose risk is no random number have no row
                risk = run.risk(arm)
                finite = np.isfinite(risk)
                sums = np.where(finite, risk, 0.0).sum(axis=0)
                mean = np.divide(sums, finite.sum(axis=0), out=np.full(len(columns), np.nan), where=finite.any(axis=0))
                data["risk"][(*at, arms.index(arm))][columns] = mean
            for row in report.rows:
                if row.quantity == "risk" and row.step is not None:
                    for name, (field, _) in NUMBERS.items():
                        data[name][(*at, arms.index(row.arm), steps.index(row.step))] = getattr(row, field)
            for arm in run.arms:
                place = (*at, arms.index(arm))
                found = dict(zip(("count", "mean", "covariance"), run.moments(arm), strict=True))
                for name in found.keys() & data.keys():
                    data[name][place][columns] = found[name]
                if replicates:
                    data["replicate_risk"][place][: run.replicates, columns] = run.risk(arm)
        coords: dict[str, Any] = {key: [_plain(value) for value in values] for key, values in axes.items()}
        coords |= {"arm": arms, "step": steps} | ({"coordinate": names, "coordinate_2": names} if same else {})
        variables = {name: (dims, data[name], {"long_name": label}) for name, (dims, label) in layout.items()}
        return xarray.Dataset(
            variables, coords, {"name": self.name, "seed": str(self.seed), "sweep": ", ".join(self.keys)}
        )


def _layout(leading: list[str], moments: bool, replicates: bool) -> dict[str, tuple[list[str], str]]:
    """Variable -> (dimensions, label)."""
    base = [*leading, "step"]
    found = {name: (base, label) for name, (_, label) in NUMBERS.items()}
    found["count"] = (base, "replicates counted")
    if moments:
        found["mean"] = ([*base, "coordinate"], "mean of theta - theta*")
        found["covariance"] = ([*base, "coordinate", "coordinate_2"], "covariance of theta - theta*")
    if replicates:
        found["replicate_risk"] = ([*leading, "replicate", "step"], "risk of a replicate")
    return found


def check_target(target: Path, force: bool) -> None:
    """InputError unless an export may be written, or with `force` replaced, at a path; other folders are never replaced."""
    if not target.parent.is_dir():
        raise InputError(f"folder {target.parent} does not exist; make it first")
    if target.exists() and not force:
        raise InputError(f"{target} is there already; give another name with -o, or --force")
    if target.is_dir() and not any((target / name).is_file() for name in ("zarr.json", ".zgroup")):
        raise InputError(f"{target} is a folder that is no zarr store; give another name with -o")
    if target.exists() and not target.is_dir() and not target.is_file():
        raise InputError(f"{target} is a pipe, socket or device; give another name with -o")


def write_zarr(data: Any, path: Path) -> None:
    """Write an xarray.Dataset to a zarr store."""
    needed("zarr")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr 3 warns of its own string type
        data.to_zarr(path, mode="w")


def export_table(
    folder: str | os.PathLike[str], kind: str, path: str | os.PathLike[str] | None = None, force: bool = False
) -> Path:
    """Write a sweep: its table (csv) or its Dataset (netcdf, zarr); default name: that of the folder with a suffix."""
    sweep = open_sweep(folder)
    target = Path(path) if path is not None else sweep.folder.with_name(f"{sweep.folder.name}.{SUFFIX[kind]}")
    check_target(target, force)
    if kind == "csv":
        sweep.to_csv(target)
    elif kind == "zarr":
        write_zarr(sweep.to_xarray(), target)
    else:
        needed("h5netcdf")
        sweep.to_xarray().to_netcdf(target, engine="h5netcdf")
    return target


def needed(name: str) -> Any:
    """An optional module, or InputError with how to install it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{name} is not installed; pip install 'fastsgd[xarray]'") from None


def written(content: str, path: str | os.PathLike[str] | None) -> str:
    """`content`, also in a file."""
    if path is not None:
        try:
            Path(path).write_text(content, encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return content


def _distinct(values: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _plain(value: Any) -> Any:
    """A value as a coordinate or a cell of CSV: lists and tables as JSON."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(name: str, value: Any) -> str:
    if name in ("arm", "step"):
        return str(value)
    if name == "ratio":
        return tables.fixed(value, 4)
    return tables.fixed(value, 2) if name == "z" else tables.number(value, 2 if name == "standard_error" else 6)


def _latex(text: str) -> str:
    """A cell: numbers in mathematics, the rest escaped."""
    try:
        float(text)
    except ValueError:
        return "".join(f"\\{c}" if c in "&%$#_{}" else r"\textbackslash{}" if c == "\\" else c for c in text)
    mantissa, _, exponent = text.partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$" if exponent else f"${text}$"

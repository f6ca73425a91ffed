"""From an entry to the runs that it needs at a scale: specs with seeds, and files named by identity and replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastsgd.errors import InputError, SpecError
from fastsgd.experiments.base import Entry, Part
from fastsgd.spec import load_spec
from fastsgd.spec.model import Spec
from fastsgd.sweeps.grid import axes_of, cells_of, own_seed


@dataclass(frozen=True)
class Planned:
    """A run that an entry needs: its part, its label there, its checked spec with a seed, its file."""

    part: Part
    label: str
    spec: Any
    identity: str
    path: Path

    @property
    def total(self) -> int:
        """Replicate-steps in all arms."""
        return int(self.spec.replicates * self.spec.horizon * max(len(self.spec.arms or ()), 1))


def spec_folder(folder: str | Path | None = None) -> Path:
    """Where the specs of the catalogue are: `folder`, the checkout's runs/, or those that were installed.

    Raises:
        InputError: there are none.
    """
    if folder is not None:
        if not Path(folder).is_dir():
            raise InputError(f"--specs {folder} is no folder; give one with the specs of the catalogue")
        return Path(folder)
    package = Path(__file__).resolve().parents[1]
    for place in (package.parent / "runs", package / "runs", Path("runs")):
        if (place / "plateau.toml").is_file():
            return place
    raise InputError("the specs of the catalogue were not found; give their folder with --specs, such as runs/")


def planned(entry: Entry, scale: str, seed: int | None, specs: Path, store: Path) -> list[Planned]:
    """The runs of an entry, in the order of its parts and their cases."""
    return [run for part in entry.parts for run in runs_of(part, scale, seed, specs, store)]


def stored(entry: Entry, runs: Sequence[tuple[str, str, str]]) -> list[Planned]:
    """Finished runs of an entry as they were planned, from (spec of the part, label, file) of each."""
    import fastsgd

    parts, found = {part.spec: part for part in entry.parts}, []
    for name, label, path in runs:
        run = fastsgd.open_run(path)
        found.append(Planned(parts[name], label, run.spec, run.identity, Path(path)))
    return found


def spec_of(part: Part, scale: str, seed: int | None, specs: Path) -> Spec:
    """The spec of a part at a scale; SpecError names its file."""
    source = specs / f"{part.spec}.toml"
    try:
        return _scaled(part, source, scale, seed)
    except SpecError as error:
        lines = [line if str(source) in line else f"{source}: {line}" for line in error.lines]
        raise SpecError(lines) from None


def _scaled(part: Part, source: Path, scale: str, seed: int | None) -> Spec:
    spec = load_spec(source)
    changes = part.overrides(scale, spec.replicates)
    if seed is not None:
        changes["seed"] = own_seed(seed, {"spec": part.spec})
    spec = spec.with_overrides(changes) if changes else spec
    if spec.seed is None:
        raise SpecError("a reproduction needs a seed, got none; give seed = ...")
    return spec


def runs_of(part: Part, scale: str, seed: int | None, specs: Path, store: Path) -> list[Planned]:
    """The runs of one part: one, one an arm if it is split, one a cell if the spec has a [sweep]."""
    spec = spec_of(part, scale, seed, specs)
    return [_planned(part, label, one, store) for label, one in _cases(part, spec, specs / f"{part.spec}.toml")]


def _cases(part: Part, spec: Spec, source: Path) -> list[tuple[str, Spec]]:
    if part.split:
        return [(arm, one.with_seed(own_seed(spec.seed or 0, {"arm": arm}))) for arm, one in spec.arm_specs().items()]
    if part.cells is not None:
        base, found = spec.without_sweep(), part.cells(spec)
        return [
            (name, base.with_overrides({**to, "seed": own_seed(spec.seed or 0, {"cell": name})})) for name, to in found
        ]
    if not spec.sweep:
        return [("", spec)]
    cells = cells_of(spec, axes_of(spec, {}), spec.independent)
    lines = [f"{source}: {cell.name}: {cell.error}" for cell in cells if cell.spec is None]
    if lines:
        raise SpecError(lines)
    return [(cell.name, cell.spec) for cell in cells if cell.spec is not None]


def _planned(part: Part, label: str, spec: Spec, store: Path) -> Planned:
    identity = spec.identity()
    word = f",{label}" if label else ""
    return Planned(part, label, spec, identity, store / f"{part.spec}{word}-{spec.replicates}-{identity[:10]}.h5")

"""Spec: what to run, a validated frozen value. Made by `load_spec`, which also checks the rules between keys."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr, model_validator

from fastsgd import views
from fastsgd.errors import InputError
from fastsgd.spec import fields, identity, overrides, sections, toml
from fastsgd.spec.files import STORED, DataTable, Files
from fastsgd.spec.sampling import DEFAULT, Sampling

if TYPE_CHECKING:
    import numpy as np


class Spec(sections.Table):
    """A run's description. Tables: `problem`, `sampling`, `step`, `start`, `record`; optional `sweep` and `arms`.

    `sweep` maps dotted keys to lists of values, and may have `independent = true`; `arms` maps names to dotted overrides.
    """

    name: fields.Name
    seed: fields.Seed | None = None
    replicates: fields.Count
    problem: sections.Problem = fields.about('a table with kind = "quadratic", "ou", "glm" or "file.py:name"')
    sampling: Sampling = fields.about("a table such as { batch = 8 }")
    step: sections.Step = fields.about("a table such as { size = 0.01 }")
    start: sections.Start = fields.about(
        'a table such as { kind = "point", value = 0.0 }', default=sections.PointStart()
    )
    record: sections.Record = fields.about("a table such as { steps = [100, 1000] }")
    sweep: dict[str, fields.Swept] | None = fields.about(
        'a table such as { "step.size" = [0.01, 0.005] }', default=None
    )
    arms: dict[str, dict[str, Any]] | None = fields.about("a table of arms, each a table of dotted keys", default=None)

    _files: Files = PrivateAttr(default_factory=lambda: Files(Path()))

    @model_validator(mode="before")
    @classmethod
    def _default_design(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and isinstance(raw.get("sampling"), Mapping) and "design" not in raw["sampling"]:
            pool = sections.has_pool(raw.get("problem"))
            return {**raw, "sampling": {"design": DEFAULT[pool], **raw["sampling"]}}
        return raw

    def __repr__(self) -> str:
        problem = f"{self.problem.kind}, replicates {self.replicates}, horizon {self.horizon}"
        more = [f"{len(self.arms)} arms"] if self.arms else []
        more += [f"sweep over {', '.join(self.sweep_axes)}"] if self.sweep_axes else []
        return f"Spec({', '.join([repr(self.name), problem, f'seed {self.seed}', *more])})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return views.text(f"Spec {self.name}", self.to_toml())

    @classmethod
    def build(cls, raw: Mapping[str, Any], files: Files) -> "Spec":
        """A spec of raw tables that are known to be right (pydantic.ValidationError otherwise)."""
        spec = cls.model_validate(raw)
        spec._files = files
        return spec

    @classmethod
    def from_document(cls, document: Mapping[str, Any], arrays: "Mapping[str, np.ndarray]") -> "Spec":
        """The spec of a stored run: `document()` and `arrays()` of the spec that it was made from.

        Raises:
            InputError: the document has another version, says something impossible, or an array is missing.
        """
        from fastsgd.spec.load import restore

        return restore(document, arrays)

    def raw(self) -> dict[str, Any]:
        """The keys that were given, as plain values: what `load_spec` takes."""
        return identity.plain(self.model_dump(exclude_unset=True, exclude_none=True))

    def with_seed(self, seed: int) -> "Spec":
        """The same spec with this seed."""
        return self.build(self.raw() | {"seed": seed}, self._files)

    def draw_seed(self) -> "Spec":
        """Itself if it has a seed, else with a fresh one from the operating system."""
        return self if self.seed is not None else self.with_seed(secrets.randbits(64))

    def plain_sampling(self) -> "Spec":
        """The same spec with nothing but design and batch in [sampling]; not checked."""
        raw = self.raw()
        kept = {key: value for key, value in raw["sampling"].items() if key in ("design", "batch")}
        return self.build(raw | {"sampling": kept}, self._files)

    def with_overrides(self, changes: Sequence[str] | Mapping[str, Any]) -> "Spec":
        """A checked copy with `a.b=c` overrides, or a mapping of dotted keys to values. Raises SpecError."""
        from fastsgd.spec.load import change

        return change(self, changes)

    @property
    def sweep_axes(self) -> dict[str, list[Any]]:
        """Dotted key -> values of the sweep; empty without one."""
        return {key: list(values) for key, values in (self.sweep or {}).items() if not isinstance(values, bool)}

    @property
    def independent(self) -> bool:
        """Whether each cell of the sweep is to have a seed of its own."""
        return (self.sweep or {}).get(fields.INDEPENDENT) is True

    def without_sweep(self) -> "Spec":
        """The same spec without its sweep."""
        return self.build({key: value for key, value in self.raw().items() if key != "sweep"}, self._files)

    def arm_specs(self) -> dict[str, "Spec"]:
        """A spec for each arm, in the order of the spec, with its overrides applied; `{"main": self}` without arms."""
        if not self.arms:
            return {"main": self}
        base = {key: value for key, value in self.raw().items() if key not in ("arms", "sweep")}
        return {name: self.build(with_arm(base, changes), self._files) for name, changes in self.arms.items()}

    def canonical(self) -> dict[str, Any]:
        """Everything that changes the numbers, for JSON. Raises InputError if a file cannot be read."""
        return identity.canonical(self)

    def identity(self) -> str:
        """SHA-256 (hex) of the canonical JSON; ValueError without a seed."""
        return identity.identity(self)

    def document(self) -> dict[str, Any]:
        """The canonical form with name, replicates, trajectories; with `arrays()` enough for `from_document`."""
        return identity.document(self)

    def arrays(self) -> "dict[str, np.ndarray]":
        """SHA-256 (hex) -> float64 array (read-only), every array that came from a file."""
        return identity.arrays(self)

    def array(self, name: str) -> "np.ndarray":
        """float64 (read-only) of a file name of this spec, such as `problem.hessian.file`. InputError: one line."""
        return self._files.array(name)

    def table(self) -> DataTable:
        """features float64[n, p], target float64[n], names of the columns, of `problem.data.file`, as read.

        Raises:
            InputError: one line a problem of the file.
        """
        if not isinstance(self.problem, sections.Glm) or self.problem.data.file is None:
            raise ValueError("only a glm with problem.data.file has a table")
        return self._files.table(self.problem.data.file, self.problem.data.target or "")

    def source(self, name: str | None = None) -> bytes:
        """A Python file of the spec, by default of its problem. InputError if it cannot be read or is not at hand."""
        return self._files.source(name or identity.own_file(self))

    def own_files(self) -> list[str]:
        """Names of the Python files of problems and designs of one's own, of all arms."""
        return identity.own_files(self)

    def code(self) -> list[dict[str, str]]:
        """Name, SHA-256 and text of the Python files of one's own that are at hand; not of objects of this process."""
        found = []
        for name in self.own_files():
            with suppress(InputError, UnicodeDecodeError):
                text = self.source(name)
                of = {"name": Path(self.path(name)).name, "sha256": identity.sha256(text), "text": text.decode()}
                found.append(of)
        return found

    def with_code(self, paths: Sequence[Path]) -> "Spec":
        """The same spec, rebuilt from a run with code of one's own, with its Python files at hand."""
        self._files.attach_sources(self.own_files(), paths)
        return self

    def path(self, name: str) -> Path:
        """Where a file name of this spec is on disk; names are relative to the folder of the spec."""
        return self._files.path(name)

    def record_steps(self) -> list[int]:
        """The recorded steps, strictly increasing."""
        steps = self.record.steps
        return identity.log_steps(steps.log, steps.last) if isinstance(steps, sections.LogSteps) else list(steps)

    @property
    def horizon(self) -> int:
        """The last recorded step."""
        return self.record_steps()[-1]

    def to_toml(self, base: Path | None = None) -> str:
        """TOML of the keys that were given. File names are absolute, or as given if `base` is the folder of the spec.

        An array that is attached and has no file is named by its hash, which `load_spec` refuses with a remedy.
        """
        keep = base is not None and base.resolve() == self._files.base.resolve()
        return toml.dumps(self.raw() if keep else _absolute(self.raw(), self._files.base))


def with_arm(raw: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of raw tables with an arm's dotted keys put in."""
    copy = deepcopy(dict(raw))
    for key, value in changes.items():
        overrides.put(copy, key.split("."), value)
    return copy


def _absolute(raw: dict[str, Any], base: Path) -> dict[str, Any]:
    def walk(value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return {name: walk(below, f"{key}.{name}") for name, below in value.items()}
        word = isinstance(value, str) and key.endswith(("problem.kind", "sampling.design"))
        if word and (own := sections.OWN_KIND.fullmatch(value)) and not value.startswith(STORED):
            return f"{(base / own[1]).resolve()}:{own[2]}"
        named = isinstance(value, str) and key.rpartition(".")[2] == "file" and not value.startswith(STORED)
        return str((base / value).resolve()) if named else value

    return {key: value if key == "sweep" else walk(value, key) for key, value in raw.items()}

"""From a TOML file or tables to a Spec, with every problem at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastsgd.errors import InputError, SpecError
from fastsgd.spec import sections, toml, variants
from fastsgd.spec.files import Files
from fastsgd.spec.identity import from_document
from fastsgd.spec.messages import Issue, show, tidy
from fastsgd.spec.model import Spec
from fastsgd.spec.overrides import apply, flatten, put
from fastsgd.spec.repair import repair
from fastsgd.spec.structure import ORDER, fill_dimension, structure


def load_spec(
    source: str | Path | Mapping[str, Any] | Spec,
    overrides: Sequence[str] = (),
    base: Path | None = None,
    cells: bool = True,
) -> Spec:
    """A checked spec from a TOML file or from tables.

    Args:
        source: path of a TOML file, its tables as a mapping, or a Spec.
        overrides: `a.b=c` each, applied in order; the value is TOML, or a text if it is no TOML value.
        base: folder that file names are relative to; default: the folder of the TOML file, or the current one.
        cells: whether the cells of a [sweep] are checked too.

    Raises:
        SpecError: all problems at once, one line each: `key rule, got value; remedy`.
    """
    if isinstance(source, Spec):
        return change(source, overrides)
    if isinstance(source, Mapping):
        raw, folder, name = plain(source), Path(), "run"
    else:
        path = Path(source)
        raw, folder, name = toml.read(path), path.parent, path.stem
    changed, issues = apply(raw, overrides)
    issues += _named_problem(changed) + _named_designs(changed)
    return _checked(changed, Files(Path(base) if base is not None else folder), name, issues, cells)


def _named_problem(raw: dict[str, Any]) -> list[Issue]:
    """Put the `problem.kind` that stands for an object, or for an installed problem, in its place."""
    from fastsgd.problems import own_code

    problem = raw.get("problem")
    kind = problem.get("kind") if isinstance(problem, Mapping) else None
    if kind is None or (isinstance(kind, str) and (kind in sections.KINDS or sections.OWN_KIND.fullmatch(kind))):
        return []
    try:
        found = own_code.entry_point(kind) if isinstance(kind, str) else own_code.registered(kind)
    except InputError as error:
        return [Issue("problem.kind", f"problem.kind = {show(kind)} cannot be used: {error.lines[0]}")]
    if found is not None:
        raw["problem"] = {**raw["problem"], "kind": found}
    return []


def _named_designs(raw: dict[str, Any]) -> list[Issue]:
    """Put what stands for an object, or for an installed design, in the place of every `sampling.design`."""
    from fastsgd.problems import own_design_code

    issues: list[Issue] = []

    def named(value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return {name: named(below, f"{key}.{name}") for name, below in value.items()}
        if not key.endswith("sampling.design"):
            return value
        if key.startswith("sweep.") and isinstance(value, list):
            return [named(one, key.removeprefix("sweep.")) for one in value]
        try:
            return own_design_code.named(value)
        except InputError as error:
            issues.append(Issue("sampling.design", f"sampling.design = {show(value)} cannot be used: {error.lines[0]}"))
            return value

    for table in ("sampling", "arms", "sweep"):
        if isinstance(raw.get(table), Mapping):
            raw[table] = named(raw[table], table)
    return issues


def change(spec: Spec, changes: Sequence[str] | Mapping[str, Any]) -> Spec:
    """A checked copy of a spec with overrides, on the same files."""
    if isinstance(changes, Mapping):
        raw = spec.raw()
        found = [put(raw, key.split("."), plain(value)) for key, value in changes.items()]
        issues = [issue for issue in found if issue]
    else:
        raw, issues = apply(spec.raw(), changes)
    issues += _named_designs(raw)
    return _checked(raw, spec._files, spec.name, issues)


def restore(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> Spec:
    """`Spec.from_document`: its structure is checked, its matrices and data were when they were stored."""
    raw = from_document(document)
    issues = structure(raw)
    issues += variants.arms(raw, issues)
    if issues:
        raise SpecError([issue.line for issue in issues])
    spec = Spec.build(raw, Files(Path(), dict(arrays), document.get("columns")))
    spec.arrays()
    return spec


def plain(value: Any) -> Any:
    """Python values as TOML has them: arrays and tuples as lists, paths as text; keys that are None are left out."""
    if isinstance(value, Mapping):
        return {str(key): plain(below) for key, below in value.items() if below is not None}
    if isinstance(value, (list, tuple)):
        return [plain(below) for below in value]
    if isinstance(value, Path):
        return str(value)
    return value.tolist() if hasattr(value, "tolist") else value


def _checked(raw: dict[str, Any], files: Files, name: str, issues: list[Issue], cells: bool = True) -> Spec:
    raw.setdefault("name", name if name.isprintable() and name else "run")
    if isinstance(raw.get("arms"), Mapping):
        raw["arms"] = {arm: flatten(t) if isinstance(t, Mapping) else t for arm, t in raw["arms"].items()}
    if isinstance(raw.get("sweep"), Mapping):
        raw["sweep"] = flatten(raw["sweep"])
    raw = fill_dimension(raw, files)
    base = structure(raw)
    issues = [*issues, *base, *variants.arms(raw, base), *variants.sweep(raw, base, cells)]
    mended = repair(raw, issues, files) if issues else Spec.build(raw, files)
    if mended is not None:
        issues += _of_problem(mended, issues)
    if issues:
        raise SpecError([issue.line for issue in tidy(issues, ORDER)])
    assert mended is not None
    return mended


def _of_problem(spec: Spec, issues: Sequence[Issue]) -> list[Issue]:
    """What `problems.check` says of a spec and of its arms, about keys that have no problem yet."""
    from fastsgd import problems

    check = getattr(problems, "check", None)
    if check is None:
        return []
    known = {issue.key for issue in issues}
    found: dict[str, Issue] = {}
    alone = spec.model_copy(update={"arms": None, "sweep": None})
    for prefix, one in [("", alone), *((f"arms.{arm}: ", s) for arm, s in spec.arm_specs().items() if spec.arms)]:
        try:
            lines = list(check(one))
        except InputError as error:
            lines = list(error.lines)
        except Exception:
            # A stand-in for a broken table may be too strange for a check; its own problem is reported anyway.
            if not issues:
                raise
            continue
        for line in lines:
            key = line.split()[0].rstrip(":") if line.strip() else line
            if line not in found and not any(_under(key, other) for other in known):
                found[line] = Issue(prefix + key, prefix + line)
    return list(found.values())


def _under(key: str, other: str) -> bool:
    return key == other or (bool(other) and key.startswith((f"{other}.", f"{other}["))) or other.startswith(f"{key}.")

"""What of a spec changes its numbers, as canonical JSON, and a spec back from it.

In the identity: problem, design, batch, steps, start, recorded steps, arms and the seed, with defaults filled in and
files as hashes of their numbers. Not in it: name, replicates, kept trajectories, paths, columns' names, threads.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from fastsgd.errors import InputError
from fastsgd.spec import sampling, sections
from fastsgd.spec.files import STORED, digest

if TYPE_CHECKING:
    from fastsgd.spec.model import Spec

VERSION = 1
ARM_KEYS = ("problem.noise", *(f"sampling.{key}" for key in sampling.KEYS), "step.size")


def log_steps(points: int, last: int) -> list[int]:
    """Unique rounded last^(i / (points - 1)), i = 0 ... points - 1, in 40-digit decimal arithmetic: the same on every
    machine, where the rounding of a libm would change a step and with it the identity."""
    if points == 1 or last == 1:
        return [last]
    context = Context(prec=40)
    logarithm = context.ln(Decimal(last))
    powers = (context.exp(context.divide(logarithm * i, Decimal(points - 1))) for i in range(points - 1))
    return [*sorted({min(int(power.to_integral_value()), last) for power in powers} - {last}), last]


def plain(value: Any) -> Any:
    """Tuples as lists and -0.0 as 0.0, so that equal numbers have equal JSON."""
    if isinstance(value, Mapping):
        return {key: plain(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(below) for below in value]
    return value + 0.0 if isinstance(value, float) else value


def canonical(spec: "Spec") -> dict[str, Any]:
    """Everything that changes the numbers of a spec; reads its files. Raises InputError if one cannot be read."""
    form = _body(spec)
    if spec.arms:
        base = {key: _at(form, key) for key in ARM_KEYS}
        arms = {name: _body(arm) for name, arm in spec.arm_specs().items()}
        form["arms"] = {
            name: {key: _at(body, key) for key in ARM_KEYS if _at(body, key) != base[key]}
            for name, body in arms.items()
        }
    return form


def _body(spec: "Spec") -> dict[str, Any]:
    if isinstance(spec.problem, sections.Own):
        problem = _own(spec, spec.problem)
    elif isinstance(spec.problem, sections.Linear):
        problem = _linear(spec)
    else:
        problem = _glm(spec) if isinstance(spec.problem, sections.Glm) else _simulated(spec)
    record: dict[str, Any] = {"steps": spec.record_steps()}
    if spec.record.average is not None:
        record["average"] = spec.record.average.model_dump()
    return {
        "version": VERSION,
        "seed": spec.seed,
        "problem": problem,
        "sampling": _sampling(spec),
        "step": plain(spec.step.model_dump()),
        "start": plain(spec.start.model_dump()),
        "record": record,
    }


def _sampling(spec: "Spec") -> dict[str, Any]:
    form: dict[str, Any] = plain(spec.sampling.model_dump(exclude_none=True))
    if sections.OWN_KIND.fullmatch(form["design"]):
        form["design"] = _stored(spec, form["design"])
    for key in ("strata", "probabilities", "coefficient"):
        if isinstance(form.get(key), dict) and "file" in form[key]:
            form[key]["file"] = _reference(spec, form[key]["file"])
    if "strata" in form:
        form.setdefault("allocation", "proportional")
    if spec.sampling.design == "control-variate":
        form.setdefault("coefficient", "optimal")
    if "probabilities" in form:
        from fastsgd.designs import importance

        form["uniform"] = importance.share(spec.sampling)
    return form


def _at(form: Mapping[str, Any], key: str) -> Any:
    above, _, last = key.partition(".")
    return form[above].get(last)


def _reference(spec: "Spec", name: str) -> dict[str, str]:
    return {"sha256": digest(spec.array(name))}


def _linear(spec: "Spec") -> dict[str, Any]:
    problem = spec.problem
    assert isinstance(problem, sections.Quadratic | sections.Ou)
    single = {"normal_precision": "single"} if problem.normal_precision == "single" else {}
    scheme = {"scheme": problem.scheme, "time_step": problem.time_step + 0.0} if problem.kind == "ou" else {}
    return {
        "kind": problem.kind,
        **scheme,
        **single,
        "dimension": problem.dimension,
        "hessian": _matrix(spec, problem.hessian),
        "noise": _matrix(spec, problem.noise),
        "metric": _metric(spec),
    }


def _metric(spec: "Spec") -> Any:
    metric = spec.problem.metric
    return metric if isinstance(metric, str) else {"file": _reference(spec, metric.file)}


def _matrix(spec: "Spec", matrix: sections.Matrix) -> dict[str, Any]:
    form: dict[str, Any] = {"kind": "isotropic"} if isinstance(matrix, sections.Noise) and matrix.kind else {}
    if matrix.file is not None:
        return form | {"file": _reference(spec, matrix.file)}
    if matrix.eigenvalues is not None:
        form |= {"eigenvalues": plain(matrix.eigenvalues), "basis": matrix.basis}
    elif matrix.spectrum is not None:
        form |= {"spectrum": matrix.spectrum, "low": matrix.low, "high": matrix.high, "basis": matrix.basis}
    if form.get("basis") == "rotation":
        form["angle"] = plain(matrix.angle)
    if matrix.spectrum == "loguniform" or form.get("basis") == "random":
        form["seed"] = matrix.seed
    return form


def _glm(spec: "Spec") -> dict[str, Any]:
    problem = spec.problem
    assert isinstance(problem, sections.Glm)
    data: dict[str, Any]
    if problem.data.generate is not None:
        data = {"generate": _generate(spec, problem.family, problem.data.generate)}
    else:
        pool = spec.table()
        data = {
            "features": {"sha256": digest(pool.features)},
            "target": {"sha256": digest(pool.target)},
        }
    data |= {"standardize": problem.data.standardize, "intercept": problem.data.intercept}
    return {
        "kind": "glm",
        "family": problem.family,
        **({"threshold": problem.threshold + 0.0} if problem.family == "huber" else {}),
        "ridge": problem.ridge + 0.0,
        "data": data,
        "metric": _metric(spec),
    }


def _generate(spec: "Spec", family: str, source: sections.Generate) -> dict[str, Any]:
    """Of a population there are no `samples`; what has no effect is left out, as it was before there were such keys."""
    form: dict[str, Any] = plain(source.model_dump(exclude_none=True))
    unused = {"samples"} if spec.sampling.design in sampling.FRESH else set()
    unused |= set() if family in ("linear", "huber") else {"noise"}
    unused |= set() if source.contamination else {"contamination", "outlier"}
    unused |= {"truth"} if source.truth == family else set()
    return {key: value for key, value in form.items() if key not in unused}


def _simulated(spec: "Spec") -> dict[str, Any]:
    form = plain(spec.problem.model_dump(exclude={"metric"}, exclude_none=True))
    if isinstance(spec.problem, sections.Newsvendor) and not isinstance(spec.problem.demand.correlation, float):
        form["demand"]["correlation"] = {"file": _reference(spec, spec.problem.demand.correlation.file)}
    if isinstance(spec.problem, sections.Portfolio) and spec.problem.scenarios.file is not None:
        form["scenarios"] = {"file": _reference(spec, spec.problem.scenarios.file)}
    return form | {"metric": _metric(spec)}


def own_file(spec: "Spec") -> str:
    """The name of the Python file of a problem of one's own."""
    found = sections.OWN_KIND.fullmatch(spec.problem.kind)
    assert found is not None
    return found[1]


def own_files(spec: "Spec") -> list[str]:
    """The names of the Python files of a spec and its arms: of problems and of designs of one's own."""
    words = [word for arm in spec.arm_specs().values() for word in (arm.problem.kind, arm.sampling.design)]
    found = [match[1] for match in map(sections.OWN_KIND.fullmatch, words) if match is not None]
    return list(dict.fromkeys(found))


def _stored(spec: "Spec", word: str) -> str:
    """`file.py:name` with the hash of the text for the file: `sha256:<hex>.py:name`, which a stored run has in its place."""
    found = sections.OWN_KIND.fullmatch(word)
    assert found is not None
    file, name = found[1], found[2]
    return word if file.startswith(STORED) else f"{STORED}{sha256(spec.source(file))}.py:{name}"


def _own(spec: "Spec", problem: sections.Own) -> dict[str, Any]:
    """The file goes in as the hash of its text, see `_stored`."""
    kind = _stored(spec, problem.kind)
    form = plain(problem.model_dump(exclude={"kind", "data", "metric"}, exclude_none=True))
    if problem.data is not None:
        form["data"] = {"file": _reference(spec, problem.data.file)}
        del form["pilot"]  # the whole pool is used
    if problem.optimum is not None:
        form.pop("guess", None)
    return {"kind": kind, **form, "metric": _metric(spec)}


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def identity(spec: "Spec") -> str:
    """SHA-256 (hex) of the canonical JSON. The seed must be set (ValueError)."""
    if spec.seed is None:
        raise ValueError("a spec without a seed has no identity; use with_seed or draw_seed")
    text = json.dumps(canonical(spec), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def document(spec: "Spec") -> dict[str, Any]:
    """The canonical form and what else a run keeps: name, replicates, trajectories, order of arms, names of columns."""
    form = canonical(spec) | {
        "name": spec.name,
        "replicates": spec.replicates,
        "trajectories": spec.record.trajectories,
    }
    if spec.arms:
        form["arm_order"] = list(spec.arms)
    if isinstance(spec.problem, sections.Glm) and spec.problem.data.file is not None:
        form["columns"] = list(spec.table().names)
        form["target_column"] = spec.problem.data.target
    return form


def from_document(form: Mapping[str, Any]) -> dict[str, Any]:
    """The raw tables of a document, with files as `sha256:` names. Raises InputError for another version."""
    if form.get("version") != VERSION:
        remedy = "use the fastsgd that wrote it"
        raise InputError(
            f"the spec of the run has version {form.get('version')}, this fastsgd reads {VERSION}; {remedy}"
        )
    raw = {key: form[key] for key in ("seed", "name", "replicates", "step", "start") if form[key] is not None}
    raw["sampling"] = _names(form["sampling"])
    raw["record"] = form["record"] | {"trajectories": form["trajectories"]}
    raw["problem"] = _names(form["problem"])
    if "data" in raw["problem"] and "features" in raw["problem"]["data"]:
        data = dict(raw["problem"]["data"])
        pair = ",".join(data.pop(part).removeprefix(STORED) for part in ("features", "target"))
        raw["problem"]["data"] = data | {"file": STORED + pair, "target": form.get("target_column", "target")}
    if "arms" in form:
        raw["arms"] = {name: _names(form["arms"][name]) for name in form["arm_order"]}
    return raw


def _names(form: Mapping[str, Any]) -> dict[str, Any]:
    """References `{"sha256": hex}` as names `sha256:<hex>`."""
    out: dict[str, Any] = {}
    for key, value in form.items():
        if isinstance(value, Mapping):
            out[key] = STORED + value["sha256"] if list(value) == ["sha256"] else _names(value)
        elif value is not None:
            out[key] = value
    return out


def arrays(spec: "Spec") -> "dict[str, Any]":
    """SHA-256 (hex) -> read-only float64 array, of every file of the spec and its arms."""
    found = []
    for arm in (spec, *spec.arm_specs().values()):
        problem = arm.problem
        found += [arm.array(name) for name in sampling.files(arm.sampling)]
        if isinstance(problem, sections.Linear):
            found += [arm.array(m.file) for m in (problem.hessian, problem.noise) if m.file is not None]
        elif isinstance(problem, sections.Own):
            found += [arm.array(problem.data.file)] if problem.data is not None else []
        elif isinstance(problem, sections.Newsvendor):
            correlation = problem.demand.correlation
            found += [] if isinstance(correlation, float) else [arm.array(correlation.file)]
        elif isinstance(problem, sections.Portfolio):
            found += [arm.array(problem.scenarios.file)] if problem.scenarios.file is not None else []
        elif isinstance(problem, sections.Glm) and problem.data.file is not None:
            pool = arm.table()
            found += [pool.features, pool.target]
        if not isinstance(problem.metric, str):
            found.append(arm.array(problem.metric.file))
    return {digest(array): array for array in found}

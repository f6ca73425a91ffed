"""Rules between keys. They read the raw tables and pass over values of a wrong type, which `sections` reports."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from fastsgd.spec import sampling, sections
from fastsgd.spec.messages import Issue, show

Raw = Mapping[str, Any]
NO_SOURCE = 'give spectrum = "logspace" with low and high, or eigenvalues = [...], or file = "M.npy"'


def table(raw: Raw, *path: str) -> Raw:
    """The table at a path, empty if there is none."""
    node: Any = raw
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def number(raw: Raw, key: str, kinds: type | tuple[type, ...] = (int, float)) -> Any:
    value = raw.get(key)
    return value if isinstance(value, kinds) and not isinstance(value, bool) else None


def size(raw: Raw, key: str) -> int | None:
    """The length of a list, None if there is none."""
    value = raw.get(key)
    return len(value) if isinstance(value, (list, tuple)) else None


def check(raw: Raw) -> Iterator[Issue]:
    """What is wrong between the keys of a raw spec."""
    kind = sections.guess_problem(raw.get("problem"))[1:-1]
    if isinstance(raw.get("problem"), Mapping):
        yield from _KINDS[kind](raw)
    if kind == "ou" and (given := sections.guess_step(raw.get("step"))) != "<constant>":
        rule = f'step.schedule must be "constant" for problem.kind = "ou", got "{given[1:-1]}"'
        yield Issue("step.schedule", f"{rule}; the process runs in continuous time with a fixed eta = step.size")
    yield from _design(raw, kind)
    yield from _record(raw)
    yield from _average(raw)


def _nothing(raw: Raw) -> Iterator[Issue]:
    yield from ()


def _linear(raw: Raw) -> Iterator[Issue]:
    problem = table(raw, "problem")
    for name in ("hessian", "noise"):
        if isinstance(matrix := problem.get(name), Mapping):
            yield from _matrix(f"problem.{name}", matrix, sections.Noise if name == "noise" else sections.Matrix)
    yield from _dimension(raw)


def _matrix(key: str, matrix: Raw, model: type[sections.Matrix]) -> Iterator[Issue]:
    sources = [name for name in sections.SOURCES if name in matrix]
    isotropic = model is sections.Noise and "kind" in matrix
    if len(sources) > 1:
        rule = f"{key} must have one source, got {' and '.join(sources)}; keep one of them"
        yield Issue(key, f"{rule} (setting the whole table replaces it: {key} = {{ {sources[-1]} = ... }})")
        return
    if not sources and not isotropic and set(matrix) <= set(model.model_fields):
        yield Issue(key, f"{key} must have a source, got {show(matrix)}; {NO_SOURCE}")
        return
    source = sources[0] if sources else ""
    if source == "spectrum":
        for name in ("low", "high"):
            if name not in matrix:
                yield Issue(
                    f"{key}.{name}", f"{key}.{name} is required, got nothing; give an end of the spectrum, such as 1.0"
                )
        low, high = number(matrix, "low"), number(matrix, "high")
        if low is not None and high is not None and low > high:
            yield Issue(f"{key}.low", f"{key}.low must be <= high, got {show(low)} > {show(high)}; exchange them")
    unused = [] if source == "spectrum" else ["low", "high"]
    unused += [] if source in ("spectrum", "eigenvalues") else ["basis", "seed", "angle"]
    what = {"file": "a file", "eigenvalues": "eigenvalues", "": "no source"}.get(source, "")
    for name in unused:
        if name in matrix and (source or isotropic):
            yield Issue(f"{key}.{name}", f"{key}.{name} has no use with {what}, got {show(matrix[name])}; remove it")
    if source in ("spectrum", "eigenvalues"):
        yield from _angle(key, matrix)
    yield from _eigenvalues(key, matrix, strict=model is sections.Matrix)


def _angle(key: str, matrix: Raw) -> Iterator[Issue]:
    name, turned = f"{key}.angle", matrix.get("basis") == "rotation"
    if turned and "angle" not in matrix:
        yield Issue(name, f'{name} is required with basis = "rotation", got nothing; give degrees, such as 30.0')
    elif not turned and "angle" in matrix:
        rule = f'{name} is only for basis = "rotation", got {show(matrix["angle"])}'
        yield Issue(name, f"{rule}; set the basis or remove it")


def _eigenvalues(key: str, matrix: Raw, strict: bool) -> Iterator[Issue]:
    values = matrix.get("eigenvalues")
    for place, value in enumerate(values if isinstance(values, (list, tuple)) else ()):
        if isinstance(value, (int, float)) and (value < 0 or (strict and value == 0)):
            rule = f"must be {'> 0' if strict else '>= 0'}"
            name = f"{key}.eigenvalues[{place}]"
            yield Issue(
                name, f"{name} {rule}, got {show(value)}; give {'positive' if strict else 'non-negative'} eigenvalues"
            )
            return


def _two_dimensions(problem: Raw, dimension: int) -> Iterator[Issue]:
    for name in ("hessian", "noise"):
        if table(problem, name).get("basis") == "rotation" and dimension != 2:
            key = f"problem.{name}.basis"
            rule = f'{key} = "rotation" needs problem.dimension = 2, got {dimension}'
            yield Issue(key, f'{rule}; use basis = "random", or file for an own matrix')


def _dimension(raw: Raw) -> Iterator[Issue]:
    problem = table(raw, "problem")
    lists = {f"problem.{m}.eigenvalues": size(table(problem, m), "eigenvalues") for m in ("hessian", "noise")}
    lists["start.value"] = size(table(raw, "start"), "value")
    lengths = {key: length for key, length in lists.items() if length}
    said, dimension = "problem.dimension", number(problem, "dimension", int)
    files = [m for m in ("hessian", "noise", "metric") if "file" in table(problem, m)]
    if "dimension" not in problem and not files:
        said, dimension = next(iter(lengths.items()), (said, None))
        if said in ("problem.dimension", "start.value"):
            remedy = "give the number of coordinates, such as 50 (only eigenvalues and files say it as well)"
            yield Issue("problem.dimension", f"problem.dimension is required, got nothing; {remedy}")
            return
    if dimension is not None:
        yield from _two_dimensions(problem, dimension)
    for key, length in lengths.items():
        if dimension is not None and length != dimension:
            of = f"{said} = {dimension}" if said == "problem.dimension" else f"the {dimension} of {said}"
            yield Issue(key, f"{key} must have as many numbers as {of}, got {length}; give one for each coordinate")


def _glm(raw: Raw) -> Iterator[Issue]:
    problem = table(raw, "problem")
    data, key = table(problem, "data"), "problem.data"
    given = [name for name in ("file", "generate") if name in data]
    if len(given) == 2:
        yield Issue(key, f"{key} must have one source, got file and generate; keep one of them")
    elif not given and isinstance(problem.get("data"), Mapping) and set(data) <= set(sections.Data.model_fields):
        remedy = 'give file = "x.csv" with target = "y", or generate = { ... }'
        yield Issue(key, f"{key} must have a source, got {show(data)}; {remedy}")
    elif given == ["file"]:
        file = data["file"]
        suffix = PurePath(file).suffix.lower() if isinstance(file, str) and "\0" not in file else None
        if suffix is not None and suffix not in sections.DATA_SUFFIXES and not file.startswith("sha256:"):
            ends = ", ".join(sections.DATA_SUFFIXES)
            yield Issue(
                f"{key}.file", f"{key}.file must end in one of {ends}, got {show(file)}; convert it to one of them"
            )
        if "target" not in data:
            yield Issue(
                f"{key}.target", f"{key}.target is required, got nothing; give the name of the column to be predicted"
            )
    elif given == ["generate"] and "target" in data:
        yield Issue(f"{key}.target", f"{key}.target has no use with generate, got {show(data['target'])}; remove it")
    yield from _generate(problem, table(data, "generate"), f"{key}.generate", table(raw, "sampling").get("design"))
    if "threshold" in problem and problem.get("family") in ("logistic", "probit", "poisson", "linear"):
        rule = f'problem.threshold is only for family = "huber", got {show(problem["threshold"])}'
        yield Issue("problem.threshold", f"{rule}; remove it")


def _generate(problem: Raw, generate: Raw, key: str, design: Any) -> Iterator[Issue]:
    family = problem.get("family")
    for name in ("noise", "contamination", "outlier"):
        if name in generate and family in ("logistic", "probit", "poisson"):
            rule = f'{key}.{name} is only for family = "linear" or "huber", got {show(generate[name])}'
            yield Issue(f"{key}.{name}", f"{rule}; remove it")
    if generate.get("truth") is not None and family in ("linear", "huber", "poisson"):
        rule = f'{key}.truth is only for family = "logistic" or "probit", got {show(generate["truth"])}'
        yield Issue(f"{key}.truth", f"{rule}; remove it")
    if generate and "samples" not in generate and design not in sampling.FRESH:
        rule = f"{key}.samples is required, got nothing"
        yield Issue(f"{key}.samples", f'{rule}; give the size of the pool, such as 1000, or design = "fresh"')


def _own(raw: Raw) -> Iterator[Issue]:
    problem = table(raw, "problem")
    given = [name for name in ("normals", "uniforms", "exponentials") if number(problem, name, int)]
    if not given and "data" not in problem:
        remedy = 'give data = { file = "samples.npy" }, or how many normals, uniforms or exponentials a sample needs'
        yield Issue("problem.data", f"problem.data is required where nothing is drawn, got nothing; {remedy}")
    unused = [*given, "pilot"] if "data" in problem else []
    for name in unused:
        if name in problem:
            rule = f"problem.{name} has no use with problem.data, got {show(problem[name])}"
            yield Issue(f"problem.{name}", f"{rule}; remove one of them")
    dimension = number(problem, "dimension", int)
    for key in ("guess", "optimum"):
        length = size(problem, key)
        if length and dimension is not None and length != dimension:
            rule = f"problem.{key} must have as many numbers as problem.dimension = {dimension}, got {length}"
            yield Issue(f"problem.{key}", f"{rule}; give one for each coordinate")


def _design(raw: Raw, kind: str) -> Iterator[Issue]:
    generated = kind == "glm" and "generate" in table(raw, "problem", "data")
    drawn = kind == "own" and "data" not in table(raw, "problem")
    yield from sampling.check(
        raw,
        sections.has_pool(raw.get("problem")),
        _what(raw, kind),
        either=generated,
        simulated=generated or drawn or kind in ("newsvendor", "queue"),
        gaussian=kind in ("quadratic", "ou"),
    )


def _what(raw: Raw, kind: str) -> str:
    return f"problem.kind = {show(table(raw, 'problem').get('kind'))}" if kind == "own" else f'problem.kind = "{kind}"'


def _record(raw: Raw) -> Iterator[Issue]:
    record = table(raw, "record")
    steps = record.get("steps")
    if isinstance(steps, (list, tuple)):
        for place in range(len(steps) - 1):
            one, two = steps[place], steps[place + 1]
            if type(one) is int and type(two) is int and one >= two:
                what = "names a step twice" if one == two else "is not sorted"
                rule = (
                    f"record.steps must increase strictly, got {one} before {two} at places {place + 1} and {place + 2}"
                )
                yield Issue("record.steps", f"{rule}; the list {what}, so {'remove one' if one == two else 'sort it'}")
                break
    kept, replicates = number(record, "trajectories", int), number(raw, "replicates", int)
    if kept is not None and replicates is not None and kept > replicates > 0:
        rule = f"record.trajectories must be <= replicates = {replicates}, got {kept}"
        yield Issue("record.trajectories", f"{rule}; keep fewer or run more replicates")


def _average(raw: Raw) -> Iterator[Issue]:
    average = table(raw, "record", "average")
    burn_in, thin, batches = (
        number({"thin": 1, "batches": 32, **average}, k, int) for k in ("burn_in", "thin", "batches")
    )
    horizon = _horizon(raw)
    if None in (burn_in, thin, batches, horizon) or burn_in < 0 or thin < 1 or batches < 2:
        return
    samples = max(horizon - burn_in, 0) // thin
    if samples < batches:
        rule = f"record.average must leave at least batches = {batches} samples up to step {horizon}, got {samples}"
        yield Issue("record.average", f"{rule}; lower burn_in, thin or batches, or record a later step")


def _horizon(raw: Raw) -> int | None:
    """The last recorded step, None if it cannot be told."""
    steps = table(raw, "record").get("steps")
    if isinstance(steps, Mapping):
        return number(steps, "last", int)
    last = steps[-1] if isinstance(steps, (list, tuple)) and steps else None
    return last if type(last) is int else None


_KINDS = {
    "quadratic": _linear,
    "ou": _linear,
    "glm": _glm,
    "own": _own,
    "newsvendor": _nothing,  # in `simulated_rules`
    "queue": _nothing,
    "portfolio": _nothing,  # in `pooled_rules`
}

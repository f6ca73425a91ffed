"""The table [sampling]: how a mini-batch is drawn. Which keys go with which design, the designs themselves say."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from fastsgd import installed
from fastsgd.spec.fields import FileName, Name, Numbers, about
from fastsgd.spec.messages import Issue, choices, nearest, show
from fastsgd.spec.tables import MetricFile, Table, list_or_table, name_or_table

Raw = Mapping[str, Any]
DEFAULT = {True: "without-replacement", False: "fresh"}
"""The design of a problem with, and without, a pool."""
FRESH = ("fresh", "antithetic", "control-variate")
"""Designs on fresh samples."""
BASIC = ("design", "batch")
EXAMPLES = {
    "strata": '"target", { column = "age", groups = 4 } or { file = "labels.npy" }',
    "probabilities": '"norm", "gradient", { column = "size" } or { file = "p.npy" }',
}


class Strata(Table):
    """Strata by the values of a column, by `groups` groups of about equal size in its order, or by labels of a file."""

    column: Name | None = about("the name of a column", default=None)
    groups: Annotated[int, about("a whole number, such as 4", ge=1, le=2**32)] | None = None
    file: FileName | None = about("the name of an NPY file with a label for each sample", default=None)


class Chances(Table):
    """Numbers to which the chances of the samples are proportional."""

    column: Name | None = about("the name of a column", default=None)
    file: FileName | None = about("the name of an NPY file with a number for each sample", default=None)


def _word_or_list(value: Any) -> str:
    return "<list>" if list_or_table(value) == "<list>" and isinstance(value, (list, tuple)) else "<one>"


Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], about("a list of whole numbers", strict=False, min_length=1)]


class Sampling(Table):
    """How a mini-batch is drawn. The default design is fresh for a problem without a pool, else without-replacement."""

    design: Annotated[str, about("the name of a sampling design")]
    batch: Annotated[int, about("a whole number, such as 8", ge=1, le=2**32)]
    strata: (
        Annotated[
            Annotated[Literal["target"], Tag("<one>")] | Annotated[Strata, Tag("<table>")],
            Discriminator(name_or_table),
        ]
        | None
    ) = about(EXAMPLES["strata"], default=None)
    allocation: (
        Annotated[
            Annotated[Literal["proportional", "neyman"], Tag("<one>")] | Annotated[Sizes, Tag("<list>")],
            Discriminator(_word_or_list),
        ]
        | None
    ) = about('"proportional", "neyman" or a list of sizes', default=None)
    probabilities: (
        Annotated[
            Annotated[Literal["norm", "gradient"], Tag("<one>")] | Annotated[Chances, Tag("<table>")],
            Discriminator(name_or_table),
        ]
        | None
    ) = about(EXAMPLES["probabilities"], default=None)
    uniform: Annotated[float, about("a number from 0 to 1, such as 0.1", ge=0, le=1)] | None = None
    coefficient: (
        Annotated[
            Annotated[Literal["optimal"], Tag("<one>")] | Annotated[MetricFile, Tag("<table>")],
            Discriminator(name_or_table),
        ]
        | None
    ) = about('"optimal" or { file = "B.npy" }', default=None)
    parameters: Numbers | None = about("a list of numbers, such as [1.0, 2.0]", default=None)
    pilot: Annotated[int, about("a whole number of batches, such as 100000", ge=2**10, le=2**36)] | None = None


KEYS = tuple(Sampling.model_fields)


def check(
    raw: Raw, pool: bool, what: str, either: bool = False, simulated: bool = False, gaussian: bool = False
) -> Iterator[Issue]:
    """What is wrong between the keys of a raw [sampling]; `what` names the problem, which `either` has a pool or not.

    simulated: samples are made of draws; gaussian: noise is Gaussian with a covariance that is given.
    """
    from fastsgd import designs

    table = raw.get("sampling")
    if not isinstance(table, Mapping):
        return
    name = table.get("design", DEFAULT[pool])
    if not isinstance(name, str):
        return
    try:
        design = designs.get(name)
    except ValueError:
        near = nearest(name, [*designs.names(), *installed.names("design")])
        remedy = f'did you mean "{near}"?' if near else 'choose one of these, or "file.py:name"'
        rule = f"sampling.design must be {choices(designs.names())}, got {show(name)}"
        yield Issue("sampling.design", f"{rule}; {remedy}")
        return
    if design.pooled != pool and not either:
        found = {other: designs.get(other) for other in designs.names()}
        fitting = {other: one for other, one in found.items() if one.pooled == pool}
        allowed = choices(
            [other for other, one in fitting.items() if simulated or not isinstance(one, designs.SimulationDesign)]
        )
        reason = "draws from a finite pool" if pool else "has no pool to draw from"
        yield Issue(
            "sampling.design", f"sampling.design must be {allowed}, got {show(name)}; change it ({what} {reason})"
        )
        return
    if isinstance(design, designs.SimulationDesign) and not simulated:
        rule = (
            f"sampling.design = {show(name)} is for problems simulated from draws (newsvendor, queue, glm with generate"
        )
        why = "; the noise is Gaussian, linear in its draws, so that nothing would be left of it" if gaussian else ""
        yield Issue("sampling.design", f"{rule}, one of your own), got {what}{why}; give another design")
    for key in KEYS:
        if key in table and key not in (*BASIC, *design.needs, *design.takes):
            rule = f'sampling.{key} has no use with sampling.design = "{name}", got {show(table[key])}'
            yield Issue(f"sampling.{key}", f"{rule}; remove it")
        elif key in design.needs and key not in table:
            rule = f'sampling.{key} is required with sampling.design = "{name}", got nothing'
            yield Issue(f"sampling.{key}", f"{rule}; give {EXAMPLES.get(key, 'a value')}")
    for key in ("strata", "probabilities"):
        yield from _source(key, table.get(key))
    if name == "reshuffle" and isinstance(start := raw.get("start"), Mapping) and start.get("kind") == "stationary":
        rule = 'start.kind must be "point" or "gaussian" with sampling.design = "reshuffle", got "stationary"'
        yield Issue(
            "start.kind", f"{rule}; the law of an iterate depends on its place in the epoch, so none is stationary"
        )


def _source(key: str, value: Any) -> Iterator[Issue]:
    if not isinstance(value, Mapping):
        return
    given = [name for name in ("column", "file") if name in value]
    if len(given) != 1 and set(value) <= {"column", "file", "groups"}:
        what = " and ".join(given) or "neither"
        yield Issue(f"sampling.{key}", f"sampling.{key} must have one of column and file, got {what}; give one of them")
    elif "groups" in value and "file" in value:
        rule = f"sampling.{key}.groups is only for a column, got {show(value['groups'])}"
        yield Issue(f"sampling.{key}.groups", f"{rule}; remove it")


def files(sampling: Sampling) -> list[str]:
    """Names of the files of the table."""
    tables = (sampling.strata, sampling.probabilities, sampling.coefficient)
    return [
        table.file for table in tables if isinstance(table, Strata | Chances | MetricFile) and table.file is not None
    ]

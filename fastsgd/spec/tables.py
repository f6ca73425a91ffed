"""What the tables of a spec are made of: the strict table, files of a matrix, metrics, a number or one a coordinate."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag

from fastsgd.spec.fields import FileName, Numbers, about


class Table(BaseModel):
    """A strict, frozen table: unknown keys, wrong types and non-finite numbers are refused; an int may be a float."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class MetricFile(Table):
    """A risk metric F [d, d] read from an NPY file."""

    file: FileName = about("the name of an NPY file with a square matrix")


def _shape(value: Any) -> str:
    if isinstance(value, (dict, Table)):
        return "<table>"
    return "<list>" if isinstance(value, (list, tuple)) else "<one>"


def name_or_table(value: Any) -> str:
    return "<table>" if _shape(value) == "<table>" else "<one>"


def number_or_list(value: Any) -> str:
    return "<list>" if _shape(value) == "<list>" else "<one>"


def list_or_table(value: Any) -> str:
    return "<table>" if _shape(value) == "<table>" else "<list>"


QuadraticMetric = Annotated[
    Annotated[Literal["hessian", "noise", "identity"], Tag("<one>")] | Annotated[MetricFile, Tag("<table>")],
    Discriminator(name_or_table),
]
GlmMetric = Annotated[
    Annotated[Literal["fisher", "hessian", "noise", "identity"], Tag("<one>")] | Annotated[MetricFile, Tag("<table>")],
    Discriminator(name_or_table),
]
Each = Annotated[
    Annotated[float, about("a number, or a list of numbers, one a coordinate"), Tag("<one>")]
    | Annotated[Numbers, Tag("<list>")],
    Discriminator(number_or_list),
]
"""A number that holds for every coordinate, or a list with one for each."""


def each(value: float | tuple[float, ...], dimension: int) -> tuple[float, ...]:
    """One number a coordinate of an `Each`."""
    return value if isinstance(value, tuple) else (value,) * dimension

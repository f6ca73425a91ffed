"""The tables of the problems on a pool of scenarios: `portfolio`."""

from typing import Annotated, Literal

from fastsgd.spec.fields import FileName, NotNegative, Positive, Seed, about
from fastsgd.spec.tables import Each, QuadraticMetric, Table


class Returns(Table):
    """Synthetic normal returns, one correlation for all pairs; in a share `stressed` deviations are `stress` times as large."""

    samples: Annotated[int, about("a whole number of scenarios, such as 10000", ge=2, le=2**32)]
    assets: Annotated[int, about("a whole number, such as 5", ge=2, le=2**12)]
    mean: Each = about("a number, or a list with one an asset, such as [0.05, 0.08]")
    deviation: Each = about("a positive number, or a list with one an asset, such as [0.1, 0.2]")
    correlation: float = about("a number from 0 to below 1, such as 0.3", default=0.0, ge=0, lt=1)
    stressed: float = about("a share of the scenarios, such as 0.05", default=0.0, ge=0, lt=1)
    stress: Positive = 3.0
    seed: Seed = 0


class Scenarios(Table):
    """Returns [n, k], a row a scenario, from an NPY file or generated."""

    file: FileName | None = about("the name of an NPY file, a row a scenario and a column an asset", default=None)
    generate: Returns | None = about("a table such as { samples = 10000, assets = 5, ... }", default=None)


class Portfolio(Table):
    """Mean return against `risk_aversion` times the conditional value at risk beyond `confidence`, smoothed over `smoothing`.

    The weights of the assets add up to 1 (short positions allowed); `ridge` is on their squares.
    """

    kind: Literal["portfolio"]
    scenarios: Scenarios = about('a table such as { file = "returns.npy" }')
    confidence: float = about("a number above 0 and below 1, such as 0.95", default=0.95, gt=0, lt=1)
    risk_aversion: Positive = 1.0
    smoothing: Positive
    ridge: NotNegative = 0.0
    metric: QuadraticMetric = about('"hessian", or { file = "F.npy" }', default="hessian")

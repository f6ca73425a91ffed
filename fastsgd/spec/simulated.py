"""The tables of the simulation problems: `newsvendor`, `queue`."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from fastsgd.spec.fields import Positive, Seed, about
from fastsgd.spec.tables import Each, MetricFile, QuadraticMetric, Table, name_or_table

Correlation = Annotated[
    Annotated[float, about('a number below 1, such as 0.5, or { file = "R.npy" }', gt=-1, lt=1), Tag("<one>")]
    | Annotated[MetricFile, Tag("<table>")],
    Discriminator(name_or_table),
]


class Demand(Table):
    """Demand of d products: normal, or lognormal, with these means and deviations of the demand itself.

    `correlation` is that of the normal variables behind it (a Gaussian copula), one number for all pairs or a matrix.
    """

    law: Literal["normal", "lognormal"] = "normal"
    mean: Each = about("a number, or a list with one a product, such as [100.0, 80.0]")
    deviation: Each = about("a positive number, or a list with one a product, such as [20.0, 10.0]")
    correlation: Correlation = 0.0


class Newsvendor(Table):
    """How much of each of d products to stock: bought at `cost`, sold at `price` up to the demand, the rest at `salvage`."""

    kind: Literal["newsvendor"]
    dimension: Annotated[int, about("the number of products, such as 5", ge=1, le=2**12)]
    cost: Each = about("a number, or a list with one a product, such as 1.0")
    price: Each = about("a number above the cost, or a list with one a product, such as 3.0")
    salvage: Each = 0.0
    demand: Demand = about("a table such as { mean = 100.0, deviation = 20.0, correlation = 0.5 }")
    metric: QuadraticMetric = about('"hessian", or { file = "F.npy" }', default="hessian")


class Queue(Table):
    """Service rates of d separate single-server queues: cost of the rate plus mean sojourn time over a block of customers.

    Poisson arrivals; service times have an Erlang law of `phases` phases (1: exponential). A block starts in an empty
    system, or (`start = "stationary"`, exponential service) with a first wait from its stationary law. Where a rate is so
    low that the load is above `largest_load`, the loss goes on along its tangent.
    """

    kind: Literal["queue"]
    arrival_rate: Each = about("a positive number, or a list with one a queue, such as 1.0")
    rate_cost: Each = about("a positive number, or a list with one a queue, such as 0.5")
    customers: Annotated[int, about("customers of a block, such as 20", ge=1, le=4096)]
    start: Literal["stationary", "empty"] = "stationary"
    phases: Annotated[int, about("a whole number of phases, such as 1", ge=1, le=64)] = 1
    largest_load: Positive = 0.95
    pilot: Annotated[int, about("a whole number of samples, such as 4194304", ge=2**16, le=2**36)] = 2**22
    pilot_seed: Seed = 0
    metric: QuadraticMetric = about('"hessian", or { file = "F.npy" }', default="hessian")

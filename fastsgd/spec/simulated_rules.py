"""Rules between keys of the simulation problems; they pass over values of a wrong type, which `sections` reports."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastsgd.spec import sections
from fastsgd.spec.messages import Issue, show
from fastsgd.spec.rules import number, size, table

Raw = Mapping[str, Any]


def check(raw: Raw) -> Iterator[Issue]:
    """What is wrong between the keys of a raw `newsvendor` or `queue`."""
    if isinstance(raw.get("problem"), Mapping):
        kind = sections.guess_problem(raw["problem"])
        if kind == "<newsvendor>":
            yield from _newsvendor(raw)
        elif kind == "<queue>":
            yield from _queue(raw)


def _values(node: Raw, key: str, count: int) -> list[float] | None:
    """The numbers of a key, one for each of `count` places; None if it has none or another number of them."""
    value: Any = node.get(key)
    values: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * count
    right = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return values if right and len(values) == count else None


def above(node: Raw, name: str, count: int, low: float, remedy: str) -> Iterator[Issue]:
    """Every number of a key must be above `low`."""
    values = _values(node, name.rpartition(".")[2], count)
    for place, value in enumerate(values or ()):
        if not value > low:
            where = f"{name}[{place}]" if size(node, name.rpartition(".")[2]) else name
            yield Issue(name, f"{where} must be > {low:g}, got {show(value)}; {remedy}")
            return


def lengths(named: Mapping[str, int | None], count: int, of: str) -> Iterator[Issue]:
    for key, length in named.items():
        if length and length != count:
            yield Issue(key, f"{key} must have as many numbers as {of}, got {length}; give one number, or one for each")


def _newsvendor(raw: Raw) -> Iterator[Issue]:
    problem, demand = table(raw, "problem"), table(raw, "problem", "demand")
    d = number(problem, "dimension", int)
    if d is None or d < 1:
        return
    named = {f"problem.{key}": size(problem, key) for key in ("cost", "price", "salvage")}
    named |= {f"problem.demand.{key}": size(demand, key) for key in ("mean", "deviation")}
    named["start.value"] = size(table(raw, "start"), "value")
    yield from lengths(named, d, f"problem.dimension = {d}")
    yield from above(demand, "problem.demand.deviation", d, 0.0, "give a positive deviation")
    if demand.get("law") == "lognormal":
        yield from above(demand, "problem.demand.mean", d, 0.0, "a lognormal demand has a positive mean")
    cost, price = _values(problem, "cost", d), _values(problem, "price", d)
    salvage = _values({"salvage": 0.0, **problem}, "salvage", d)
    for key, low, high in (("price", cost, price), ("cost", salvage, cost)):
        below = {"price": "cost", "cost": "salvage"}[key]
        for j, (a, b) in enumerate(zip(low or (), high or (), strict=False)):
            if not b > a:
                what = f"problem.{key} must be above problem.{below}, got {show(b)} against {show(a)} for product {j}"
                yield Issue(f"problem.{key}", f"{what}; otherwise nothing or without end is stocked")
                break
    rho = number(demand, "correlation")
    if rho is not None and d > 1 and -1 < rho <= -1 / (d - 1):
        rule = f"problem.demand.correlation must be > -1/(d - 1) = {-1 / (d - 1):.6g} for {d} products"
        yield Issue("problem.demand.correlation", f"{rule}, got {show(rho)}; give a larger one, or a matrix")


def _queue(raw: Raw) -> Iterator[Issue]:
    problem = table(raw, "problem")
    known_lengths = {f"problem.{key}": size(problem, key) for key in ("arrival_rate", "rate_cost")}
    start = size(table(raw, "start"), "value")
    known = {key: length for key, length in known_lengths.items() if length}
    count = next(iter(known.values()), 1)
    yield from lengths(
        known_lengths | {"start.value": start}, count, f"{next(iter(known), 'there are queues')} = {count}"
    )
    for key in ("arrival_rate", "rate_cost"):
        yield from above(problem, f"problem.{key}", count, 0.0, "give a positive number")
    customers, phases = number(problem, "customers", int), number({"phases": 1, **problem}, "phases", int)
    if customers is not None and phases is not None and customers * phases > 2**16:
        rule = f"problem.customers times problem.phases must be <= 65536, got {customers} x {phases}"
        yield Issue("problem.customers", f"{rule}; simulate shorter blocks, and more of them")
    if problem.get("start", "stationary") == "stationary":
        if (phases := number(problem, "phases", int)) is not None and phases > 1:
            rule = f'problem.phases must be 1 with problem.start = "stationary", got {phases}'
            yield Issue("problem.phases", f'{rule}; set start = "empty", whose means are known for Erlang service too')
        if (load := number(problem, "largest_load")) is not None and load >= 1:
            rule = f'problem.largest_load must be < 1 with problem.start = "stationary", got {show(load)}'
            yield Issue("problem.largest_load", f"{rule}; a queue with more load has no stationary law")

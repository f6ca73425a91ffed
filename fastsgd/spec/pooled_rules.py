"""Rules between keys of the problems on a pool of scenarios; they pass over values of a wrong type."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastsgd.spec import sections
from fastsgd.spec.messages import Issue, show
from fastsgd.spec.rules import number, size, table
from fastsgd.spec.simulated_rules import above, lengths

Raw = Mapping[str, Any]


def check(raw: Raw) -> Iterator[Issue]:
    """What is wrong between the keys of a raw `portfolio`."""
    if not isinstance(raw.get("problem"), Mapping) or sections.guess_problem(raw["problem"]) != "<portfolio>":
        return
    key = "problem.scenarios"
    source, generate = table(raw, "problem", "scenarios"), table(raw, "problem", "scenarios", "generate")
    given = [name for name in ("file", "generate") if name in source]
    if len(given) == 2:
        yield Issue(key, f"{key} must have one source, got file and generate; keep one of them")
    elif not given and "scenarios" in table(raw, "problem"):
        yield Issue(
            key, f'{key} must have a source, got {show(source)}; give file = "returns.npy", or generate = {{ ... }}'
        )
    assets = number(generate, "assets", int)
    if assets is not None and assets >= 2:
        known = {f"{key}.generate.{name}": size(generate, name) for name in ("mean", "deviation")}
        yield from lengths(known, assets, f"{key}.generate.assets = {assets}")
        yield from above(generate, f"{key}.generate.deviation", assets, 0.0, "give a positive deviation")

"""Results as aligned text for a terminal."""

from __future__ import annotations

from typing import Any

from fastsgd.analysis import tables

NAMES = {True: "rejected", False: "NOT REJECTED"}


def summary_text(content: dict[str, Any], full: bool = False) -> str:
    """One line an entry with its verdict, every row that failed (all rows if `full`), and the verdict of all."""
    parts = []
    results = content["entries"]
    if full:
        for result in results:
            parts += [f"{result['name']}: {result['title']}", rows_text(result["rows"]), ""]
    parts.append(
        tables.aligned(
            ("experiment", "paper", "tests", "largest |z|", "limit", "controls", "verdict"), map(_line, results), 2
        )
    )
    failed = [(result["name"], row) for result in results for row in result["rows"] if row["failed"]]
    if failed and not full:
        parts += ["", *(f"{name}: {_row(row)}" for name, row in failed)]
    parts += ["", *(f"failed: {line}" for line in content["failed"])]
    z = content["z"]
    if z["kolmogorov_smirnov_p"] is not None:
        p = f"Kolmogorov-Smirnov p = {z['kolmogorov_smirnov_p']:.3g}"
        parts.append(f"z over {z['rows']} tested rows against the standard normal, as if independent: {p}")
    rule = f"false alarm {content['false_alarm']:g} for each experiment (Sidak)"
    if len(results) > 1:
        rule += f", {whole_false_alarm(content):.2g} for all {len(results)}"
    parts.append(f"verdict: {content['verdict']} ({rule})")
    return "\n".join(parts)


def whole_false_alarm(content: dict[str, Any]) -> float:
    """Probability that one of independent experiments at least is called inconsistent where all predictions hold."""
    return float(1.0 - (1.0 - content["false_alarm"]) ** len(content["entries"]))


def rows_text(rows: list[dict[str, Any]]) -> str:
    """The table of one experiment."""
    header = ("quantity", "where", "empirical", "std.error", "predicted", "leading", "ratio", "z", "published", "")
    return tables.aligned(header, map(_cells, rows), 2)


def controls_text(content: dict[str, Any]) -> str:
    """Every negative control: whether it was rejected, with which power, by which row."""
    header = ("experiment", "control", "outcome", "power", "largest z", "most telling row")
    lines = [
        (
            result["name"],
            c["name"],
            NAMES[c["rejected"]],
            power_text(c["power"]),
            tables.fixed(c["z"], 1),
            c["row"] or "-",
        )
        for result in content["entries"]
        for c in result["controls"]
    ]
    return tables.aligned(header, lines, 3)


def power_text(power: float) -> str:
    """A power, never rounded up to 1."""
    return "> 0.9999" if power > 0.9999 else f"{power:.4f}"


def _line(result: dict[str, Any]) -> tuple[str, ...]:
    sizes = [abs(row["z"]) for row in result["rows"] if row["tested"] and row["z"] is not None]
    rejected = sum(c["rejected"] for c in result["controls"])
    controls = f"{rejected}/{len(result['controls'])} rejected"
    largest = tables.fixed(max(sizes, default=None), 2)
    return (
        result["name"], result["paper"], str(result["tests"]), largest, tables.fixed(result["threshold"], 2), controls,
        result["verdict"],
    )  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    number, fixed = tables.number, tables.fixed
    mark = "<<" if row["failed"] else "" if row["tested"] else "(not tested)"
    return (
        row["quantity"], row["where"], number(row["empirical"]), number(row["standard_error"], 2),
        number(row["predicted"]), number(row["leading_order"]), fixed(row["ratio"], 4), fixed(row["z"], 2),
        number(row["published"], 4), mark,
    )  # fmt: skip


def _row(row: dict[str, Any]) -> str:
    number = tables.number
    return (
        f"{row['quantity']}, {row['where']}: {number(row['empirical'])} +- {number(row['standard_error'], 2)}, predicted "
        f"{number(row['predicted'])}, z = {tables.fixed(row['z'], 2)}"
    )

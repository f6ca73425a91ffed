"""Results as text, as JSON and as the tables of the README."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

from benchmarks.core import OURS, cores
from benchmarks.turns import Result, spread

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def machine() -> dict[str, Any]:
    """CPU, cores and versions, as they stand above the tables."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {"python": platform.python_version()}
    for package in ("numpy", "numba"):
        versions[package] = metadata.version(package)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": name, "cores": cores(), "versions": versions, "load_before": load}


def time_text(times: list[float]) -> str:
    """Median and half the distance of the quartiles, in per cent."""
    middle, low, high = spread(times)
    half = 50 * (high - low) / middle
    size = f"{middle:.2f} ns" if middle < 100 else f"{middle:,.0f} ns"
    return f"{size} ±{half:.0f} %"


def ratio_text(ratio: tuple[float, float, float]) -> str:
    digits = 2 if ratio[0] < 10 else 1 if ratio[0] < 100 else 0
    return f"{ratio[0]:.{digits}f} ({ratio[1]:.{digits}f}–{ratio[2]:.{digits}f})"


def table(subject: ModuleType, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: our time a unit, then every peer's time divided by ours (median and quartiles over rounds)."""
    peers = [peer.name for peer in subject.PEERS if peer.name != OURS]
    shown = [p for p in peers if any(p in r.times for r in results)]
    compared = any(r.same_bits for r in results)
    head = ["", f"fastsgd, per {subject.UNIT}", *shown] + (["same bits"] if compared else [])
    rows = []
    for result in results:
        row = [result.label, time_text(result.times[OURS]) if OURS in result.times else "–"]
        for peer in shown:
            ratio = result.ratio(peer)
            row.append(ratio_text(ratio) if ratio else "–")
        if compared:
            same = result.same_bits.values()
            row.append("–" if not same else "yes" if all(same) else "NO")
        rows.append(row)
    return head, rows


def scaling_table(subject: ModuleType, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    rows, base = [], {}
    for result in results:
        group, times = result.case["group"], result.times.get(OURS)
        if times is None:
            rows.append([result.label, "–", "–"])
            continue
        base.setdefault(group, times)
        relative = spread([t / b for t, b in zip(times, base[group], strict=True)])
        rows.append([result.label, time_text(times), ratio_text(relative)])
    return ["", f"per {subject.UNIT}", "time relative to the first"], rows


def as_text(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    )


def as_markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def notes(results: Sequence[Result]) -> list[str]:
    """One line for each peer that was left out, with its reason."""
    seen: dict[str, str] = {}
    for result in results:
        for peer, reason in result.notes.items():
            seen.setdefault(f"{peer}: {reason}", result.subject)
    return [f"left out: {line}" for line in seen]


def bits_line(results: Sequence[Result]) -> str:
    compared = [same for result in results for same in result.same_bits.values()]
    if not compared:
        return "same bits: not compared"
    return f"same bits: {'yes' if all(compared) else 'NO'} ({sum(compared)} of {len(compared)} cases)"


def write_readme(path: Path, text: str) -> bool:
    """Put `text` between the markers of a file; False if they are not there."""
    old = path.read_text() if path.exists() else ""
    if BEGIN not in old or END not in old:
        return False
    before, rest = old.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")
    return True


def overall(results: Sequence[Result], peer: str) -> float | None:
    """Median over cases of the median ratio of a peer's time to ours."""
    ratios = [ratio[0] for result in results if (ratio := result.ratio(peer))]
    return median(ratios) if ratios else None

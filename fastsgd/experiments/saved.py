"""One finished experiment as plain values and files: computed once, read again while its runs and the code are the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import fastsgd
from fastsgd.analysis import tables
from fastsgd.experiments.base import Case, Drawn, Entry, Published, Row
from fastsgd.experiments.judge import Controlled, Judged, judge, run_control
from fastsgd.experiments.scale import Planned
from fastsgd.experiments.view import View

ROW_COLUMNS = (
    "quantity", "where", "empirical", "standard_error", "predicted", "leading_order", "ratio", "z", "tested", "failed",
    "published",
)  # fmt: skip
POINT_COLUMNS = ("panel", "series", "x", "measured", "standard_error", "predicted")


def finish(entry: Entry, runs: Sequence[Planned], scale: str, folder: Path) -> dict[str, Any]:
    """Analyse, judge, draw and write an experiment whose runs are all stored; its result as plain values."""
    stored = known(entry, runs, scale, folder)
    if stored is not None:
        return stored
    key, target = _key(entry, runs, scale), folder / entry.name
    begun = time.perf_counter()
    view = View(scale, [Case(run.part.spec, run.label, fastsgd.open_run(run.path)) for run in runs])
    judged = judge(entry.analyse(view))
    controls = [run_control(entry, view, control, judged) for control in entry.controls]
    published = None if entry.published is None else entry.published(view)
    target.mkdir(parents=True, exist_ok=True)
    figures = _draw(entry, view, target)
    notes = [] if entry.notes is None else list(entry.notes(view))
    result = _result(entry, runs, view.cases, scale, judged, controls, published, figures, notes)
    result["seconds"] = round(time.perf_counter() - begun, 3)
    result["key"] = key
    plain: dict[str, Any] = tables.plain(result)
    cells = [[row[column] for column in ROW_COLUMNS] for row in plain["rows"]]
    (target / "rows.csv").write_text(tables.csv_text(ROW_COLUMNS, cells), encoding="utf-8")
    (target / "result.json").write_text(tables.json_text(plain) + "\n", encoding="utf-8")
    return plain


def setting(case: Case) -> dict[str, Any]:
    """What readers ask for first of a run: dimension, batches and step sizes of its arms."""
    specs = case.spec.arm_specs().values()
    return {
        "dimension": len(case.run.coordinates),
        "batches": sorted({int(spec.sampling.batch) for spec in specs}),
        "step_sizes": sorted({float(spec.step.size) for spec in specs}),
    }


def row_dict(row: Row, judged: Judged) -> dict[str, Any]:
    """A row under its stable names."""
    return {
        "quantity": row.quantity,
        "where": row.where,
        "empirical": row.empirical,
        "standard_error": row.standard_error,
        "predicted": row.predicted,
        "leading_order": row.leading,
        "ratio": row.ratio,
        "z": row.z,
        "tested": row.tested,
        "failed": judged.failed(row),
        "published": row.published,
    }


def _result(
    entry: Entry,
    runs: Sequence[Planned],
    cases: Sequence[Case],
    scale: str,
    judged: Judged,
    controls: Sequence[Controlled],
    published: Published | None,
    figures: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "paper": entry.paper,
        "claim": entry.claim,
        "ran": entry.ran,
        "scale": scale,
        "command": f"fastsgd reproduce {entry.name} --scale {scale}",
        "verdict": judged.verdict,
        "tests": judged.tests,
        "threshold": judged.threshold,
        "failed": [f"{row.quantity}: {row.where}" for row in judged.failures],
        "rows": [row_dict(row, judged) for row in judged.rows],
        "controls": [
            {
                "name": found.control.name,
                "text": found.control.text,
                "rejected": found.rejected,
                "power": found.power,
                "z": found.z,
                "row": None if found.row is None else f"{found.row.quantity}: {found.row.where}",
            }
            for found in controls
        ],
        "published": None
        if published is None
        else {
            "count": published.count,
            "largest_z": published.largest_z,
            "threshold": published.threshold,
            "inside": published.inside,
            "text": published.text,
        },
        "runs": [
            {
                "spec": run.part.spec,
                "case": run.label,
                "file": run.path.name,
                "identity": run.identity,
                "seed": run.spec.seed,
                "replicates": run.spec.replicates,
                "steps": run.spec.horizon,
                "arms": list(run.spec.arms or ()),
                **setting(case),
                "replicate_steps": run.total,
            }
            for run, case in zip(runs, cases, strict=True)
        ],
        "figures": list(figures),
        "notes": list(notes),
    }


def _draw(entry: Entry, view: View, target: Path) -> list[dict[str, Any]]:
    from fastsgd.figures.style import save, styled
    from fastsgd.figures.ticks import plain_ticks

    found = []
    with styled():
        drawn = entry.draw(view)
    for one in [drawn] if isinstance(drawn, Drawn) else drawn:
        plain_ticks(one.figure)
        for suffix in (".png", ".pdf"):
            save(one.figure, target / f"{one.stem}{suffix}", fonts=3)
            one.figure.set_layout_engine("none")  # found once, kept for the other format
        (target / f"{one.stem}.csv").write_text(tables.csv_text(POINT_COLUMNS, tables.plain(one.points)), "utf-8")
        names = {suffix: f"{entry.name}/{one.stem}.{suffix}" for suffix in ("png", "pdf", "csv")}
        found.append({"caption": one.caption, **names})
    return found


def known(entry: Entry, runs: Sequence[Planned], scale: str, folder: Path) -> dict[str, Any] | None:
    """The stored result of these very runs and this code, with all of its files; None if there is none."""
    key, target = _key(entry, runs, scale), folder / entry.name
    try:
        stored = json.loads((target / "result.json").read_text(encoding="utf-8"))
        files = [target.parent / figure[kind] for figure in stored["figures"] for kind in ("png", "pdf", "csv")]
        whole = all(file.is_file() for file in [*files, target / "rows.csv"])
        return stored if stored["key"] == key and whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(entry: Entry, runs: Sequence[Planned], scale: str) -> str:
    """What a result depends on: its runs, the scale, the sources of analysis and theory."""
    parts = [entry.name, scale, code_digest(), *(f"{run.path.name} {run.identity}" for run in runs)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 of every Python file of the front."""
    folder = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()

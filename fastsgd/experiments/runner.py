"""`reproduce`: chosen entries from spec to verdict, figures, JSON and report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastsgd.analysis import tables
from fastsgd.errors import InputError
from fastsgd.experiments import registry
from fastsgd.experiments.base import FALSE_ALARM, SCALES, Entry
from fastsgd.experiments.judge import CONSISTENT, INCONSISTENT
from fastsgd.experiments.queue import Queue
from fastsgd.experiments.scale import Planned, planned, spec_folder
from fastsgd.sweeps import Status
from fastsgd.threads import cores as core_count

DEFAULT_FOLDER = "reproduction"


@dataclass(frozen=True)
class Reproduction:
    """Results of entries.

    Attributes:
        content: as in results.json. folder: where report.html, results.json, figures and runs are.
    """

    content: dict[str, Any]
    folder: Path

    @property
    def entries(self) -> list[dict[str, Any]]:
        """One result an entry."""
        found: list[dict[str, Any]] = self.content["entries"]
        return found

    @property
    def consistent(self) -> bool:
        """All verdicts consistent, all controls rejected, all published numbers inside their error."""
        return bool(self.content["verdict"] == CONSISTENT)

    @property
    def failures(self) -> list[str]:
        """One line for everything that failed."""
        return [line for result in self.entries for line in failures_of(result)]

    def to_text(self, full: bool = False) -> str:
        """Summary table; every row of every entry if `full`."""
        from fastsgd.experiments.text import summary_text

        return summary_text(self.content, full)

    def controls_text(self) -> str:
        """Table of the negative controls."""
        from fastsgd.experiments.text import controls_text

        return controls_text(self.content)

    def to_json(self) -> str:
        """Strict JSON text."""
        return tables.json_text(self.content)


def reproduce(
    names: Sequence[str] = (),
    scale: str = "paper",
    output: str | Path = DEFAULT_FOLDER,
    *,
    seed: int | None = None,
    specs: str | Path | None = None,
    threads: int | None = None,
    progress: Callable[[Status], None] | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
) -> Reproduction:
    """Run entries of the catalogue, or read them where they were run: rows, verdicts, controls, figures, report.

    Args:
        names: entries; none: all.
        scale: "quick", "paper" or "large".
        output: folder; runs are in its `runs`, named by identity, and are used again.
        seed: in the place of the seeds of all specs, each spec getting its own from it.
        specs: folder of the specs; default: the catalogue's own.
        threads: cores in all; default all. No number depends on it.
        progress: called a few times a second with a `sweeps.Status` of all runs. note: with one-line remarks.
        time_limit: seconds after which runs are saved and StoppedEarly raised.

    Raises:
        InputError: an unknown entry or scale, a bad spec. RunError: a run failed. StoppedEarly: the same call goes on.
    """
    begun = time.monotonic()
    chosen, folder, source = choose(names), Path(output), spec_folder(specs)
    if scale not in SCALES:
        raise InputError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    runs = make_folder(folder)
    cores, deadline = core_count(threads), None if time_limit is None else begun + time_limit

    def plan(entries: Sequence[Entry]) -> list[tuple[Entry, list[Planned]]]:
        return [(entry, planned(entry, scale, seed, source, runs)) for entry in entries]

    # Planning an entry on data compiles kernels; of the catalogue's own specs that need not be waited for.
    dear = [entry for entry in chosen if entry.dear_plan] if specs is None and cores > 1 else []
    if len(dear) == len(chosen):
        dear = []
    queue = Queue(
        plan([entry for entry in chosen if entry not in dear]), partial(plan, dear) if dear else None,
        [entry.name for entry in chosen], scale, folder, source, progress, note or (lambda text: None),
    )  # fmt: skip
    results = queue.run(cores, deadline)
    of = {entry.name: runs for entry, runs in queue.needs}
    content = gather(results, [(entry, of[entry.name]) for entry in chosen], scale, seed)
    made = Reproduction(content, folder)
    from fastsgd.experiments.report import write_report

    write_if_new(folder / "results.json", made.to_json() + "\n")
    write_report(content, folder)
    return made


def choose(names: Sequence[str]) -> list[Entry]:
    """Entries by name, each once, in the order of the catalogue; all of them without names."""
    wanted = {registry.entry(name).name for name in names}
    return [entry for entry in registry.entries() if not wanted or entry.name in wanted]


def make_folder(folder: Path) -> Path:
    """The folder of the runs inside the output folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; give another one with -o")
    runs = folder / "runs"
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {runs} cannot be made: {error.strerror or error}") from None
    return runs


def gather(
    results: Sequence[dict[str, Any]], needs: Sequence[tuple[Entry, Sequence[Planned]]], scale: str, seed: int | None
) -> dict[str, Any]:
    """The content of results.json; the provenance is that of the first run, without its spec."""
    import fastsgd
    from fastsgd.experiments.judge import uniform_p_of

    files = {run.path: run for _, runs in needs for run in runs}
    first = fastsgd.open_run(next(iter(files))).provenance
    bad = [line for result in results for line in failures_of(result)]
    count, p = uniform_p_of(results)
    return {
        "format": "fastsgd-reproduction",
        "version": 1,
        "scale": scale,
        "seed": seed,
        "false_alarm": FALSE_ALARM,
        "verdict": INCONSISTENT if bad else CONSISTENT,
        "failed": bad,
        "z": {"rows": count, "kolmogorov_smirnov_p": p},
        "runs": len(files),
        "replicate_steps": sum(run.total for run in files.values()),
        "entries": list(results),
        "provenance": {key: first[key] for key in ("schema_version", "software", "environment") if key in first},
    }


def failures_of(result: dict[str, Any]) -> list[str]:
    """What failed in one entry: rows, controls that were not rejected, published numbers outside their error."""
    name = result["name"]
    found = [f"{name}: {row} contradicts its prediction" for row in result["failed"]]
    if not result["tests"]:
        found.append(f"{name}: nothing was tested")
    weak = [c for c in result["controls"] if not c["rejected"]]
    found += [f"{name}: control '{c['name']}' was not rejected (power {c['power']:.2g})" for c in weak]
    published = result["published"]
    if published is not None and not published["inside"]:
        found.append(f"{name}: published numbers lie outside their predicted error")
    return found


def write_if_new(path: Path, text: str) -> None:
    """Write a file unless it holds this very text, so that reading results again changes nothing."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")

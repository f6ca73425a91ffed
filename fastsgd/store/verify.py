"""Checks everything that a run file says of itself: structure, checksums, steps, identity, finite values."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastsgd.errors import FastsgdError, InputError
from fastsgd.store import opened as files
from fastsgd.store.format import LAYOUT, RECORDS
from fastsgd.store.raw import RawFile
from fastsgd.store.reader import Run, open_run
from fastsgd.store.record import Record
from fastsgd.store.static import static_sum
from fastsgd.store.verify_values import BAD, Finding, results, rows, state

RETRIES = 5


def verify(path: str | os.PathLike[str]) -> list[Finding]:
    """Everything that is wrong with a run file; nothing for one that is as its writer left it, finished or not.

    A run that is being written is checked as of its last commit. Not looked at, because nothing of ours reads it: the
    heap of the texts of the coordinate scales, and places that no commit refers to.

    Raises:
        InputError: there is no such file. RunError: it cannot be read (permission, disk).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file; give a run file")
    for _ in range(RETRIES):
        try:
            run = open_run(path)
        except InputError as error:
            return [Finding("unreadable", "", line) for line in error.lines]
        except BAD as error:
            return [Finding("unreadable", "", f"{path} is not a readable run file: {_line(error)}")]
        raw = RawFile(path)
        try:
            found = _findings(run, raw)
            if not found or files.records(raw, run._made.extents)[0].sequence == run._record.sequence:
                return found  # else a writer went on meanwhile, and what was found may be of two commits
        except InputError as error:
            return [Finding("unreadable", "", line) for line in error.lines]
        finally:
            raw.close()
    return found


def _findings(run: Run, raw: RawFile) -> list[Finding]:
    found: list[Finding] = []
    for part in (_records, _structure, _progress, _steps, _identity, state, rows, results):
        if part is state and any(finding.kind == "progress" for finding in found):
            return found  # rows cannot be told from what was never written
        try:
            new = list(part(run, raw))
        except (FastsgdError, *BAD) as error:
            new = [Finding("unreadable", "", f"the file contradicts itself: {_line(error)}")]
        found += new
    return found


def _records(run: Run, raw: RawFile) -> Iterator[Finding]:
    place = run._made.extents[RECORDS]
    for i in (0, 1):
        data = raw.read(place.at(i)).tobytes()
        record = Record.decode(data)
        if (record is None and any(data)) or (record is not None and record.encode(len(data)) != data):
            yield Finding("record", RECORDS, f"commit record {i} is torn or damaged; the other one holds")
        elif record is None and run.finished:
            yield Finding("record", RECORDS, f"commit record {i} is empty; the other one holds")


def _structure(run: Run, raw: RawFile) -> Iterator[Finding]:
    made = run._made
    static = {name: made.extents[name] for name in run.names("static")}
    try:
        with files.opened(run.path) as file:
            texts = {name: files.text(file, name) for name in ("spec", LAYOUT)}
            copy = files._value(file.attrs["spec"]) if "spec" in file.attrs else texts["spec"]
            # Reading each header is what makes HDF5 look at its checksum.
            file.visititems(lambda name, item: [item.attrs.get_id(key) for key in item.attrs] and None)
        if static_sum(raw, made.attrs, texts, static) != run._record.structure:
            yield Finding("structure", "", "checksum of the structure differs: attributes, texts or static datasets")
        if copy != texts["spec"]:
            yield Finding("structure", "spec", "the attribute spec is not the dataset spec")
        if not isinstance(run.provenance, dict):
            yield Finding("structure", "provenance", "the provenance is no JSON object")
    except (FastsgdError, *BAD) as error:
        yield Finding("structure", "", f"the structure cannot be read: {_line(error)}")


def _progress(run: Run, raw: RawFile) -> Iterator[Finding]:
    progress, record = run.progress, run._record
    if not (progress.replicates_done <= run.replicates and progress.recorded <= run.sizes.steps):
        yield Finding("progress", RECORDS, "the progress is beyond the end of the run")
    if record.results and (
        set(record.results) != set(run.names("result")) or progress.replicates_done != run.replicates
    ):
        yield Finding("progress", RECORDS, "results are recorded for a run that is not done")
    if progress.complete and not record.results:
        yield Finding("progress", RECORDS, "the run is complete without results")


def _steps(run: Run, raw: RawFile) -> Iterator[Finding]:
    if len(run.steps) == 0 or run.steps[0] < 0 or not (np.diff(run.steps) > 0).all():
        yield Finding("steps", "step", "recorded steps are not increasing from 0 or more")
    place, at = run._made.extents.get("replicate"), 0
    for first, count in run.spans:
        wanted = np.arange(first, first + count)
        if place is None or not np.array_equal(raw.read(place.rows(at, at + count)), wanted):
            yield Finding("steps", "replicate", f"replicates {first} to {first + count - 1} are not numbered so")
        at += count


def _identity(run: Run, raw: RawFile) -> Iterator[Finding]:
    try:
        found, steps = run.spec.identity(), list(run.spec.record_steps())
    except (FastsgdError, *BAD) as error:
        yield Finding("identity", "spec", f"the stored spec cannot be rebuilt: {_line(error)}")
        return
    if found != run.identity:
        yield Finding(
            "identity", "spec", f"the stored spec has identity {found[:12]}, the file says {run.identity[:12]}"
        )
    if steps != run.steps.tolist():
        yield Finding("identity", "step", "recorded steps are not those of the stored spec")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def report(path: Path, found: list[Finding]) -> str:
    """One line a finding, or one line saying that there is none."""
    return "\n".join(f"{path}: {finding.text}" for finding in found) or f"{path}: ok"

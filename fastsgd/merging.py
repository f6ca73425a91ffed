"""Puts shards together: the bytes of one run that had simulated all of their replicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import store
from fastsgd.differences import differing
from fastsgd.errors import InputError, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.moments import Node, push
from fastsgd.replacing import discard, locked
from fastsgd.spec import STORED
from fastsgd.store.raw import put_in_place

if TYPE_CHECKING:
    from fastsgd.plan import Plan
    from fastsgd.problems import Problem

MOST_LISTED = 5


def merge(
    runs: Sequence[str | Path],
    path: str | Path,
    *,
    allow_gaps: bool = False,
    force: bool = False,
    note: Callable[[str], None] | None = None,
) -> store.Run:
    """Merge finished shards of one run into one file; every dataset equals that of the single run, byte for byte.

    Args:
        runs: the shards, in any order.
        path: the merged file; it is there when it is complete and not before.
        allow_gaps: merge also if replicates are missing; the file then has the rows that there are.
        force: replace an existing file.
        note: called with one-line remarks.

    Raises:
        InputError: shards of different runs, overlaps, gaps or unfinished shards, with the reason; nothing was made.
        RunError: a shard is damaged, or the disk fails; nothing was made.
        StoppedEarly: interrupted; nothing was made.
    """
    target = Path(path)
    shards = sorted((store.open_run(run) for run in runs), key=lambda run: run.first_replicate)
    if not shards:
        raise InputError("merge needs at least one run")
    check(shards, allow_gaps)
    if any(_same_file(run.path, target) for run in shards):
        raise InputError(f"{target} is one of the runs to be merged; give another file with -o")
    spans = joined_spans(shards)
    if target.exists() and not force:
        existing = store.open_run(target)
        if not (existing.sealed and existing.document == shards[0].document and existing.spans == spans):
            raise InputError(f"{target} exists and is not this merge; give another file with -o, or --force")
        if note:
            note(f"{target} is complete already; nothing to do")
        return existing
    with locked(target) as lock, StopRequest() as stop:
        if lock.note and note:
            note(lock.note)
        stop.saving = True
        _make(shards, spans, target, stop)
    return store.open_run(target)


def check(shards: Sequence[store.Run], allow_gaps: bool) -> None:
    """InputError with the reason if the shards, sorted by their first replicate, are not parts of one run."""
    first = shards[0]
    lines = [f"{run.path} is not finished; run it again to go on, then merge" for run in shards if not run.finished]
    for run in shards[1:]:
        lines += _foreign(first, run)
    if not lines:
        lines += _overlaps(shards)
        if not allow_gaps:
            lines += _gaps(shards)
    if lines:
        raise InputError(lines)


def _foreign(first: store.Run, run: store.Run) -> list[str]:
    """Why two files are not parts of one run."""
    pair = f"{first.path} and {run.path} are of different runs"
    names = ("name",)
    mine, theirs = ({k: v for k, v in r.document.items() if k not in names} for r in (first, run))
    if lines := [f"{pair}: {key} is {a} and {b}" for key, a, b in differing(mine, theirs)]:
        return lines[:MOST_LISTED]
    if first.stream_version != run.stream_version:
        return [f"{pair}: random numbers of version {first.stream_version} and {run.stream_version}"]
    one, other = statics(first), statics(run)
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other or one[name].tobytes() != other[name].tobytes():
            return [f"{pair}: {name} differs in some digits; make the shards with the same software"]
    return []


def statics(run: store.Run) -> dict[str, NDArray[Any]]:
    """Everything that parts of one run have in common."""
    found: dict[str, NDArray[Any]] = {"step": run.steps, **run.arrays()}
    for arm in run.arms:
        found[f"step_size of {arm}"] = run.step_sizes(arm)
        found |= {f"{name} of {arm}": value for name, value in run.problem(arm).items()}
    return found


def _overlaps(shards: Sequence[store.Run]) -> list[str]:
    found = [(first, first + count, run) for run in shards for first, count in run.spans]
    pieces = sorted(found, key=lambda piece: piece[:2])
    return [
        f"{before.path} and {run.path} both have replicate {first}; leave one out"
        for (_, end, before), (first, _, run) in pairwise(pieces)
        if first < end
    ]


def _gaps(shards: Sequence[store.Run]) -> list[str]:
    spans, total = joined_spans(shards), shards[0].document["replicates"]
    ends = [0, *(first + count for first, count in spans)]
    begins = [*(first for first, _ in spans), total]
    return [
        f"replicates {end} to {begin - 1} are missing; add their shard, or give --allow-gaps"
        for end, begin in zip(ends, begins, strict=True)
        if end < begin
    ]


def joined_spans(shards: Sequence[store.Run]) -> list[tuple[int, int]]:
    """(first replicate, how many) of the pieces that the shards make together."""
    spans: list[tuple[int, int]] = []
    for first, count in sorted(span for run in shards for span in run.spans):
        if spans and sum(spans[-1]) == first:
            spans[-1] = (spans[-1][0], spans[-1][1] + count)
        else:
            spans.append((first, count))
    return spans


def merged_nodes(shards: Sequence[store.Run]) -> list[Node]:
    """Moment nodes of all shards, joined where both halves are there."""
    nodes: list[Node] = []
    for node in sorted((n for run in shards for n in run.nodes()), key=lambda n: n.index << max(n.level, 0)):
        push(nodes, node)
    return nodes


def _make(shards: Sequence[store.Run], spans: list[tuple[int, int]], target: Path, stop: StopRequest) -> None:
    from fastsgd.engine import Runner, create_file
    from fastsgd.plan import make_plan

    first, rows = shards[0], sum(count for _, count in spans)
    plan = make_plan(first.spec, (spans[0][0], rows), _problem(first))
    nodes = merged_nodes(shards)
    changes: dict[str, Any] = {
        "problems": {arm: first.problem(arm) for arm in first.arms},
        "step_sizes": np.stack([first.step_sizes(arm) for arm in first.arms]),
        "stream_version": first.stream_version,
    }
    if len(spans) > 1:
        changes |= {"spans": spans, "trajectories": sum(run.sizes.trajectories for run in shards), "levels": len(nodes)}
    work = target.with_name(f".{target.name}.merge.partial")
    try:
        with create_file(plan, work, force=True, **changes) as writer:
            for name in first.names("replicate"):
                _copy(shards, name, writer, plan, stop)
            Runner(plan, writer, stop).conclude(nodes)
        put_in_place(work, target)
    except BaseException:
        discard(work)
        raise


def _problem(run: store.Run) -> Problem | None:
    """A problem of one's own, whose code is not kept, from the arrays of a shard; None where the spec says it all."""
    from fastsgd.problems import own

    if not run.spec.problem.kind.startswith(STORED):
        return None
    arrays = dict(run.problem(run.arms[0]))
    samples = arrays.get("pool_samples")
    return own.kept(arrays, None if samples is None else len(samples))


def _copy(shards: Sequence[store.Run], name: str, writer: store.RunWriter, plan: Plan, stop: StopRequest) -> None:
    """Rows of one dataset, a wave of the new file at a time because its checksums are a wave's."""
    pieces = _pieces(shards, name)
    length = sum(count for _, _, count in pieces)
    for arm in plan.names:
        for start in range(0, length, plan.wave):
            end = min(start + plan.wave, length)
            values, at = [], 0
            for run, first, count in pieces:
                a, b = max(start, at), min(end, at + count)
                if a < b:
                    values.append(run.rows(name, arm, first + a - at, first + b - at))
                at += count
            writer.write_rows(name, arm, start, end, np.concatenate(values))
            if stop.reason is not None:
                raise StoppedEarly(f"{stop.reason}; nothing was made, give the command again")


def _pieces(shards: Sequence[store.Run], name: str) -> list[tuple[store.Run, int, int]]:
    """(run, first row, rows) of a dataset in the order of the replicates; kept iterates are of the first rows only."""
    found = []
    for run in shards:
        row, left = 0, run.sizes.trajectories if name == "trajectory" else run.replicates
        for first, count in run.spans:
            taken = min(count, left - row)
            if taken > 0:
                found.append((first, run, row, taken))
            row += count
    return [(run, row, count) for _, run, row, count in sorted(found, key=lambda piece: piece[0])]


def _same_file(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)

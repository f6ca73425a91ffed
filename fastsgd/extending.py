"""Makes a finished run longer: more replicates, more steps. Every dataset becomes that of the longer run from scratch.

The longer run is made beside the old one in `<stem>.extending.h5` with checkpoints of its own and replaces it when it is
complete, so a kill at any moment leaves the old run or the new one, and the same command goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd import averages, store
from fastsgd.differences import differing
from fastsgd.errors import InputError, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.moments import Node
from fastsgd.replacing import discard, locked
from fastsgd.sources import with_code
from fastsgd.store.raw import put_in_place

if TYPE_CHECKING:
    from fastsgd.engine import Progress
    from fastsgd.plan import Plan
    from fastsgd.wave import Wave


def extend(
    path: str | Path,
    *,
    replicates: int | None = None,
    steps: int | Iterable[int] | None = None,
    code: str | Path | Sequence[str | Path] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    force: bool = False,
) -> store.Run:
    """Give a finished run more replicates, more steps, or both; what it has is not simulated again.

    Args:
        path: the run file, which is replaced when the longer run is complete.
        replicates: how many there shall be in all.
        steps: recorded steps to append after the last one: the new horizon, or several.
        code: the Python file of a problem or design of one's own, or a list of them.
        threads, progress, note, time_limit: as in `run`.
        force: begin again if another extension was begun.

    Raises:
        InputError: the run is unfinished or a part of one, or has what cannot be gone on with; nothing was changed.
        RunError: the disk or a file failed; the run is as it was.
        StoppedEarly: interrupt or time limit; the run is as it was, and the same call goes on.
    """
    target, say = Path(path), note or (lambda text: None)
    if replicates is None and steps is None:
        raise InputError("extend needs to know what there shall be; give --replicates, --steps or both")
    appended = None if steps is None else [steps] if isinstance(steps, int) else list(steps)
    deadline = None if time_limit is None else time.monotonic() + time_limit
    found = _whole(target)
    plans = [_with_steps(found, appended), _with_replicates(found, replicates)]  # both refused before anything starts
    if not any(plans):
        say(f"{target} has that already; nothing to do")
        return found
    with locked(target) as lock:
        if lock.note:
            say(lock.note)
        # More steps first: then the further replicates are simulated once, to the new end.
        for wanted in (lambda run: _with_steps(run, appended), lambda run: _with_replicates(run, replicates)):
            found = _whole(target)
            if (document := wanted(found)) is not None:
                _extend(found, document, code, threads, progress, say, deadline, force)
    return store.open_run(target)


def _whole(target: Path) -> store.Run:
    """The run, if it can be extended."""
    found = store.open_run(target)
    if not found.finished:
        raise InputError(f"{target} is not finished; finish it with `fastsgd run`, then extend it")
    if len(found.spans) > 1:
        raise InputError(f"{target} has gaps between its replicates; merge it with what is missing, then extend it")
    if not found.sealed:
        store.open_writer(target).close()  # killed while it finished: opening completes that
        found = store.open_run(target)
    return found


def _with_replicates(found: store.Run, replicates: int | None) -> dict[str, Any] | None:
    """The spec's document with more replicates; None if there are as many."""
    there = int(found.document["replicates"])
    if replicates is None or (replicates == there and found.spans == [(0, there)]):
        return None
    if found.spans != [(0, there)]:
        raise InputError(f"{found.path} is a shard, one of the parts of {there} replicates; merge them, then extend")
    if replicates < there:
        raise InputError(f"replicates must be >= {there}, which {found.path} has, got {replicates}; it only grows")
    return found.document | {"replicates": replicates}


def _with_steps(found: store.Run, steps: list[int] | None) -> dict[str, Any] | None:
    """The spec's document with later recorded steps appended; None if all are there."""
    recorded = [int(step) for step in found.steps]
    new = sorted(set(steps or []) - set(recorded))
    if not new:
        return None
    if new[0] < recorded[-1]:
        raise InputError(
            f"steps must be after the end of {found.path} at step {recorded[-1]}, got {new[0]}; "
            "an earlier step can no longer be recorded"
        )
    return found.document | {"record": found.document["record"] | {"steps": recorded + new}}


def _extend(
    found: store.Run, document: dict[str, Any], code: str | Path | Sequence[str | Path] | None, threads: int | None,
    progress: Progress | None, say: Callable[[str], None], deadline: float | None, force: bool,
) -> None:  # fmt: skip
    """Make the longer run, or go on making it, and put it in the place of the old one."""
    from fastsgd.engine import Runner, check_same, checked_plan, create_file
    from fastsgd.spec import Spec
    from fastsgd.threads import kernel_lock, use_threads
    from fastsgd.wave import warm

    more_steps = document["record"]["steps"] != found.document["record"]["steps"]
    work = found.path.with_name(f"{found.path.stem}.extending.h5")
    with kernel_lock, StopRequest() as stop:
        used = use_threads(threads)
        try:
            spec = Spec.from_document(document, found.arrays())
            spec = with_code(spec, found, code)
            span = found.spans[0] if more_steps else (0, int(document["replicates"]))
            plan = checked_plan(spec, span, allow_unstable=True)
            check_same(plan, found)
            if more_steps and averages.missed(plan.samples, int(found.steps[-1])) is not None:
                raise InputError(
                    f"{found.path} has time averages (record.average) over all of its steps, and a later end cuts them into "
                    "other batches; run the longer spec anew"
                )
            begun = _begun(work, document, plan, force)
            if begun is not None:
                plan = replace(plan, wave=begun.sizes.wave)  # the layout is the file's
            if begun is None or not begun.finished:
                say("loading kernels, compiling what is new")
                warm(plan)
            say(f"extending {found.path}" if begun is None else f"resuming {work}")
            writer = create_file(plan, work, threads=used) if begun is None else store.open_writer(work)
        except KeyboardInterrupt:
            raise StoppedEarly(f"{stop.reason} before anything was simulated; {found.path} is as it was") from None
        stop.saving = True
        with writer:
            if not writer.progress.complete:
                source = _Earlier(found) if more_steps else None
                _copy(found, plan, writer, stop, len(found.steps) if more_steps else None)
                Runner(plan, writer, stop, deadline, progress, source).run()
    put_in_place(work, found.path)


def _begun(work: Path, document: dict[str, Any], plan: Plan, force: bool) -> store.Run | None:
    """What an earlier call left; InputError if that was to become another run."""
    if force:
        discard(work)
    if not work.exists():
        return None
    begun = store.open_run(work)
    lines = [f"{key}: {b} is wanted, {work} has {a}" for key, a, b in differing(begun.document, document)]
    if not lines and begun.spans != [(plan.first, plan.rows)]:
        lines = [f"replicates {plan.first} to {plan.first + plan.rows - 1} are wanted, {work} has others"]
    if lines:
        raise InputError(
            [f"{work} is another extension, begun earlier; finish that, or --force to begin again", *lines]
        )
    return begun


def _copy(found: store.Run, plan: Plan, writer: store.RunWriter, stop: StopRequest, columns: int | None) -> None:
    """Put into a new file what stays as it is; nothing to do once the run behind it has begun.

    Of more replicates: the whole blocks, and their moments. Of more steps: the first `columns` recorded ones of all rows.
    """
    from fastsgd.kernels.moments import BLOCK

    if writer.progress != store.Progress():
        return
    kept = found.replicates // BLOCK * BLOCK if columns is None else found.replicates
    names = found.names("replicate") if columns is None else ["risk", "trajectory"]
    for name in (name for name in names if name in found.names("replicate")):
        rows = min(kept, found.sizes.trajectories) if name == "trajectory" else kept
        for arm in plan.names:
            for start in range(0, rows, plan.wave):
                end = min(start + plan.wave, rows)
                values = found.rows(name, arm, start, end)
                if columns is None:
                    writer.write_rows(name, arm, start, end, values)
                else:
                    write = writer.write_risk if name == "risk" else writer.write_trajectory
                    write(arm, start, end, 0, columns, values)
                if stop.reason is not None:
                    raise StoppedEarly(f"{stop.reason}; {found.path} is as it was, give the command again")
    if columns is None and kept:
        writer.commit(store.Progress(kept), None, [node for node in found.nodes() if node.level >= 0])


class _Earlier:
    """A finished run of fewer steps, which replicates go on from (`engine.Source`)."""

    def __init__(self, run: store.Run):
        from fastsgd.engine import WORKING

        self.run = run
        self.name = WORKING if WORKING in run.names("replicate") else "final"

    def begin(self, wave: Wave) -> None:
        """Put a wave where the earlier run ended."""
        first = wave.first - wave.plan.first
        rows = first, first + wave.count
        for a, arm in enumerate(wave.plan.names):
            wave.delta[a] = self.run.rows(self.name, arm, *rows)
            wave.diverged_at[a] = self.run.diverged_at(arm)[slice(*rows)]
        wave.step, wave.recorded = int(self.run.steps[-1]), len(self.run.steps)

    def join(self, nodes: list[Node]) -> list[Node]:
        """Moment nodes with the earlier run's at its recorded steps."""
        earlier, columns = {(n.level, n.index): n for n in self.run.nodes()}, len(self.run.steps)
        for node in nodes:
            for mine, theirs in zip(node.parts(), earlier[node.level, node.index].parts(), strict=True):
                mine[:, :columns] = theirs[:, :columns]
        return nodes

"""Spec to stored run: kernels in time segments, with progress, checkpoints, interrupts and resumption."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastsgd import averages, shards, store
from fastsgd.differences import differing
from fastsgd.errors import InputError, NotEnding, StoppedEarly
from fastsgd.interrupts import StopRequest
from fastsgd.moments import Node, columns, push, total, unpack
from fastsgd.threads import kernel_lock, layer, use_threads

if TYPE_CHECKING:
    from fastsgd.plan import Plan
    from fastsgd.spec import Spec
    from fastsgd.wave import Wave

Progress = Callable[[int, int, float], None]

SEGMENT_SECONDS = 0.25
COMMIT_SECONDS = 2.0
WORKING = "final_working"


class Source(Protocol):
    """An earlier run that more steps go on from."""

    def begin(self, wave: Wave) -> None:
        """Put a wave where the earlier run ended."""
        ...

    def join(self, nodes: list[Node]) -> list[Node]:
        """Moment nodes with the earlier run's at its recorded steps."""
        ...


def run(
    spec: Spec | str | Path | Mapping[str, object],
    path: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    shard: str | shards.Shard | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    time_limit: float | None = None,
    force: bool = False,
    allow_unstable: bool = False,
) -> store.Run:
    """Run a spec to its end and store it; go on with a stored run that is unfinished; leave a finished one alone.

    Args:
        spec: a Spec, the path of a TOML file, or a mapping with the same keys.
        path: the run file. Default: the spec's file with the suffix .h5, or `<name>.h5` here; of a shard with the
            suffix .shard-I-of-N.h5.
        overrides: "key.subkey=value" settings on top of the spec.
        shard: "I/N" or (I, N): simulate only the I-th of N parts of the replicates, for `merge` to put together.
        threads: kernel threads; default all cores. No result depends on it.
        progress: called with (replicate-steps done, replicate-steps in all, seconds) a few times a second.
        note: called with one-line remarks (compiling, resuming, already complete).
        time_limit: seconds after which the run is checkpointed and StoppedEarly raised.
        force: replace an existing file at `path`, whatever it is.
        allow_unstable: run even if a constant step is at or past 2 / lambda_max.

    Returns:
        The finished run, opened for reading.

    Raises:
        SpecError: the spec has problems; nothing was started.
        InputError: `path` holds something else, or the step is unstable; nothing was changed.
        RunError: the disk or the file failed; what was committed stays.
        StoppedEarly: interrupt or time limit; the file can be resumed.
    """
    from fastsgd.spec import Spec, load_spec
    from fastsgd.wave import warm

    say = note or (lambda text: None)
    checked = spec if isinstance(spec, Spec) and not overrides else load_spec(spec, overrides)  # type: ignore[arg-type]
    if checked.sweep:
        raise InputError(
            "the spec has a [sweep], one run cannot hold its cells; take it out, or give its keys with --set"
        )
    part = shards.parse(shard) if isinstance(shard, str) else shard
    first, rows = shards.rows_of(checked.replicates, part)
    target = Path(path) if path is not None else shards.default_name(default_path(spec, checked), part)
    existing = None
    if target.exists() and not force:
        existing = store.open_run(target)
        checked = existing_seed(checked, existing)
        compare(checked, existing, first, rows)
        if existing.finished:
            if not existing.sealed:
                store.open_writer(target).close()  # killed while it finished: opening completes that
            say(f"{target} is complete already; nothing to do")
            return existing
    elif part is not None and checked.seed is None:
        raise InputError(shards.NO_SEED)
    deadline = None if time_limit is None else time.monotonic() + time_limit
    with kernel_lock, StopRequest() as stop:
        say("loading kernels, compiling what is new")
        used = use_threads(threads)
        try:
            plan = checked_plan(checked.draw_seed(), (first, rows), allow_unstable)
            if existing is not None:
                check_same(plan, existing)
                plan = replace(plan, wave=existing.sizes.wave)  # the layout is the file's
            warm(plan)
            if remark := plan.arms[0].problem.remark:
                say(remark)
            if existing is not None:
                say(f"resuming {target}")
                writer = store.open_writer(target)
            else:
                writer = create_file(plan, target, threads=used, force=force)
        except KeyboardInterrupt:
            raise StoppedEarly(f"{stop.reason} before anything was simulated; nothing is lost") from None
        stop.saving = True
        with writer:
            if writer.note:
                say(writer.note)
            Runner(plan, writer, stop, deadline, progress).run()
    return store.open_run(target)


def default_path(source: object, spec: Spec) -> Path:
    """Where a run goes if nobody says: beside its spec."""
    if isinstance(source, str | Path):
        return Path(source).with_suffix(".h5")
    return Path(f"{spec.name}.h5")


def existing_seed(spec: Spec, existing: store.Run) -> Spec:
    """A spec without a seed goes on with the seed that was drawn for the stored run."""
    stored = existing.spec.seed
    return spec if spec.seed is not None or stored is None else spec.with_seed(stored)


def compare(spec: Spec, existing: store.Run, first: int, rows: int) -> None:
    """InputError, key by key, if a stored run belongs to another spec or holds other replicates."""
    found = [("replicates", spec.replicates, existing.document.get("replicates"))]
    if spec.identity() != existing.identity:
        found = differing(spec.canonical(), existing.spec.canonical())
    lines = [f"{key}: the spec has {a}, {existing.path} has {b}" for key, a, b in found if a != b]
    theirs = existing.first_replicate, existing.replicates
    if not lines and theirs != (first, rows):
        lines.append(f"replicates {_span(first, rows)} are wanted, {existing.path} has {_span(*theirs)}")
    if lines:
        advice = "give another file with -o, or --force to replace it"
        raise InputError([f"{existing.path} holds a run of another spec; {advice}", *lines])


def stream_version(plan: Plan) -> int | str:
    """The version of a run's random numbers."""
    from fastsgd import kernels

    return kernels.SINGLE_VERSION if plan.arms[0].problem.single else kernels.STREAM_VERSION


def check_same(plan: Plan, existing: store.Run) -> None:
    """InputError unless this software makes of a stored run's spec what the run was made with, to the last bit."""
    path, remedy = existing.path, "go on with the software that made it, or make it anew"
    made = stream_version(plan)
    if existing.stream_version != made:
        raise InputError(
            f"{path} has random numbers of version {existing.stream_version}, this fastsgd makes {made}; {remedy}"
        )
    for a, arm in enumerate(plan.arms):
        kept = existing.problem(plan.names[a])
        sizes = {"step_size": (plan.schedules[a](existing.steps), existing.step_sizes(plan.names[a]))}
        pairs = {name: (value, kept.get(name)) for name, value in stored(arm.problem).items()} | sizes
        for name, (here, there) in pairs.items():
            if there is None or np.asarray(here).tobytes() != there.tobytes():
                raise InputError(f"{path} has {name} of {plan.names[a]} with other digits than found here; {remedy}")


def _span(first: int, rows: int) -> str:
    return f"{first} to {first + rows - 1}"


def checked_plan(spec: Spec, span: tuple[int, int], allow_unstable: bool) -> Plan:
    """The plan of a span of a spec with its seed set; InputError if a step is unstable and may not be."""
    from fastsgd.plan import make_plan, unstable

    plan = make_plan(spec, span)
    if not allow_unstable and (lines := unstable(plan)):
        raise InputError(lines)
    return plan


def create_file(
    plan: Plan, target: Path, threads: int | None = None, force: bool = False, **changes: Any
) -> store.RunWriter:
    """Make the run file of a plan; `changes` replace what `store.create` would be given."""
    from fastsgd.kernels.moments import BLOCK
    from fastsgd.store.provenance import collect

    blocks = -(-plan.rows // BLOCK)
    levels = blocks.bit_length() + (plan.wave // BLOCK).bit_length() + 2
    if plan.first:
        levels += blocks.bit_length()  # nodes at the left end, too, that have no sibling here
    given: dict[str, Any] = {
        "problems": {name: stored(arm.problem) for name, arm in zip(plan.names, plan.arms, strict=True)},
        "steps": plan.steps,
        "coordinates": plan.coordinates,
        "step_sizes": np.stack([s(plan.steps) for s in plan.schedules]),
        "wave": plan.wave,
        "block": BLOCK,
        "levels": levels,
        "stream_version": stream_version(plan),
        "provenance": collect(plan.spec, threads=threads, threading_layer=layer(), code=plan.spec.code()),
        "replicates": plan.rows,
        "first_replicate": plan.first,
        "trajectories": kept(plan),
        "extra_state": {"diverged": (len(plan.arms), plan.wave)},
        "extra_replicate": {},
        "extra_result": {},
        "columns": plan.columns,
    }
    if plan.samples is not None:
        given["extra_state"] |= averages.shapes(plan.samples, len(plan.arms), plan.wave, plan.dimension)
        given["extra_replicate"], given["extra_result"] = averages.datasets(plan.samples, plan.dimension)
    if plan.rotated:
        # More steps go on from here: `final` is rotated back, and that cannot be undone to the bit.
        attrs = {"dims": ("coordinate",), "long_name": "the same in the coordinates of the recursion (eigenbasis of H)"}
        given["extra_replicate"][WORKING] = ((plan.dimension,), "<f8", attrs)
    return store.create(target, plan.spec, force=force, **(given | changes))


def kept(plan: Plan) -> int:
    """Replicates of a plan that keep their iterates."""
    return max(0, min(plan.spec.record.trajectories - plan.first, plan.rows))


def stored(problem: object) -> dict[str, np.ndarray]:
    """What a run file keeps of a problem."""
    names = ("hessian", "noise", "metric", "optimum")
    return {name: getattr(problem, name) for name in names} | problem.arrays  # type: ignore[attr-defined]


class Runner:
    """Takes a writer from its last commit to the end of the run."""

    def __init__(
        self,
        plan: Plan,
        writer: store.RunWriter,
        stop: StopRequest,
        deadline: float | None = None,
        progress: Progress | None = None,
        source: Source | None = None,
    ):
        self.source = source
        self.plan, self.writer, self.stop, self.deadline = plan, writer, stop, deadline
        self.progress = progress or (lambda done, total, seconds: None)
        self.width = len(plan.arms)
        self.total = plan.rows * plan.horizon * self.width
        self.begun = self.committed = time.monotonic()
        self.commit_cost = 0.0
        self.done = 0  # replicates of completed waves
        self.nodes: list[Node] = []  # moments of completed waves
        self.saved = 0  # recorded steps of the running wave that are in the file
        self.steps_per_call = 1

    def run(self) -> None:
        wave = self._restore()
        while self.done < self.plan.rows:
            if wave is None:
                wave = self._next_wave()
            self._drive(wave)
            self._complete(wave)
            wave = None
        if self.source is not None:
            self.nodes = self.source.join(self.nodes)
        self._finish(total(self.nodes))

    def conclude(self, nodes: list[Node]) -> None:
        """Finish a file whose rows are all written already, with the moments of all of its replicates."""
        self.nodes, self.done = nodes, self.plan.rows
        self._finish(total(nodes))

    def take(self, wave: Wave) -> None:
        """Store a wave of all replicates that was begun elsewhere: the run's end if it is done, else a commit of it."""
        if wave.done:
            self._complete(wave)
            self._finish(total(self.nodes))
        else:
            self._commit(wave)

    def _next_wave(self) -> Wave:
        """The wave after the completed ones, at its start; it ends where a wave of the file's layout ends."""
        from fastsgd.wave import Wave

        count = min(self.plan.wave - self.done % self.plan.wave, self.plan.rows - self.done)
        kept = max(0, min(self.writer.sizes.trajectories - self.done, count))
        wave = Wave(self.plan, self.plan.first + self.done, count, kept)
        if self.source is not None:
            self.source.begin(wave)
            if (reason := averages.missed(self.plan.samples, wave.step)) is not None:
                raise InputError(reason)
            self.saved = wave.recorded
        return wave

    def _restore(self) -> Wave | None:
        """State at the last commit; None if no wave was under way."""
        checkpoint = self.writer.restore()
        self.done = checkpoint.progress.replicates_done
        if checkpoint.state is None or checkpoint.progress.wave_step == 0 or self.done == self.plan.rows:
            self.nodes = list(checkpoint.nodes)
            return None
        wave = self._next_wave()
        own = len(wave.nodes)
        self.nodes = list(checkpoint.nodes[:-own])
        wave.restore(
            checkpoint.state, checkpoint.progress.wave_step, checkpoint.progress.recorded, checkpoint.nodes[-own:]
        )
        wave.diverged_at = np.array(checkpoint.extra["diverged"], dtype=np.int64)
        if wave.sums is not None:
            wave.sums = averages.restored(checkpoint.extra)
        self.saved = wave.recorded
        return wave

    def _drive(self, wave: Wave) -> None:
        """Take a wave to the horizon."""
        while not wave.done:
            begun = time.monotonic()
            try:
                taken = wave.advance(self.steps_per_call)
            except NotEnding as error:
                if wave.sums is None:
                    self._commit(wave)
                raise NotEnding(
                    f"{error}; {self.writer.path} is saved as of step {self.writer.progress.wave_step} of these "
                    "replicates, and the same command goes on from there"
                ) from None
            now = time.monotonic()
            self._adapt(taken, now - begun)
            steps = self.done * self.plan.horizon + wave.count * wave.step
            self.progress(steps * self.width, self.total, now - self.begun)
            if wave.done:
                return  # nothing left to save but its results, which follow at once
            if self.stop.reason is not None or (self.deadline is not None and now > self.deadline):
                self._commit(wave)
                reason = self.stop.reason or "time limit reached"
                raise StoppedEarly(
                    f"{reason} at {100 * steps * self.width / max(self.total, 1):.1f} %; "
                    f"{self.writer.path} is saved and goes on when the same command is given again"
                )
            if now - self.committed > max(COMMIT_SECONDS, 50 * self.commit_cost):
                self._commit(wave)

    def _adapt(self, taken: int, seconds: float) -> None:
        """Steps of the next call: as many as fill `SEGMENT_SECONDS`, at most four times what was just measured."""
        if taken < self.steps_per_call:
            return  # cut short by a recorded step: says little
        factor = SEGMENT_SECONDS / max(seconds, 1e-6)
        self.steps_per_call = max(1, int(taken * min(factor, 4.0)))

    def _save_rows(self, wave: Wave) -> None:
        """Write what the wave recorded since the last commit."""
        rows = self._rows(wave)
        new = slice(self.saved, wave.recorded)
        for a in range(self.width):
            if new.stop > new.start:
                self.writer.write_risk(a, rows.start, rows.stop, new.start, new.stop, wave.risk[a, :, new])
                if wave.kept.shape[1]:
                    last = rows.start + wave.kept.shape[1]
                    self.writer.write_trajectory(a, rows.start, last, new.start, new.stop, wave.kept[a, :, new])
        self.saved = wave.recorded

    def _rows(self, wave: Wave) -> slice:
        first = wave.first - self.plan.first
        return slice(first, first + wave.count)

    def _commit(self, wave: Wave) -> None:
        self._save_rows(wave)
        self._write_commit(store.Progress(self.done, wave.step, wave.recorded, False), wave)

    def _write_commit(self, progress: store.Progress, wave: Wave | None = None) -> None:
        begun = time.monotonic()
        if wave is None:
            self.writer.commit(progress, None, self.nodes)
        else:
            extra = {"diverged": wave.diverged_at.astype(np.float64), **averages.checkpoint(wave.sums)}
            self.writer.commit(progress, wave.delta, [*self.nodes, *wave.nodes], extra=extra)
        self.committed = time.monotonic()
        self.commit_cost = self.committed - begun

    def _complete(self, wave: Wave) -> None:
        """The wave is at the horizon: its rows are final, its moments join the tree."""
        self._save_rows(wave)
        rows = self._rows(wave)
        for a in range(self.width):
            self.writer.write_final(a, rows.start, rows.stop, wave.final[a])
            self.writer.write_diverged(a, rows.start, rows.stop, wave.diverged_at[a])
            if self.plan.rotated:
                self.writer.write_rows(WORKING, a, rows.start, rows.stop, wave.delta[a])
        self._save_averages(wave, rows)
        for node in wave.nodes:
            push(self.nodes, node)
        self.done += wave.count
        self.saved = 0
        if self.done < self.plan.rows:
            self._write_commit(store.Progress(self.done, 0, 0, False))

    def _save_averages(self, wave: Wave, rows: slice) -> None:
        if wave.sums is None or self.plan.samples is None:
            return
        risk, batch = averages.risk_rows(self.plan.samples, wave.sums)
        for a in range(self.width):
            self.writer.write_rows("average_risk", a, rows.start, rows.stop, risk[a])
            self.writer.write_rows("average_risk_batch", a, rows.start, rows.stop, batch[a])

    def _finish(self, moments: Node) -> None:
        results = averages.results(moments, self.plan.dimension) if self.plan.samples is not None else {}
        moments = columns(moments, len(self.plan.steps))
        divisor = np.maximum(moments.count - 1, 1)[..., None, None].astype(np.float64)
        covariance = unpack(moments.m2, self.plan.dimension) / divisor
        covariance[moments.count < 2] = np.nan
        mean = np.where(moments.count[..., None] > 0, moments.mean, np.nan)
        self.writer.commit(store.Progress(self.done, 0, 0, False), None, self.nodes)
        self.writer.finish(moments.count, mean, covariance, results)

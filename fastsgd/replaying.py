"""One replicate again, from the run file alone, and whether it repeats what the file says of it to the last bit."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsgd import store
from fastsgd.errors import InputError, RunError
from fastsgd.sources import with_code

if TYPE_CHECKING:
    from fastsgd.plan import Plan

SEGMENT_SECONDS = 0.25


@dataclass(frozen=True)
class Trajectory:
    """One replicate of one arm.

    Attributes:
        run: path of the run. identity: of its spec. replicate: its number. arm: name.
        coordinates: d names.
        steps: int64[S], the recorded steps of the run, and those asked for besides.
        theta: float64[S, d], theta - theta* at these steps. optimum: float64[d], theta*.
        risk: float64[S].
        diverged_at: step at which it diverged, -1 if it did not.
        compared: recorded steps whose risk was compared with the stored one; 0 if the run has not come to this replicate.
    """

    run: Path
    identity: str
    replicate: int
    arm: str
    coordinates: list[str]
    steps: NDArray[np.int64]
    theta: NDArray[np.float64]
    optimum: NDArray[np.float64]
    risk: NDArray[np.float64]
    diverged_at: int
    compared: int

    def document(self) -> dict[str, Any]:
        """Values for JSON."""
        rows = zip(self.steps.tolist(), self.risk.tolist(), self.theta.tolist(), strict=True)
        return {
            "run": str(self.run), "identity": self.identity, "replicate": self.replicate, "arm": self.arm,
            "diverged_at": self.diverged_at, "compared_steps": self.compared, "coordinates": self.coordinates,
            "optimum": self.optimum.tolist(),
            "rows": [{"step": step, "risk": risk, "theta": theta} for step, risk, theta in rows],
        }  # fmt: skip

    def said(self) -> str:
        """One line on what was compared."""
        which = f"replicate {self.replicate}, arm {self.arm}"
        if not self.compared:
            return f"{which}: the run has not come to it yet, nothing to compare with"
        lost = f"; it diverged at step {self.diverged_at}" if self.diverged_at >= 0 else ""
        return f"{which}: risk as stored at {self.compared} recorded steps, to the last bit{lost}"


def replay(
    path: str | Path,
    replicate: int,
    *,
    arm: str | None = None,
    every: int | None = None,
    code: str | Path | Sequence[str | Path] | None = None,
) -> list[Trajectory]:
    """Simulate one replicate of a stored run again, from the file alone, and compare it with what is stored.

    Args:
        path: the run file; it may be unfinished.
        replicate: its number.
        arm: name of an arm; default all.
        every: give also the iterates of every so many steps.
        code: the Python file of a problem or design of one's own, or a list of them.

    Raises:
        InputError: no such replicate or arm, or this software cannot make the same numbers.
        RunError: the risk, the last iterate or the step of divergence is not what is stored.
    """
    from fastsgd.engine import check_same
    from fastsgd.plan import make_plan
    from fastsgd.threads import kernel_lock, use_threads

    run = store.open_run(path)
    row = _row(run, replicate)
    if arm is not None and arm not in run.arms:
        raise InputError(f"arm must be one of {', '.join(run.arms)}, got {arm!r}")
    if every is not None and every < 1:
        raise InputError(f"every must be >= 1, got {every}")
    with kernel_lock:
        use_threads(1)
        plan = make_plan(with_code(run.spec, run, code), (replicate, 1))
        check_same(plan, run)
        steps = run.steps if every is None else np.union1d(run.steps, np.arange(0, run.steps[-1] + 1, every))
        # Time averages are sums over replicates; a replicate's steps do not depend on them.
        found = _simulated(replace(plan, samples=None, steps=steps), replicate)
    arms = run.arms if arm is None else [arm]
    return [_compared(run, found[name], replicate, row) for name in arms]


def _row(run: store.Run, replicate: int) -> int:
    """The row of a replicate."""
    at = 0
    for first, count in run.spans:
        if first <= replicate < first + count:
            return at + replicate - first
        at += count
    spans = " and ".join(f"{first} to {first + count - 1}" for first, count in run.spans)
    raise InputError(f"replicate must be one of {spans} of {run.path}, got {replicate}")


def _simulated(plan: Plan, replicate: int) -> dict[str, dict[str, Any]]:
    """Arm -> what a run would keep of the replicate."""
    from fastsgd.wave import Wave

    wave, steps = Wave(plan, replicate, 1, 1), 1
    while not wave.done:
        begun = time.monotonic()
        taken = wave.advance(steps)  # an interrupt is answered between segments
        if taken == steps:
            steps = max(1, int(taken * min(SEGMENT_SECONDS / max(time.monotonic() - begun, 1e-6), 4.0)))
    return {
        name: {
            "steps": plan.steps,
            "theta": wave.kept[a, 0],
            "risk": wave.risk[a, 0],
            "final": wave.final[a, 0],
            "diverged_at": int(wave.diverged_at[a, 0]),
            "arm": name,
        }
        for a, name in enumerate(plan.names)
    }


def _compared(run: store.Run, found: dict[str, Any], replicate: int, row: int) -> Trajectory:
    """The trajectory of an arm; RunError where it is not the stored one."""
    arm, recorded = found["arm"], np.isin(found["steps"], run.steps)
    there = row < run.progress.replicates_done
    if there:
        values = {name: run.rows(name, arm, row, row + 1)[0] for name in ("risk", "final", "diverged_at")}
        if row < run.sizes.trajectories:
            values["trajectory"] = run.rows("trajectory", arm, row, row + 1)[0]
        mine = {"risk": found["risk"][recorded], "trajectory": found["theta"][recorded]}
        for name, stored in values.items():
            again = np.asarray(mine.get(name, found.get(name)), dtype=stored.dtype)
            if again.tobytes() != stored.tobytes():
                raise RunError(f"{run.path}: replicate {replicate} {_where(run, arm, name, again, stored)}")
    return Trajectory(
        run=run.path, identity=run.identity, replicate=replicate, arm=arm, coordinates=run.coordinates,
        steps=found["steps"], theta=found["theta"], optimum=run.problem(arm)["optimum"], risk=found["risk"],
        diverged_at=found["diverged_at"], compared=int(recorded.sum()) if there else 0,
    )  # fmt: skip


def _where(run: store.Run, arm: str, name: str, again: NDArray[Any], stored: NDArray[Any]) -> str:
    said = f"of arm {arm} does not repeat: its {name.replace('_', ' ')} is stored as"
    if again.ndim == 0 or name == "final":
        return f"{said} {stored}, and comes out as {again}"
    same = (again == stored) | (np.isnan(again) & np.isnan(stored))
    s = int(np.argmin(same.reshape(len(same), -1).all(axis=1)))
    return f"{said} {stored[s]} at step {run.steps[s]}, and comes out as {again[s]}"


def csv_text(found: list[Trajectory]) -> str:
    """A table with a row for each arm and step: arm, replicate, step, risk, then theta - theta* of each coordinate."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["arm", "replicate", "step", "risk", *found[0].coordinates])
    for one in found:
        for step, risk, theta in zip(one.steps.tolist(), one.risk.tolist(), one.theta.tolist(), strict=True):
            table.writerow([one.arm, one.replicate, step, repr(risk), *map(repr, theta)])
    return out.getvalue()


def text(found: list[Trajectory]) -> str:
    """Steps and risks, aligned, under a line on what was compared."""
    lines = []
    for one in found:
        lines += [one.said(), f"{'step':>12}  {'risk':>22}"]
        lines += [f"{step:>12}  {risk!r:>22}" for step, risk in zip(one.steps.tolist(), one.risk.tolist(), strict=True)]
    return "\n".join(lines)


def write_csv(found: list[Trajectory], path: Path) -> None:
    """The table as a file; RunError if it cannot be written."""
    try:
        path.write_text(csv_text(found), encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error

"""kill -9 at random moments of run, extend and merge: what was committed stays, and the end is the same bytes.

A chain of commands makes a run in pieces: shards, each with more steps afterwards, merged, then given more replicates.
Every command is killed some times, at a random moment of its life, while it creates a file, at a checkpoint, or while it
finishes; is started again with another number of threads; and in the end every dataset must have the bytes of one run
from scratch. After each kill all files must be whole and hold at least the last commit that was seen.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HELP = "kill -9 at random moments of run, extend and merge"

EARLY, LATE = [0, 40, 700, 1500], [1600, 3000, 5000]
BASE: dict[str, Any] = {
    "name": "killed",
    "seed": 11,
    "problem": {
        "kind": "quadratic",
        "dimension": 6,
        "hessian": {"spectrum": "logspace", "low": 0.5, "high": 4.0, "basis": "random"},
        "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.02},
    "arms": {"a": {}, "b": {"problem.noise.kind": "isotropic"}},
}
POOL: dict[str, Any] = BASE | {
    "problem": {
        "kind": "glm", "family": "logistic", "ridge": 0.1,
        "data": {"generate": {"samples": 100, "dimension": 4, "seed": 4}},
    },
    "arms": {"a": {}, "b": {"step.size": 0.01}},
}  # fmt: skip
PROGRAMS = 0.1  # share of lives in an interpreter of their own; the others are forks of this process


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--count", type=int, default=50, metavar="N", help="kills (default 50)")
    parser.add_argument(
        "--seed", type=int, default=None, metavar="S", help="of the moments; drawn and printed by default"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to work; default a temporary folder")


@dataclass
class Command:
    """One command of a chain: what it writes (`target`, by way of `work`) and reads (`inputs`)."""

    arguments: list[str]
    target: Path
    work: Path
    inputs: list[Path] = field(default_factory=list)
    threads: bool = True


def datasets(path: Path) -> dict[str, bytes]:
    """Bytes of every dataset of a file."""
    found: dict[str, bytes] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            values = item[...]
            found[name] = np.asarray(values).tobytes() if item.dtype.kind != "O" else repr(list(values)).encode()

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return found


def spec(folder: Path, name: str, base: dict[str, Any], replicates: int, steps: list[int], **record: Any) -> Path:
    """Write a spec; its path."""
    from fastsgd.spec import load_spec

    path = folder / f"{name}.toml"
    tables = base | {"replicates": replicates, "record": {"steps": steps, "trajectories": 200, **record}}
    path.write_text(load_spec(tables).to_toml(), encoding="utf-8")
    return path


def chain(folder: Path, base: dict[str, Any], steps_later: bool) -> tuple[Path, list[Command]]:
    """The spec of the whole run, and the commands that make `all.h5` of it in pieces."""
    steps = [*EARLY, *LATE]
    record = {} if steps_later else {"average": {"burn_in": 1000, "thin": 2, "batches": 4}}
    whole = spec(folder, "whole", base, 700, steps, **record)
    short = spec(folder, "short", base, 460, EARLY if steps_later else steps, **record)
    parts = [folder / "one.h5", folder / "two.h5"]
    made = []
    for i, part in enumerate(parts, 1):
        made.append(Command(["run", str(short), "--shard", f"{i}/2", "-o", str(part)], part, part))
        if steps_later:
            longer = ["extend", str(part), "--steps", ",".join(map(str, LATE))]
            made.append(Command(longer, part, part.with_name(f"{part.stem}.extending.h5")))
    target = folder / "all.h5"
    work = folder / ".all.h5.merge.partial"
    made.append(Command(["merge", *map(str, parts), "-o", str(target)], target, work, parts, threads=False))
    more = ["extend", str(target), "--replicates", "700"]
    made.append(Command(more, target, folder / "all.extending.h5"))
    return whole, made


class Killer:
    """Takes commands through deaths to their end and keeps count."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.rng = folder, random.Random(seed)
        self.log = folder / "log"
        self.kills: Counter[str] = Counter()
        self.programs, self.seconds = 0, 0.5

    def run(self, arguments: list[str]) -> None:
        """A command without deaths."""
        from verification import lives

        begun = time.monotonic()
        self.finished(arguments, lives.wait(lives.start_forked(arguments, self.log)))
        self.seconds = 0.6 * (time.monotonic() - begun)

    def finished(self, arguments: list[str], code: int) -> None:
        if code != 0:
            raise AssertionError(f"{' '.join(arguments)}: exit code {code}: {self.log.read_text()[-2000:]}")

    def command(self, command: Command, deaths: int) -> int:
        """A command with so many deaths, if it does not end before, then to its end; how many it had."""
        from verification import lives

        before = {path: path.read_bytes() for path in command.inputs}
        for death in range(deaths + 1):
            arguments = list(command.arguments)
            if command.threads:
                arguments += ["--threads", str(self.rng.choice([1, 1, 1, 2, 3]))]
            program = self.rng.random() < PROGRAMS
            pid = (lives.start_program if program else lives.start_forked)(arguments, self.log)
            if death == deaths:
                self.finished(arguments, lives.wait(pid))
                break
            moment, seen, code = self.kill(pid, command, death == deaths - 1, program)
            if code is not None:
                self.finished(arguments, code)
                break
            self.kills[f"{command.arguments[0]}, {moment}"] += 1
            self.programs += program
            self.check(command, seen)
        self.check(command, -1)
        assert all(path.read_bytes() == data for path, data in before.items()), "the inputs of a merge changed"
        return death

    def kill(self, pid: int, command: Command, last: bool, program: bool) -> tuple[str, int, int | None]:
        """(which moment, sequence number of the last commit seen, exit code if it ended by itself)."""
        from verification import lives

        watch, seen = lives.Watch(command.work), -1
        first = watch.newest()
        moments = ["any time", "checkpoint"] if first or command.threads else ["any time", "finishing"]
        moment = self.rng.choice(
            moments + ["creating"] * (first is None or not command.threads) + ["finishing"] * (2 * last)
        )
        begun = first.sequence if first else -1
        wanted = begun + self.rng.randint(1, 3)

        def event() -> bool:
            nonlocal seen
            if moment == "any time":
                return True
            if moment == "creating":
                return any(p.name.endswith(".partial") and p != command.work for p in self.folder.iterdir())
            newest = watch.newest()
            if newest is None:
                return seen >= 0  # put in place already
            seen = max(seen, newest.sequence)
            if moment == "checkpoint":
                return seen >= wanted
            return bool(newest.results) or newest.progress.replicates_done == self.rows(command)

        delay = {
            "any time": 2.5 if program else self.seconds, "creating": 0.02, "checkpoint": 0.004, "finishing": 0.012,
        }[moment]  # fmt: skip
        code = lives.kill_when(pid, event, self.rng.uniform(0, delay))
        return moment, seen, code

    def rows(self, command: Command) -> int:
        from fastsgd import store
        from fastsgd.errors import FastsgdError

        try:
            return store.open_run(command.work).replicates
        except FastsgdError:
            return -1

    def check(self, command: Command, seen: int) -> None:
        """Every file is whole, and no older than what was seen."""
        from fastsgd import store
        from fastsgd.store.verify import verify
        from verification import lives

        for path in {command.target, command.work, *command.inputs}:
            if not path.exists():
                continue
            if path.name.endswith(".merge.partial") and not store.open_run(path).progress.replicates_done:
                continue  # a merge has one commit, at its end
            found = verify(path)
            assert not found, f"{path} after a kill: {found}"
        newest = lives.Watch(command.work).newest()
        if newest is not None and seen >= 0:
            assert newest.sequence >= seen, f"commit {seen} was seen, {newest.sequence} is there"


def one_chain(killer: Killer, base: dict[str, Any], steps_later: bool, kills: int) -> None:
    """The run from scratch, the chain with deaths, and the bytes of both."""
    from verification import lives

    folder = killer.folder
    for path in folder.iterdir():
        path.unlink()
    whole, commands = chain(folder, base, steps_later)
    scratch = folder / "scratch.h5"
    lives.rehearse(["run", str(whole), "-o", str(scratch)])
    scratch.unlink(missing_ok=True)
    killer.run(["run", str(whole), "-o", str(scratch), "--threads", "1"])
    for number, command in enumerate(commands):
        kills -= killer.command(command, -(-kills // (len(commands) - number)))
    there, wanted = datasets(commands[-1].target), datasets(scratch)
    assert there.keys() == wanted.keys()
    different = [name for name in wanted if there[name] != wanted[name]]
    assert not different, f"other bytes than the run from scratch in {', '.join(different)}"
    # A lock file may stay behind a process that was killed when all was done; it binds nobody.
    rest = {p.name for p in folder.iterdir() if p.suffix != ".lock"} - {"whole.toml", "short.toml", "log"}
    assert rest == {"scratch.h5", *(command.target.name for command in commands)}, f"left behind: {rest}"


def main(options: argparse.Namespace) -> int:
    """Kill until the count is reached; 1 and the reason if anything was lost."""
    # Read when a child starts its threads: waiting threads that spin would take the cores from each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # What a command imports is imported once, before it is forked; nothing here may run a parallel kernel.
    from fastsgd import extending, merging, wave  # noqa: F401
    from verification import lives

    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fastsgd-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        print(f"{folder} is not empty; give another folder", file=sys.stderr)
        return 2
    lives.small()
    killer, begun, round_ = Killer(folder, seed), time.monotonic(), 0
    try:
        while (left := options.count - killer.kills.total()) > 0:
            kinds = [(BASE, True), (POOL, False), (POOL, True), (BASE, False)]
            base, steps_later = kinds[round_ % len(kinds)]
            one_chain(killer, base, steps_later, min(left, 25))
            round_ += 1
            print(f"{killer.kills.total()} kills, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    except AssertionError as error:
        print(f"FAILED with --seed {seed} after {killer.kills.total()} kills: {error}; files are in {folder}")
        return 1
    shutil.rmtree(folder)
    for what, count in sorted(killer.kills.items()):
        print(f"{count:6d}  {what}")
    took = f"{round_} chains, {time.monotonic() - begun:.0f} s, {killer.programs} not of a fork, --seed {seed}"
    print(f"{killer.kills.total():6d}  kills ({took}): nothing lost, the bytes of the run from scratch")
    return 0

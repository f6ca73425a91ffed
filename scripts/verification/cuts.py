"""strace ends run, merge and extend at the k-th sync (between a write and its sync), or fails their k-th write.

After a kill, and after ENOSPC or EIO with exit code 1 and one line, every file must be whole, and the command given again
must end with the bytes that it has undisturbed.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from verification import lives
from verification.kills import BASE, Command, chain, datasets

HELP = "kills between write and sync, and failing writes, by strace"

# What strace does to a call, and to calls on which files: all, or only the file that is being written.
CUTS = {
    "kill before a sync": ("fdatasync", "signal=KILL", False),
    "kill before a rename": ("rename", "signal=KILL", False),
    "ENOSPC in a write": ("write", "error=ENOSPC", True),
    "EIO in a sync": ("fdatasync", "error=EIO", True),
}


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--count", type=int, default=None, metavar="N", help="cuts, spread over all (default: every k)")


def missing() -> str | None:
    """Why strace cannot be used here; None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace is not permitted: {tried.stderr.strip()[-200:]}"


def cut(command: Command, how: str, k: int, log: Path) -> int:
    """Run a command under strace; its exit code, -9 if it was killed."""
    call, what, only = CUTS[how]
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={k}"]
    if only:
        strace += ["-P", str(command.work)]
    arguments = [*command.arguments, *(["--threads", "1"] if command.threads else [])]
    with log.open("wb") as out:
        done = subprocess.run(
            [*strace, sys.executable, "-c", lives.PROGRAM, *arguments],
            stdout=out, stderr=out, check=False, env=lives.environment(),
        )  # fmt: skip
    return -signal.SIGKILL if done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL) else done.returncode


class Cutter:
    """A chain of commands with the files as they are before each of them."""

    def __init__(self, folder: Path):
        self.folder, self.kept, self.log = folder / "work", folder / "kept", folder / "log"
        self.folder.mkdir()
        self.commands = chain(self.folder, BASE, True)[1]
        lives.rehearse(self.commands[0].arguments)
        self.commands[0].target.unlink(missing_ok=True)
        self.wanted = []
        for i, command in enumerate(self.commands):
            shutil.copytree(self.folder, self.kept / str(i))
            assert self.run(command) == 0, self.log.read_text()
            self.wanted.append(datasets(command.target))

    def run(self, command: Command) -> int:
        return lives.wait(lives.start_forked(command.arguments, self.log))

    def one(self, number: int, how: str, k: int) -> bool:
        """A command with its k-th call cut; False if it has fewer. AssertionError if anything is wrong."""
        from fastsgd.store.verify import verify

        command = self.commands[number]
        shutil.rmtree(self.folder)
        shutil.copytree(self.kept / str(number), self.folder)
        code, said = cut(command, how, k, self.log), f"{how} {k} of {' '.join(command.arguments)}"
        if code == 0:
            return False
        text = self.log.read_text()
        if "kill" in how:
            assert code == -signal.SIGKILL, f"{said}: exit code {code}: {text}"
        else:
            errors = [line for line in text.splitlines() if line.startswith("error: ")]
            assert code == 1 and len(errors) == 1 and "Traceback" not in text, f"{said}: exit code {code}: {text}"
        for path in self.folder.glob("*.h5"):
            assert verify(path) == [], f"{said}: {verify(path)}"
        assert self.run(command) == 0, f"{said}, then again: {self.log.read_text()}"
        there = datasets(command.target)
        different = [
            name for name in there.keys() | self.wanted[number] if there.get(name) != self.wanted[number].get(name)
        ]
        assert not different, f"{said}: other bytes in {', '.join(different)}"
        return True


def main(options: argparse.Namespace) -> int:
    """Every k of every cut of every command, or some; 1 and the reason if anything was lost."""
    from fastsgd import extending, merging, wave  # noqa: F401

    if (reason := missing()) is not None:
        print(f"left out: {reason}")
        return 0
    lives.small()
    made = 0
    with tempfile.TemporaryDirectory(prefix="fastsgd-cuts-") as folder:
        cutter = Cutter(Path(folder))
        cases = list(itertools.product((0, 1, 4, 5), CUTS))  # run, extend --steps, merge, extend --replicates
        try:
            if options.count is not None:
                for i in range(options.count):
                    number, how = cases[(5 * i) % len(cases)]
                    made += cutter.one(number, how, 1 + (3 * i) % 7 if "rename" not in how else 1)
            else:
                for number, how in cases:
                    for k in itertools.count(1):
                        if not cutter.one(number, how, k):
                            break
                        made += 1
                    print(f"{made} cuts: {how} of {cutter.commands[number].arguments[0]}", file=sys.stderr, flush=True)
        except AssertionError as error:
            print(f"FAILED after {made} cuts: {error}")
            return 1
    print(f"{made} cuts: nothing lost, the bytes of an undisturbed run")
    return 0

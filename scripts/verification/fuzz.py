"""The command line with random commands, options, values and files, sound and not.

Whatever is given, a command must end with exit code 0, 1, 2, 3 or 75 and say why it failed, without a traceback, a warning
of Python, a hang or the death of the interpreter. A case is made from the seed and its number alone; it runs in a child of
this process, in a folder with all the files of `junk.py` and with sound runs, which are put back after each case.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import os
import random
import shlex
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from verification import junk

HELP = "random commands, options and files: exit codes, one line, no traceback"

CODES = (0, 1, 2, 3, 75)
PATIENCE = 40  # seconds for a case; a simulation of a case may take one
ODD = [
    "", "-", "--", ".", "..", "/", "no/such/file.h5", "a" * 5000, "r\u00e9sum\u00e9.h5", "\udcff.h5", "a b.toml",
    "x\ny.h5", "/proc/self/mem", "~",
]  # fmt: skip
NUMBERS = [
    "0", "-1", "1", "2", "3", "7", "64", "1e3", "0.5", "1e400", "nan", "inf", "-inf", "x", "", " ", "9" * 400, "0x10",
    "1_000", "\u00bd", "\uff11", "1,2", "18446744073709551615", "18446744073709551616", "1e15",
]  # fmt: skip
WHOLE = ["0", "-1", "1", "2", "5", "63", "65", "130", "x", "", "9" * 400, "1e15", "4611686018427387904", "2147483648"]
VALUES = [
    "0", "1", "-1", "2", "0.05", "0.1", "1e-300", "1e300", "nan", "inf", "true", "''", "[]", "{}", "[1]", "[0, 1, 2]", "[2, 1]",
    "red", "quadratic", "glm", "ou", "newsvendor", "queue", "portfolio", "fresh", "reshuffle", "antithetic", "power",
    "stationary", "gaussian", "{ eigenvalues = [1.0, 1e12] }", "{ eigenvalues = [] }", "{ file = 'good.npy' }",
    "{ file = 'huge.npy' }", "{ file = 'zero.npy' }", "{ spectrum = 'logspace', low = 1.0, high = 2.0 }",
    "{ spectrum = 'logspace', low = 1e-300, high = 1e300 }", "{ kind = 'isotropic' }", "{ log = 5, last = 40 }",
    "1000000000000", "18446744073709551615", "1979-05-27", "\"\\u0000\"", "= =", "[[1]]", "\u00e9",
]  # fmt: skip
STEPS = ["3,5", "20", "5,3", "", "x", "1e3", "999999999999999999", "9999999999999999999"]
SCHEDULERS = ["", "nowhere", "tcp://", "http://x", "tcp://127.0.0.1:notaport"]
LIMITS = ["0.3", "0.3", "1", "00:00:01", "x", "0", "-1", "1:2:3:4", "", "nan"]
PLACES = [
    "new.h5", "new.png", "new", "new.csv", "new.zarr", "new.nc", "no/such/folder/x.h5", "folder.h5", "full.h5",
    "null.csv", "loop.h5", "pipe.csv", "secret.h5", "run.h5", "/proc/x.h5", "", "a" * 300, "good.csv",
]  # fmt: skip
SOUND = [
    "run.h5", "half.h5", "one.h5", "two.h5", "pool.h5", "spec.toml", "good.csv.toml", "good.py.toml", "good.npy.toml",
    *(f"{kind}.toml" for kind in junk.PROBLEMS),
    "good.csv", "table.npz", "study",
]  # fmt: skip


def prepare(folder: Path) -> None:
    """Make the folder `work` with all files and with sound runs, and `study`, a copy of its sweep."""
    from fastsgd import engine, plan

    work = folder / "work"
    work.mkdir()
    junk.make(work)
    with contextlib.chdir(work):
        for line in (
            "run spec.toml -o run.h5", "run spec.toml --shard 1/2 -o one.h5 --set replicates=128",
            "run spec.toml --shard 2/2 -o two.h5 --set replicates=128", "run good.csv.toml -o pool.h5",
            "sweep spec.toml --vary step.size=0.1,0.05 -o study --threads 1",
        ):  # fmt: skip
            if (found := case(line.split()))[0]:
                raise RuntimeError(f"fastsgd {line}: {found}")
        plan._LARGEST_WAVE, engine.COMMIT_SECONDS, engine.SEGMENT_SECONDS = 64, 0.0, 0.001
        code, *said = case(["run", "spec.toml", "-o", "half.h5", "--set", "replicates=100000", "--time-limit", "0.05"])
        if code != 75:
            raise RuntimeError(f"exit code {code} of a run with a time limit: {said}")
        junk.damaged(work, work / "run.h5")
    shutil.copytree(work / "study", folder / "study")


class Field:
    """The folder that commands work in, and its files as they were."""

    def __init__(self, folder: Path):
        if _forked(lambda: prepare(folder)):  # a process that ran a parallel kernel cannot be forked
            raise RuntimeError("the sound runs could not be made")
        self.folder, self._study = folder / "work", folder / "study"
        self.names = sorted(path.name for path in self.folder.iterdir())
        self.sound = {name: (self.folder / name).read_bytes() for name in SOUND if name != "study"}

    def restore(self) -> None:
        """Put back what a case has changed."""
        there = {path.name: path for path in self.folder.iterdir()}
        for name in there.keys() - set(self.names):
            path = there[name]
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, raw in self.sound.items():
            path = self.folder / name
            if path.is_symlink() or not path.is_file() or path.read_bytes() != raw:
                path.unlink(missing_ok=True)
                path.write_bytes(raw)
        shutil.rmtree(self.folder / "study", ignore_errors=True)
        shutil.copytree(self._study, self.folder / "study")


def case(arguments: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line, in this process."""
    from fastsgd.cli.entry import exit_code

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = exit_code(list(arguments))
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    return code, out.getvalue(), err.getvalue()


def wrong(arguments: Sequence[str], code: int, out: str, err: str) -> str | None:
    """What is wrong with how a command ended; None if nothing is."""
    if code not in CODES:
        return f"exit code {code}"
    for word in ("Traceback", "Warning:", "shows where"):
        if word in err or word in out:
            return f"prints {word!r}"
    verdict = arguments[:1] in (["verify"], ["diff"]) and code == 1
    if code and not verdict and "error" not in err.lower() and "Usage:" not in err:
        return f"exit code {code} without a reason"
    if code == 2 and out:
        return "exit code 2 with results"
    long = [line for line in err.splitlines() if len(line) > 12_000]
    return "a line of more than 12000 characters" if long else None


def line(rng: random.Random, names: Sequence[str]) -> list[str]:
    """A command line: any command, some of its options, values that are sound about half of the time."""
    from fastsgd.cli.group import COMMANDS, app

    if rng.random() < 0.02:
        return [rng.choice([*ODD, *COMMANDS, "--version", "--help", "-x"]) for _ in range(rng.randrange(4))]
    name = rng.choice(list(COMMANDS))
    command = app.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    words: list[str] = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            many = rng.choice([1, 1, 2, 3]) if parameter.nargs == -1 else rng.choice([1] * 30 + [0, 2])
            words += [_argument(rng, name, names) for _ in range(many)]
        elif rng.random() < (0.9 if parameter.required else 0.25):
            for _ in range(rng.choice([1, 1, 2]) if parameter.multiple else 1):
                words += _option(rng, parameter, names)
    if name in ("run", "sweep", "extend", "reproduce") and rng.random() < 0.98:
        words += ["--time-limit", rng.choice(LIMITS[:4])]  # the last one given holds
    if name == "reproduce":
        words += ["--list"]
    if rng.random() < 0.03:
        words.insert(rng.randrange(len(words) + 1), rng.choice(["--frobnicate", "-q", "--help", "--set", "-o"]))
    return [name, *words]


def _argument(rng: random.Random, command: str, names: Sequence[str]) -> str:
    kinds = {"run": ".toml", "plan": ".toml", "sweep": ".toml", "estimate": ".csv .npz .h5", "reproduce": ""}
    chance = rng.random()
    if chance < 0.1:
        return rng.choice(ODD)
    if command == "reproduce":
        return rng.choice(["plateau", "rate", "platou", "", "../x"])
    ends = kinds.get(command, ".h5" if rng.random() < 0.8 else ".toml").split()
    right = [n for n in names if n.endswith(tuple(ends))]
    if chance < 0.55:
        return rng.choice([n for n in SOUND if n in right] or right)
    return rng.choice(right if chance < 0.95 else list(names))


def _option(rng: random.Random, parameter: Any, names: Sequence[str]) -> list[str]:
    import click

    from fastsgd.spec import Spec
    from fastsgd.spec.schema import all_keys

    flag = rng.choice([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return [flag]
    key = parameter.name
    if key in ("overrides", "assume", "vary"):
        if rng.random() < 0.1:
            return [
                flag,
                rng.choice(["", "=", "=1", "x", "a.b.c=1", "step=", "step.size", "\u00e9=1", "arms.a.step.size=0.1"]),
            ]
        keys = (
            ["step.size", "replicates", "record.steps", "sampling.batch", "seed"]
            if rng.random() < 0.5
            else sorted(all_keys(Spec))
        )
        if rng.random() < 0.4:
            keys = [key for key in sorted(all_keys(Spec)) if key.startswith("problem.")]
        values = rng.sample(VALUES, rng.choice([1, 2, 3]) if key == "vary" else 1)
        return [flag, f"{rng.choice(keys)}={','.join(values)}"]
    table = {
        "scheduler": SCHEDULERS, "workers": ["0", "-1", "x", ""], "time_limit": LIMITS, "steps": [*STEPS, *NUMBERS],
        "shard": ["1/2", "2/2", "3/2", "0/0", "x", "1", "", "1/1000000000000", "-1/2"],
        "threads": ["1", "2", "0", "-1", "x", "99999999999999"], "output": PLACES, "spec": PLACES,
        "batches": [*NUMBERS, "1,8", "1,,2", "1e9"], "replicate": WHOLE, "replicates": WHOLE, "arm": ["all", "x", ""],
        "code": [n for n in names if n.endswith(".py")], "target": ["y", "x", "x/y", "/", "", "x1", "nope"],
        "bootstrap": ["0", "5", "-1", "x"], "rank": ["1", "2", "0", "99999999", "x"], "memory": ["0", "1", "x", "-1", "9" * 30],
        "specs": ["study", "folder.h5", "nowhere", ""],
    }  # fmt: skip
    if key in table:
        return [flag, rng.choice(table[key])]
    if isinstance(parameter.type, click.Choice):
        return [flag, rng.choice([*parameter.type.choices] * 4 + ["x", ""])]
    if isinstance(parameter.type, click.Path):
        return [flag, rng.choice([*names, *ODD])]
    return [flag, rng.choice(NUMBERS)]


def data_lines(names: Sequence[str]) -> Iterator[list[str]]:
    """Every file to every command that could take it; a command for a file of its kind must refuse what is unsound."""
    for name in names:
        if name.endswith((".csv", ".npz", ".h5")):
            for family in ("logistic", "poisson"):
                yield ["estimate", name, "--family", family, "--bootstrap", "5"]
            yield ["estimate", name, "--family", "linear", "--bootstrap", "0", "--memory", "0"]
        if name.endswith(".toml"):
            yield ["predict", name]
            yield ["run", name, "-o", "new.h5", "--time-limit", "1"]
            yield ["plan", name, "--no-measure"]
            yield ["sweep", name, "--vary", "step.size=0.1,0.05", "-o", "new", "--time-limit", "1"]
        if name.endswith(".h5") or name == "study":
            for verb in (
                "show",
                "ratio",
                "verify",
                "predict",
                "extend --replicates 70 --time-limit 1",
                "replay --replicate 0",
            ):
                yield [verb.split()[0], name, *verb.split()[1:]]
            yield ["diff", name, "run.h5"]
            yield ["merge", name, "one.h5", "-o", "new.h5"]
            yield ["plot", name, "-o", "new.png"]
            for kind in ("netcdf", "zarr", "csv"):
                yield ["export", name, "--format", kind, "-o", "new"]
        if name.endswith(".py"):
            yield ["replay", "run.h5", "--replicate", "0", "--code", name]


def _forked(act: Callable[[], None]) -> int:
    """Exit code of a child of this process that does something."""
    return os.waitstatus_to_exitcode(os.waitpid(_start(act), 0)[1])


def _start(act: Callable[[], None], log: Path | None = None) -> int:
    """The pid of a child of this process, in a group of its own, that does something."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.enable()
        if log is not None:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _work(field: Field, lines: Callable[[int], list[str]], first: int, count: int, to: int) -> None:
    """Run cases first to count - 1; before each its number is written to the pipe `to`, and afterwards what became of it."""
    os.environ["FASTSGD_TRACEBACK"] = "1"
    os.chdir(field.folder)
    with os.fdopen(to, "w", buffering=1, errors="surrogateescape") as pipe:
        for i in range(first, count):
            pipe.write(f"{i}\n")
            signal.alarm(PATIENCE)  # ends this process
            arguments = lines(i)
            code, out, err = case(arguments)
            reason = wrong(arguments, code, out, err)
            pipe.write(
                f"done {code}\n" if reason is None else f"bad {reason}: {' | '.join(err.splitlines())[-3000:]}\n"
            )
            field.restore()


def cases(field: Field, lines: Callable[[int], list[str]], count: int, log: Path) -> tuple[Counter[int], list[str]]:
    """Exit codes of cases 0 to count - 1, and a line for each that went wrong. What a dying child prints goes to `log`."""
    codes: Counter[int] = Counter()
    bad: list[str] = []
    at, running, hung = -1, False, set[int]()
    while at + 1 < count:
        field.restore()
        ours, theirs = os.pipe()
        first = at + 1
        pid = _start(lambda first=first, theirs=theirs: _work(field, lines, first, count, theirs), log)  # type: ignore[misc]
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as pipe:
            text = b""
            while part := pipe.read(65536):
                *whole, text = (text + part).split(b"\n")
                for word, _, rest in (raw.decode(errors="replace").partition(" ") for raw in whole):
                    running = word not in ("done", "bad")
                    if running:
                        at = int(word)
                    elif word == "done":
                        codes[int(rest)] += 1
                    else:
                        bad.append(f"{shown(lines(at))}: {rest}")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it started
        if running:
            running = False
            if status == -signal.SIGALRM and at not in hung:  # once more: a busy machine may be the reason
                hung.add(at)
                at -= 1
                continue
            how = (
                "hung"
                if status == -signal.SIGALRM
                else f"died (status {status}): {log.read_text(errors='replace')[-1000:]}"
            )
            bad.append(f"{shown(lines(at))}: {how}")
        elif at < count - 1:
            raise RuntimeError(f"the cases ended early (status {status}): {log.read_text(errors='replace')[-1000:]}")
    return codes, bad


def shown(arguments: Sequence[str]) -> str:
    """A command line as one would type it."""
    return shlex.join(["fastsgd", *(word if len(word) < 100 else f"{word[:20]}...({len(word)})" for word in arguments)])


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="random command lines (default 1000)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="drawn and printed by default")
    parser.add_argument(
        "--only", choices=("files", "random"), help="every file to every command that could take it, or random lines"
    )
    parser.add_argument(
        "--stride", type=int, default=1, metavar="K", help="every K-th of the lines with files (default: all)"
    )


def main(options: argparse.Namespace) -> int:
    """Print a line for each case that went wrong; 1 if there is one."""
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    begun = time.monotonic()
    from fastsgd import extending, merging, wave  # noqa: F401  what commands import is imported once, before the fork

    with tempfile.TemporaryDirectory(prefix="fastsgd-fuzz-") as place:
        folder = Path(place)
        field = Field(folder)
        files = list(data_lines(field.names))[:: options.stride] if options.only != "random" else []
        count = options.count if options.only != "files" else 0
        print(f"--seed {seed}: {len(files)} lines with files, {count} random ones", flush=True)
        codes, bad = cases(field, files.__getitem__, len(files), folder / "log")
        more, worse = cases(field, lambda i: line(random.Random(f"{seed} {i}"), field.names), count, folder / "log")
        codes, bad = codes + more, bad + worse
        for text in bad:
            print(text)
        seen = ", ".join(f"{n} x {code}" for code, n in sorted(codes.items()))
        total, seconds = sum(codes.values()) + len(bad), time.monotonic() - begun
        print(f"{total} command lines, {seconds:.0f} s; exit codes {seen}; {len(bad)} went wrong")
    return 1 if bad else 0

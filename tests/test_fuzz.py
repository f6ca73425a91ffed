"""Odd files and odd command lines: exit codes, a reason, no traceback, no hang; `scripts/verify fuzz` does thousands."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from verification import fuzz, junk

from fastsgd.cli.entry import exit_code

VERIFY = Path(__file__).resolve().parent.parent / "scripts" / "verify"


@pytest.mark.slow
def test_files_and_command_lines_of_all_kinds():
    command = [sys.executable, VERIFY, "fuzz", "--count", "60", "--stride", "17", "--seed", "20261123"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 went wrong" in done.stdout


@pytest.mark.parametrize(
    ("code", "out", "err"),
    [
        (4, "", "error: x"),
        (-11, "", ""),
        (1, "", "Traceback (most recent call last):"),
        (0, "", "x.py:3: RuntimeWarning: overflow"),
        (1, "", ""),
        (2, "a table", "error: x"),
        (1, "", "error: RuntimeError: odd (FASTSGD_TRACEBACK=1 shows where)"),
    ],
)
def test_control_what_counts_as_wrong(code, out, err):
    assert fuzz.wrong(["run", "x.toml"], code, out, err)


def test_control_a_death_and_a_hang_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "PATIENCE", 1)
    (tmp_path / "work").mkdir()

    class Place:
        folder = tmp_path / "work"

        def restore(self):
            pass

    ends = {"dies": "import os; os.abort()", "hangs": "import time; time.sleep(60)", "fine": ""}
    monkeypatch.setattr(fuzz, "case", lambda arguments: (exec(ends[arguments[0]]), (0, "", ""))[1])
    lines = [["fine"], ["dies"], ["fine"], ["hangs"], ["fine"]]
    codes, bad = fuzz.cases(Place(), lines.__getitem__, len(lines), tmp_path / "log")
    assert codes == {0: 3}
    assert len(bad) == 2 and "fastsgd dies: died (status -6)" in bad[0] and bad[1] == "fastsgd hangs: hung"


@pytest.mark.parametrize("name", ["zero", "pipe", "loop", "folder", "dangling"])
@pytest.mark.parametrize(
    "command", ["run {}.toml", "predict {}.h5", "estimate {}.csv --family linear", "plot {}.h5 -o x.png"]
)
def test_paths_that_are_no_files_are_refused_at_once(name, command, tmp_path, monkeypatch, capsys):
    junk.places(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert exit_code(command.format(name).split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and name in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hollow.h5", 'nothing written in "x"'),
        ("large.h5", 'nothing written in "x"'),
        ("strange.h5", 'nothing written in "large"'),
        ("huge.csv", "numbers of size 1e+100 or less, got 1e+308"),
    ],
)
def test_data_whose_shape_or_size_cannot_be(name, said, tmp_path, monkeypatch, capsys):
    junk.arrays(tmp_path)
    (tmp_path / "huge.csv").write_bytes(junk.texts()["huge.csv"])
    junk.specs(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in (
        f"estimate {name} --family linear",
        f"estimate {name} --family linear --memory 0",
        f"predict {name}.toml",
    ):
        assert exit_code(line.split()) == 2
        (reason,) = capsys.readouterr().err.splitlines()
        assert said in reason


@pytest.mark.parametrize(("value", "said"), [(1e308, "1e+100 or less"), (1e-320, "1e-100 or more")])
def test_matrices_whose_products_overflow_are_refused(value, said, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", np.diag([value, value]))
    junk.specs(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert exit_code(["predict", "x.npy.toml"]) == 2
    assert said in capsys.readouterr().err


FOUND = [
    "export run.h5 --format csv -o loop.h5 --force",
    "plot run.h5 -o ''",
    "estimate narrow.csv --family linear",
    "predict run.h5 --assume step.size=1979-05-27",
    "sweep spec.toml --vary step.size=1979-05-27,0.1 -o study --threads 1",
    "predict /proc/self/mem",
    "sweep spec.toml --vary step.size=0.1,0.05 --threads 99999999999999",
    "plan spec.toml --batches inf",
    "plan spec.toml --budget 18446744073709551616",
    f"verify {'a' * 300}",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", FOUND)
def test_what_the_fuzz_has_found(line, tmp_path, monkeypatch):
    """Each was a traceback or never ended."""
    junk.places(tmp_path)
    (tmp_path / "spec.toml").write_text(junk.SPEC)
    (tmp_path / "narrow.csv").write_text("a,b,y\n" + "".join(f"{k % 7},{1e-9 * k},{k % 2}\n" for k in range(12)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTSGD_TRACEBACK", "1")
    if "run.h5" in line:
        assert fuzz.case(["run", "spec.toml", "-o", "run.h5"])[0] == 0
    arguments = shlex.split(line)
    code, out, err = fuzz.case(arguments)
    assert fuzz.wrong(arguments, code, out, err) is None, err
    assert code in (0, 2) or (line.startswith("sweep") and code == 1)

"""Help pages, bad usage and bad input: one line each, the right exit code, never a traceback."""

import importlib
import io
import os
import re
import subprocess
import sys

import click
import numpy as np
import pytest

from fastsgd.cli import progress
from fastsgd.cli.entry import exit_code
from fastsgd.cli.group import COMMANDS, app
from fastsgd.cli.options import Duration


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_page_has_examples(name, capsys):
    assert exit_code([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"fastsgd {name} " in out


def test_the_list_of_commands_says_what_their_help_says(capsys):
    assert exit_code(["--help"]) == 0
    out = capsys.readouterr().out
    for name, text in COMMANDS.items():
        command = importlib.import_module(f"fastsgd.cli.{name}_command").command
        assert command.help.splitlines()[0] == text
        assert text in out
    assert "Examples:" in out
    assert isinstance(app, click.Group)


def test_version(capsys):
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fastsgd, version ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["frobnicate"], "choose from run, predict"),
        ([], "Usage: "),
        (["run"], "Missing argument 'SPEC'"),
        (["run", "x.toml", "--set", "step.size"], "is not KEY=VALUE"),
        (["run", "x.toml", "--threads", "0"], "--threads"),
        (["run", "x.toml", "--time-limit", "soon"], "write HH:MM:SS"),
        (["run", "no-such.toml"], "no-such.toml"),
        (["predict", "no-such.h5"], "no-such.h5"),
        (["ratio", "no-such.h5"], "no-such.h5"),
        (["ratio"], "Missing argument 'RUN...'"),
        (["ratio", "x.h5", "--json", "--csv"], "exclude each other"),
        (["show", "."], "."),
        (["plot", "x.h5"], "Missing option '-o'"),
        (["plot", "x.h5", "-o", "x.jpeg2000"], ".png"),
        (["plot", "x.h5", "-o", "no/such/folder/x.png"], "is no folder"),
    ],
)
def test_bad_usage_exits_with_2(arguments, said, capsys):
    assert exit_code(arguments) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_all_problems_of_a_spec_at_once(tmp_path, capsys):
    spec = tmp_path / "bad.toml"
    spec.write_text('replicates = 0\n[problem]\nkind = "quadratic"\n[step]\nsize = -1\nsise = 2\n')
    assert exit_code(["run", str(spec)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 4
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n" + b"x" * 100, b"name = 1", np.random.default_rng(0).bytes(999)]
)
@pytest.mark.parametrize("verb", ["ratio", "show", "predict"])
def test_files_that_are_no_runs(content, verb, tmp_path, capsys):
    path = tmp_path / "thing.h5"
    path.write_bytes(content)
    assert exit_code([verb, str(path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "thing.h5" in err


@pytest.mark.parametrize(
    ("text", "seconds"), [("01:30:00", 5400), ("2:05", 125), ("90", 90), ("0.5", 0.5), ("100:00:00", 360000)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "1:2:3:4", "1h", "00:00:00", "nan"])
def test_bad_durations(text):
    with pytest.raises(click.BadParameter, match="HH:MM:SS"):
        Duration().convert(text, None, None)


def test_progress_off_a_terminal_is_a_line_every_few_seconds():
    stream = io.StringIO()
    with progress.Progress(stream) as bar:
        for second in range(21):
            bar.update(1000 * second, 20_000, float(second))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[2] == "50.0% after 0:00:10, 1 k replicate-steps/s, 0:00:10 left"
    assert lines[-1] == "100.0% after 0:00:20, 1 k replicate-steps/s"


def test_progress_on_a_terminal_is_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with progress.Progress(stream) as bar:
        bar.update(0, 100, 0.0)
        bar.note("a remark")
        bar.update(100, 100, 1.0)
    assert "a remark" in stream.getvalue()


def test_speed_after_a_resume_counts_new_work_only():
    stream = io.StringIO()
    with progress.Progress(stream) as bar:
        bar.update(900, 1000, 0.0)
        bar.update(1000, 1000, 1.0)
    assert "100 replicate-steps/s" in stream.getvalue()


def test_the_unexpected_is_one_line_unless_asked(monkeypatch, capsys):
    def fail(*arguments, **settings):
        raise RuntimeError("something\nodd")

    monkeypatch.setattr(app, "main", fail)
    assert exit_code([]) == 1
    assert capsys.readouterr().err == "error: RuntimeError: something odd (FASTSGD_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("FASTSGD_TRACEBACK", "1")
    assert exit_code([]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_anywhere_exits_with_75(monkeypatch, capsys):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "main", interrupt)
    assert exit_code([]) == 75
    assert capsys.readouterr().err == "error: interrupted\n"


def test_module_and_script_are_the_same_program():
    done = subprocess.run([sys.executable, "-m", "fastsgd", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("fastsgd, version ")


def test_versions_of_what_matters(capsys):
    import numba
    import numpy

    assert exit_code(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"numba {numba.__version__}" in lines
    assert f"numpy {numpy.__version__}" in lines


def test_options_from_the_environment(tmp_path, monkeypatch, capsys):
    (tmp_path / "bad.toml").write_text("name = 1\n")
    monkeypatch.setenv("FASTSGD_RUN_THREADS", "none")
    assert exit_code(["run", str(tmp_path / "bad.toml")]) == 2
    assert "--threads" in capsys.readouterr().err


def test_shell_completion():
    def complete(words, shell="bash_complete"):
        env = os.environ | {"_FASTSGD_COMPLETE": shell, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        command = [sys.executable, "-c", "from fastsgd.cli import main; main()"]
        return subprocess.run(command, env=env, capture_output=True, text=True).stdout

    assert complete("fastsgd swe").split() == ["plain,sweep"]
    assert "plain,--scheduler" in complete("fastsgd sweep --sch").split()
    assert "_FASTSGD_COMPLETE=bash_complete" in complete("", "bash_source")


@pytest.mark.slow
@pytest.mark.parametrize("plain", [True, False])
def test_colours_only_where_a_terminal_wants_them(tmp_path, plain):
    pty = pytest.importorskip("pty")
    from small_runs import tables

    from fastsgd.spec import load_spec

    (tmp_path / "small.toml").write_text(load_spec(tables(replicates=64, record__steps=[10])).to_toml())
    env = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm-256color"}
    env |= {"NO_COLOR": "1"} if plain else {}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fastsgd", "run", str(tmp_path / "small.toml")]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other side has closed
        pass
    out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b" not in out
    coloured = [
        code for code in re.findall(rb"\x1b\[([\d;]*)m", shown) if re.search(rb"(^|;)(3[0-7]|38|9[0-7])(;|$)", code)
    ]
    assert bool(coloured) != plain, shown

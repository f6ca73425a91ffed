"""The command line end to end: spec to run to ratio, figures, JSON, exit codes."""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fastsgd
from fastsgd.cli.entry import exit_code

pytestmark = pytest.mark.slow

SPEC = """
name = "small"
seed = 20261123
replicates = 600
[problem]
kind = "quadratic"
dimension = 3
hessian = { spectrum = "logspace", low = 0.5, high = 4.0, basis = "random", seed = 1 }
noise = { spectrum = "loguniform", low = 0.2, high = 5.0, basis = "random", seed = 7 }
[sampling]
batch = 4
[step]
size = 0.1
[record]
steps = [0, 5, 40, 150]
[arms.anisotropic]
[arms.isotropic]
"problem.noise.kind" = "isotropic"
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A finished run of two arms, and its spec."""
    spec = tmp_path_factory.mktemp("a folder") / "small.toml"
    spec.write_text(SPEC)
    assert exit_code(["run", str(spec)]) == 0
    return spec, spec.with_suffix(".h5")


def call(capsys, *arguments, code=0):
    """Run the command line in this process; (stdout, stderr)."""
    assert exit_code([str(a) for a in arguments]) == code, capsys.readouterr()
    return capsys.readouterr()


def test_run_says_what_was_made_and_again_does_nothing(small, capsys):
    spec, run = small
    before = run.read_bytes()
    out, err = call(capsys, "run", spec)
    assert "state           finished" in out
    assert "complete already" in err
    assert run.read_bytes() == before


def test_predict_of_a_spec_equals_predict_of_its_run(small, capsys):
    from_spec = json.loads(call(capsys, "predict", small[0], "--json").out)
    from_run = json.loads(call(capsys, "predict", small[1], "--json").out)
    assert from_spec == from_run
    assert from_spec["risk"][0] == {"step": 0, "value": 0.0, "standard_deviation": 0.0}
    assert set(from_spec["arms"]) == {"anisotropic", "isotropic"}
    out = call(capsys, "predict", small[0], "--set", "step.size=0.05").out
    assert "0.05" in out


def test_ratio_is_consistent_and_json_is_complete(small, capsys):
    out, err = call(capsys, "ratio", small[1], "--json")
    report = json.loads(out)
    assert report["verdict"] == "consistent"
    assert report["identity"] == fastsgd.load_spec(small[0]).identity()
    assert any(row["quantity"] == "risk" for row in report["rows"])
    assert all(abs(row["z"]) < 5 for row in report["rows"])
    assert err == ""
    text = call(capsys, "ratio", small[1]).out
    assert "verdict: consistent" in text


@pytest.mark.parametrize(
    "assumption",
    ["step.size=0.12", "sampling.batch=5", "arms.isotropic.step.size=0.12", "problem.noise.kind=isotropic"],
)
def test_an_altered_assumption_is_inconsistent_and_exits_with_3(small, capsys, assumption):
    out, err = call(capsys, "ratio", small[1], "--assume", assumption, code=3)
    assert f"predicted under the assumption {assumption}" in out
    assert "verdict: inconsistent" in out
    assert "inconsistent with the prediction" in err


def test_an_arm_with_its_own_key_is_not_altered_and_that_is_said(small, capsys):
    out, _ = call(capsys, "ratio", small[1], "--assume", "problem.noise.kind=isotropic", code=3)
    assert "note: arm isotropic has its own problem.noise.kind" in out
    rejected = [line for line in out.splitlines() if line.endswith("<<")]
    assert rejected
    assert all(line.startswith("anisotropic") for line in rejected)


def test_the_true_values_assumed_change_nothing(small, capsys):
    plain = json.loads(call(capsys, "ratio", small[1], "--json").out)
    same = json.loads(call(capsys, "ratio", small[1], "--json", "--assume", "step.size=0.1").out)
    assert same["rows"] == plain["rows"]
    rebuilt = call(capsys, "ratio", small[1], "--json", "--assume", "problem.hessian.low=0.5").out
    for row, other in zip(json.loads(rebuilt)["rows"], plain["rows"], strict=True):
        assert row["z"] == pytest.approx(other["z"], abs=1e-6)


@pytest.mark.parametrize(
    ("assumption", "said"),
    [
        ("replicates=5", "alters no prediction"),
        ("record.steps=[1]", "alters no prediction"),
        ("arms.nobody.step.size=0.1", "names no arm of the run; it has anisotropic, isotropic"),
        ("step.sise=0.1", "step.size"),
        ("step.size=-1", "step.size must be > 0"),
        ("sampling.design=without-replacement", "pool"),
        ("problem.dimension=4", "dimension"),
    ],
)
def test_an_impossible_assumption_is_named(small, capsys, assumption, said):
    out, err = call(capsys, "ratio", small[1], "--assume", assumption, code=2)
    assert said in err
    assert out == ""
    assert all(line.startswith("error: ") for line in err.splitlines())


def test_ratio_needs_the_run_file_only(small, capsys, tmp_path):
    copy = tmp_path / "elsewhere.h5"
    copy.write_bytes(small[1].read_bytes())
    call(capsys, "ratio", copy)
    call(capsys, "ratio", copy, "--assume", "sampling.batch=40", code=3)


def test_ratio_of_several_runs_as_csv(small, capsys):
    out, _ = call(capsys, "ratio", small[1], small[1], "--csv")
    lines = out.splitlines()
    assert lines[0].startswith("run,arm,quantity,step,empirical,standard_error,")
    assert len(set(map(len, (line.split(",") for line in lines)))) == 1
    assert json.loads(call(capsys, "ratio", small[1], small[1], "--json").out)["verdict"] == "consistent"


def test_show(small, capsys):
    facts = json.loads(call(capsys, "show", small[1], "--json").out)
    assert facts["replicates"] == facts["replicates_planned"] == 600
    assert facts["diverged"] == {"anisotropic": 0, "isotropic": 0}
    assert facts["seed"] == 20261123
    assert facts["provenance"]["software"]["name"] == "fastsgd"
    out = call(capsys, "show", small[1]).out
    assert facts["identity"] in out
    assert "600 of 600" in out


def test_show_spec_runs_again_to_the_same_identity(small, capsys, tmp_path):
    again = tmp_path / "again.toml"
    again.write_text(call(capsys, "show", small[1], "--spec").out)
    assert fastsgd.load_spec(again).identity() == fastsgd.open_run(small[1]).identity


def test_plot_writes_the_files_it_names(small, capsys, tmp_path):
    out = call(capsys, "plot", small[1], "-o", tmp_path / "figure").out
    assert out.split() == [str(tmp_path / "figure.png"), str(tmp_path / "figure.pdf")]
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_an_unstable_step_is_refused_unless_allowed(small, capsys, tmp_path):
    target = tmp_path / "unstable.h5"
    arguments = ["run", small[0], "-o", target, "--set", "step.size=0.6", "--set", "replicates=64"]
    _, err = call(capsys, *arguments, code=2)
    assert "0.5" in err
    assert not target.exists()
    out = call(capsys, *arguments, "--set", "record.steps=[5, 2000]", "--allow-unstable").out
    assert "diverged in isotropic" in out
    assert "64 of 64" in out
    text = call(capsys, "ratio", target).out
    assert "as an unstable step does" in text


def test_a_run_of_another_spec_is_not_overwritten(small, capsys):
    _, err = call(capsys, "run", small[0], "--set", "step.size=0.2", code=2)
    assert "step.size" in err
    assert "--force" in err


def test_a_time_limit_stops_with_75_and_the_run_goes_on(small, capsys, tmp_path):
    target = tmp_path / "limited.h5"
    arguments = ["run", small[0], "-o", target, "--set", "replicates=20000", "--set", "record.steps=[1, 20000]"]
    _, err = call(capsys, *arguments, "--time-limit", "0.5", code=75)
    assert "error: time limit" in err
    _, err = call(capsys, "ratio", target, code=2)
    assert "no finished replicates yet" in err
    assert "unfinished" in call(capsys, "show", target).out


@pytest.mark.slow
def test_interrupt_ends_within_two_seconds_with_75(small, tmp_path):
    target = tmp_path / "interrupted.h5"
    overrides = ["--set", "replicates=100000", "--set", "record.steps=[1, 100000]"]
    command = [sys.executable, "-m", "fastsgd", "run", str(small[0]), "-o", str(target), *overrides]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "%" in line:
                break
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(10) == 75
        assert time.monotonic() - begun < 2.5
    assert "Traceback" not in rest
    assert not fastsgd.open_run(target).finished


def test_help_needs_click_only_and_is_quick():
    code = (
        "import sys, fastsgd.cli.entry as e; e.exit_code(['--help']); "
        "heavy = {'numpy', 'numba', 'scipy', 'h5py', 'pydantic', 'rich', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    script = Path(sys.executable).with_name("fastsgd")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "fastsgd"]
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.2  # of a processor, whatever else the machine does


def test_a_closed_pipe_is_silent(small):
    command = f'"{sys.executable}" -m fastsgd ratio "{small[1]}" | head -1'
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""

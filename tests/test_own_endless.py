"""Functions of a user's that do not end, at once or later in a run: given up after a limit, and Ctrl-C works all the while."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastsgd
from fastsgd.errors import NotEnding
from fastsgd.problems import patience
from fastsgd.problems.patience import Guard, TooLong, patiently


def waits(until):
    while time.perf_counter() < until:
        pass
    return 7


def test_what_takes_too_long_is_given_up_with_its_line_and_stopped():
    began = threading.active_count()
    with pytest.raises(TooLong) as late:
        patiently(lambda: waits(time.perf_counter() + 60.0), 0.1, __file__)
    first = waits.__code__.co_firstlineno
    assert first < late.value.line <= first + 2
    for _ in range(100):
        if threading.active_count() == began:
            break
        time.sleep(0.05)
    assert threading.active_count() == began
    assert patiently(lambda: waits(time.perf_counter() + 0.01), 10.0) == 7  # control: in time


def test_an_error_is_the_callers():
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 / 0, 10.0)


CODE = """
from numba import njit

@njit
def endless(theta, sample, out):
    k = 0
    while k < 10:
        out[0] = theta[0] - sample[0]
"""
SPEC = """
seed = 1
replicates = 8
problem = {kind = "code.py:endless", dimension = 1, data = {file = "pool.npy"}}
sampling = {batch = 2}
step = {size = 0.1}
record = {steps = [5]}
"""
PROGRAM = """
import sys
from fastsgd.problems import own_trial, pilot
own_trial._PATIENCE, pilot._PATIENCE = 0.3, float(sys.argv.pop())
if pilot._PATIENCE > 60:
    known = pilot.patiently
    def told(call, seconds=None, file=None):
        print("calls", flush=True) if seconds is not None else None
        return known(call, seconds, file)
    pilot.patiently = told
from fastsgd.cli.entry import main
sys.argv[1:] = ["run", "spec.toml"]
main()
"""


def started(folder, patience):
    (folder / "code.py").write_text(CODE)
    (folder / "spec.toml").write_text(SPEC)
    (folder / "program.py").write_text(PROGRAM)
    np.save(folder / "pool.npy", np.random.default_rng(1).normal(size=50))
    return subprocess.Popen(
        [sys.executable, "program.py", str(patience)], cwd=folder, env=os.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_an_endless_gradient_is_refused(tmp_path):
    process = started(tmp_path, 1.0)
    _, said = process.communicate(timeout=200)
    assert process.returncode == 2, said
    assert "a gradient that has not ended after 1 s" in said and "of code.py" in said and said.count("\n") == 1
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.slow
def test_an_endless_gradient_can_be_interrupted(tmp_path):
    process = started(tmp_path, 1000.0)
    assert process.stdout.readline() == "calls\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "interrupted" in said and process.returncode == 75


def test_a_guard_waits_for_what_takes_as_long_as_it_should(monkeypatch):
    monkeypatch.setattr(patience, "_OURS", (__file__,))  # as if what waits here were a kernel
    monkeypatch.setenv("FASTSGD_PATIENCE", "0.1")
    guard = Guard()
    guard(lambda: waits(time.perf_counter() + 0.3), 1.0)  # nothing is known yet: no limit
    assert 0.25 < guard.seconds < 5.0
    guard.seconds = 0.03
    guard(lambda: waits(time.perf_counter() + 0.3), 1.0)  # half of what it may take
    guard.seconds = 0.001
    with pytest.raises(NotEnding, match=r"has not ended after .* s, where 0.001 s were expected"):
        guard(lambda: waits(time.perf_counter() + 60.0), 1.0)
    assert guard.seconds == 0.001
    monkeypatch.setattr(patience, "_OURS", ("elsewhere",))  # as if it were compiled
    guard(lambda: waits(time.perf_counter() + 0.3), 1.0)


def test_a_compiler_is_not_taken_for_a_kernel():
    import fastsgd.kernels
    import llvmlite
    import numba

    assert all(m.__file__.startswith(patience._OURS) for m in (fastsgd, fastsgd.kernels))
    assert not any(m.__file__.startswith(patience._OURS) for m in (numba, llvmlite, np))


DRIFTS = """
from numba import njit

@njit
def gradient(theta, sample, out):
    while theta[0] > 1.5:
        if theta[0] < 0.0:
            break
    out[0] = theta[0] - sample.normals[0]
"""
DRIFTING = """
seed = 1
replicates = 64
problem = {kind = "code.py:gradient", dimension = 1, normals = 1, optimum = [0.0], pilot = 16384}
sampling = {batch = 2}
step = {size = 0.6}
record = {steps = [2, 20000]}
"""


def drifting(folder, patience, *arguments):
    (folder / "code.py").write_text(DRIFTS)
    (folder / "spec.toml").write_text(DRIFTING)
    return subprocess.Popen(
        [sys.executable, "-m", "fastsgd", *arguments], cwd=folder, env=os.environ | {"FASTSGD_PATIENCE": str(patience)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_that_comes_to_a_loop_without_end_is_saved_and_ended(tmp_path):
    process = drifting(tmp_path, 1, "run", "spec.toml", "-o", "run.h5")
    _, said = process.communicate(timeout=200)
    assert process.returncode == 1, said
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert "gradient of code.py, at step" in line and "has not ended after" in line
    found = fastsgd.open_run(tmp_path / "run.h5")
    step = found.progress.wave_step
    assert 0 < step < 20000 and f"saved as of step {step} " in line and not found.finished
    # Nothing is lost: going on comes to the same place, by shorter calls.
    process = drifting(tmp_path, 1, "run", "spec.toml", "-o", "run.h5")
    _, said = process.communicate(timeout=200)
    again = fastsgd.open_run(tmp_path / "run.h5").progress.wave_step
    assert process.returncode == 1 and step <= again < 2 * step + 2 and f"saved as of step {again} " in said
    # Control: a step that does not lead there.
    process = drifting(tmp_path, 1, "run", "spec.toml", "-o", "other.h5", "--set", "step.size=0.02")
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_in_python_a_loop_without_end_is_an_error_and_other_runs_work(tmp_path):
    program = (
        'import fastsgd\ntry:\n    fastsgd.run("spec.toml", "a.h5")\nexcept fastsgd.RunError as error:\n    print(error)\n'
        'print(fastsgd.run("spec.toml", "b.h5", overrides=["step.size=0.02"]).finished)\nraise SystemExit(7)'
    )
    (tmp_path / "program.py").write_text(program)
    drifting(tmp_path, 1, "--version").communicate(timeout=60)
    ended = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=os.environ | {"FASTSGD_PATIENCE": "1"}, text=True,
        capture_output=True, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 7 and "a.h5 is saved as of step" in ended.stdout and "True" in ended.stdout, ended


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_that_hangs(tmp_path):
    process = drifting(tmp_path, 1000, "run", "spec.toml", "-o", "run.h5")
    for _ in range(1000):
        if (tmp_path / "run.h5").exists():
            break
        time.sleep(0.1)
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):  # control: the first one waits for the segment
        process.wait(1.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted at once" in said and "Traceback" not in said
    assert not fastsgd.open_run(tmp_path / "run.h5").finished


@pytest.mark.slow
def test_a_sweep_tells_the_cell_that_has_no_end_and_goes_on(tmp_path):
    process = drifting(tmp_path, 1, "sweep", "spec.toml", "-o", "study", "--vary", "step.size=0.01,0.6,0.02")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    (line,) = [line for line in said.splitlines() if line.startswith("error: size")]
    assert (
        line.startswith("error: size=0.6.h5: gradient of code.py, at steps ") and "error: 1 of 3 cells failed" in said
    )
    states = {cell.file: cell.state for cell in fastsgd.open_sweep(tmp_path / "study").cells}
    assert states == {"size=0.01.h5": "finished", "size=0.6.h5": "failed", "size=0.02.h5": "finished"}


DRAWS = """
from numba import njit
from fastsgd.stream import below, uniform

@njit
def endless(n, b, stream, indices):
    k = 0
    while k < b:
        if below(stream, n) < 0:
            k += 1

@njit
def seldom(n, b, stream, indices):               # without end in two batches of a million
    for i in range(b):
        indices[i] = below(stream, n)
    rare = uniform(stream) < 2e-6
    while rare:
        if indices[0] < 0:
            break
"""
OF_DRAWS = """
seed = 1
replicates = 4096
problem = {{kind = "glm", family = "linear", data = {{generate = {{samples = 50, dimension = 2, seed = 1}}}}}}
sampling = {{design = "code.py:{}", batch = 2, pilot = 1024}}
step = {{size = 0.05}}
record = {{steps = [1000]}}
"""
IMPATIENT = """
import sys
from fastsgd.problems import own_design_check as check
check._PLAIN, check._COMPILED = 0.5, 1.0
from fastsgd.cli.entry import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["endless", "seldom"])
def test_a_draw_function_without_end(tmp_path, name):
    (tmp_path / "code.py").write_text(DRAWS)
    (tmp_path / "spec.toml").write_text(OF_DRAWS.format(name))
    (tmp_path / "program.py").write_text(IMPATIENT)
    ended = subprocess.run(
        [sys.executable, "program.py", "run", "spec.toml", "-o", "run.h5"], cwd=tmp_path, text=True,
        env=os.environ | {"FASTSGD_PATIENCE": "1"}, capture_output=True, timeout=200,
    )  # fmt: skip
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error")]
    if name == "endless":
        assert ended.returncode == 2 and not (tmp_path / "run.h5").exists(), ended
        assert "got endless of code.py, which has not ended after 1 s for four batches (Python was in line " in line
    else:
        step = fastsgd.open_run(tmp_path / "run.h5").progress.wave_step
        assert ended.returncode == 1 and 0 < step < 1000, ended
        assert "seldom of code.py, at steps " in line and f"saved as of step {step} " in line

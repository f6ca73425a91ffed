"""Functions of a user's that do not end: given up after a limit, with the line, and Ctrl-C works all the while."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fastsgd.problems.patience import TooLong, patiently


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

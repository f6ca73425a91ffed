"""Two commands on one run, locks of the dead, clocks set back, and readers of every kind while a run is written."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest
import store_standin as standin
from small_runs import datasets, tables

import fastsgd
from fastsgd import store
from fastsgd.cli.entry import exit_code
from fastsgd.errors import StoppedEarly
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow


def begun(path):
    with pytest.raises(StoppedEarly):
        fastsgd.run(tables(), path, time_limit=0.0)
    return path


def test_a_second_command_is_refused_at_once_and_told_who_writes(tmp_path, capsys):
    """Whatever it is: run, extend, or run --force; readers are not."""
    spec, file = tmp_path / "long.toml", tmp_path / "long.h5"
    spec.write_text(load_spec(tables(record__steps=[10, 10**9])).to_toml())
    finished = fastsgd.run(tables(), tmp_path / "finished.h5").path
    line = [sys.executable, "-m", "fastsgd", "run", str(spec), "--threads", "1"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as writer:
        limit = time.monotonic() + 120
        while not file.exists() and time.monotonic() < limit:
            time.sleep(0.02)
        for command in (["run", str(spec)], ["run", str(spec), "--force"]):
            assert exit_code(command) == 1
            errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
            assert len(errors) == 1 and f"long.h5 is being written by process {writer.pid} on " in errors[0]
        assert exit_code(["merge", str(finished), "-o", str(file), "--force"]) == 1
        assert f"process {writer.pid}" in capsys.readouterr().err
        assert exit_code(["show", str(file)]) == exit_code(["verify", str(file)]) == 0
        writer.send_signal(signal.SIGTERM)
        assert writer.wait(60) == 75
        assert "Traceback" not in writer.stderr.read()


def test_the_lock_of_the_dead_is_taken_over_with_a_note(tmp_path, capsys):
    path = begun(tmp_path / "run.h5")
    spec = tmp_path / "run.toml"
    spec.write_text(load_spec(tables()).to_toml())
    with subprocess.Popen(["true"]) as dead:
        pass
    for command in (["run", str(spec)], ["extend", str(path), "--replicates", "200"]):
        path.with_name("run.h5.lock").write_text(json.dumps({"pid": dead.pid, "host": "here"}) + "\n")
        assert exit_code(command) == 0
        assert f"took over the lock of process {dead.pid} on here, which is gone" in capsys.readouterr().err
        assert not path.with_name("run.h5.lock").exists()


def test_a_clock_that_is_set_back_changes_nothing(tmp_path, monkeypatch):
    """Years between checkpoint and resumption, in both directions, and a limit that the clock of the day does not move."""
    wanted = datasets(fastsgd.run(tables(), tmp_path / "scratch.h5").path)
    for now in (0.0, 4e9):
        path = begun(tmp_path / f"{now}.h5")
        path.with_name(path.name + ".lock").write_text('{"pid": 1, "host": "x"}\n')
        for file in (path, path.with_name(path.name + ".lock")):
            os.utime(file, (4e9 - now, 4e9 - now))
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda at=now: at)
            patch.setattr(time, "time_ns", lambda at=now: int(at * 1e9))
            fastsgd.run(tables(), path, time_limit=1000.0)
        assert datasets(path) == wanted


@pytest.mark.parametrize("reader", ["ncdump", "h5dump", "h5py"])
def test_other_programs_may_read_while_a_run_is_written(tmp_path, reader):
    if reader != "h5py" and shutil.which(reader) is None:
        pytest.skip(f"{reader} is not installed")
    path = tmp_path / "run.h5"
    writer = standin.create(path, 40)
    with writer:
        standin.advance(writer, commits_inside=True, stop_after=7)
        if reader == "h5py":
            with h5py.File(path, "r") as held:  # with its own lock, as a user opens it
                np.testing.assert_array_equal(held["risk"][:8], standin.values(1, 0, 8)["risk"][0])
                assert standin.advance(writer, commits_inside=True)
        else:
            show = ["-v", "risk"] if reader == "ncdump" else ["-d", "risk"]
            done = subprocess.run([reader, *show, path], capture_output=True, text=True, check=False)
            assert done.returncode == 0 and f"{standin.values(1, 0, 1)['risk'][0, 0, 0]:.4f}"[:5] in done.stdout
            assert standin.advance(writer, commits_inside=True)
    with standin.create(tmp_path / "alone.h5", 40) as alone:
        standin.advance(alone)
    assert datasets(path) == datasets(tmp_path / "alone.h5")


def test_readers_see_a_commit_whole_and_never_an_older_one(tmp_path):
    path, seen, failures = tmp_path / "run.h5", [], []
    over = threading.Event()

    def read():
        while not over.is_set():
            try:
                run = store.open_run(path)
                count, mean, _ = run.moments()
                seen.append((run.finished, run.progress.replicates_done, run.progress.recorded))
                np.testing.assert_array_equal(run.risk(), standin.values(1, 0, len(run.risk()))["risk"][0])
                for s in range(4):
                    if count[s]:
                        there = standin.values(1, 0, int(count[s]))["trajectory"][0, :, s]
                        np.testing.assert_allclose(mean[s], there.mean(axis=0), rtol=1e-9)
            except Exception as error:
                failures.append(error)
                return

    with standin.create(path, 80) as writer:
        thread = threading.Thread(target=read)
        thread.start()
        while not standin.advance(writer, commits_inside=True, stop_after=1):
            time.sleep(0.003)
        while not (seen and seen[-1][0]) and not failures and thread.is_alive():
            time.sleep(0.003)
        over.set()
        thread.join()
    assert not failures, failures
    assert seen == sorted(seen) and len(set(seen)) > 5

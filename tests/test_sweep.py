"""Sweeps end to end: cells are ordinary runs, finished ones are skipped, broken ones reported, stops lose nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import results, tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.store.index import read_index

pytestmark = pytest.mark.slow

VARY = {"step.size": [0.1, 0.9], "sampling.batch": [1, 4]}
LONG = tables(replicates=2048, record__steps=[100, 60_000])


def numbers(path):
    """Results of a run file as bytes, without its origin."""
    return {name: data for name, data in results(path).items() if "provenance" not in name}


def states(folder):
    return {cell.file: cell.state for cell in read_index(folder).cells}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of four cells, two of which are unstable; its folder, the error and the statuses."""
    folder = tmp_path_factory.mktemp("a folder") / "study"
    seen = []
    with pytest.raises(RunError) as caught:
        fastsgd.sweep(tables(), folder, vary=VARY, threads=2, progress=seen.append)
    return folder, str(caught.value), seen


def test_cells_are_ordinary_runs_and_broken_ones_are_reported(swept, tmp_path):
    folder, error, seen = swept
    assert states(folder) == {
        "size=0.1,batch=1.h5": "finished",
        "size=0.1,batch=4.h5": "finished",
        "size=0.9,batch=1.h5": "failed",
        "size=0.9,batch=4.h5": "failed",
    }
    assert error.startswith("2 of 4 cells failed")
    assert "size=0.9,batch=4.h5: step.size must be below" in error
    alone = fastsgd.run(tables(sampling__batch=1), tmp_path / "alone.h5")
    assert numbers(folder / "size=0.1,batch=1.h5") == numbers(alone.path)
    assert (seen[-1].finished, seen[-1].failed, seen[-1].cells) == (2, 2, 4)
    done = [status.done for status in seen]
    assert done == sorted(done)


def test_cells_share_their_random_numbers_unless_they_are_independent(swept, tmp_path):
    """From the optimum, a batch of 4 makes the very path of a batch of 1 at half the size."""
    one, four = (fastsgd.open_run(swept[0] / f"size=0.1,batch={b}.h5").risk("main") for b in (1, 4))
    np.testing.assert_allclose(one, 4 * four, rtol=1e-9)
    folder = fastsgd.sweep(tables(), tmp_path / "own", vary={"sampling.batch": [1, 4]}, independent=True)
    one, four = (fastsgd.open_run(folder / f"batch={b}.h5").risk("main") for b in (1, 4))
    assert not np.allclose(one, 4 * four, rtol=1e-2)
    assert read_index(folder).independent


def test_finished_cells_are_left_alone_and_new_values_join(swept, tmp_path):
    folder = tmp_path / "grown"
    fastsgd.sweep(tables(), folder, vary={"sampling.batch": [4]})
    before = (folder / "batch=4.h5").stat()
    notes = []
    fastsgd.sweep(tables(), folder, vary=["sampling.batch=2,4"], note=notes.append)
    assert "1 of 2 cells are finished already" in notes
    assert (folder / "batch=4.h5").stat().st_mtime_ns == before.st_mtime_ns
    assert states(folder) == {"batch=2.h5": "finished", "batch=4.h5": "finished"}
    (folder / "batch=2.h5").unlink()
    fastsgd.sweep(tables(), folder, vary={"sampling.batch": [4, 2]})
    assert (folder / "batch=2.h5").exists()


def test_a_folder_of_another_sweep_is_refused_and_stays(swept):
    folder = swept[0]
    before = (folder / "sweep.json").read_bytes()
    with pytest.raises(InputError, match="another spec"):
        fastsgd.sweep(tables(seed=6), folder, vary=VARY)
    with pytest.raises(InputError, match=r"a sweep over step\.size, sampling\.batch, not step\.size"):
        fastsgd.sweep(tables(), folder, vary={"step.size": [0.1]})
    assert (folder / "sweep.json").read_bytes() == before


def test_nothing_starts_when_no_cell_is_valid(tmp_path):
    with pytest.raises(InputError, match=r"step\.size must be > 0"):
        fastsgd.sweep(tables(), tmp_path / "none", vary={"step.size": [-1.0, -2.0]})
    assert not (tmp_path / "none").exists()


def test_shards_share_a_folder(tmp_path):
    spec, folder = tables(sweep={"sampling.batch": [1, 2, 4]}), tmp_path / "parts"
    fastsgd.sweep(spec, folder, shard="1/2")
    assert list(states(folder).values()) == ["finished", "waiting", "finished"]
    fastsgd.sweep(spec, folder, shard="2/2")
    assert set(states(folder).values()) == {"finished"}
    with pytest.raises(InputError, match="3 cells"):
        fastsgd.sweep(spec, folder, shard="1/4")


def test_stopped_in_the_middle_it_goes_on_to_the_same_bytes(tmp_path):
    vary, folder = {"sampling.batch": [1, 4]}, tmp_path / "cut"

    def terminate(status):
        if status.done > 0:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(StoppedEarly, match="terminated with 0 of 2 cells finished"):
        fastsgd.sweep(LONG, folder, vary=vary, threads=2, progress=terminate)
    found = states(folder)
    assert "stopped" in found.values() and set(found.values()) <= {"waiting", "stopped"}  # a worker may have begun late
    (cell, *_) = (name for name, state in found.items() if state == "stopped")
    begun = fastsgd.open_run(folder / cell)
    assert 0 < begun.progress.wave_step < 60_000
    fastsgd.sweep(LONG, folder, vary=vary, threads=1)
    batch = int(cell.removeprefix("batch=").removesuffix(".h5"))
    whole = fastsgd.run(LONG | {"sampling": {"batch": batch}}, tmp_path / "whole.h5")
    assert numbers(folder / cell) == numbers(whole.path)


def test_time_limit(tmp_path):
    with pytest.raises(StoppedEarly, match="time limit reached with 0 of 2 cells finished"):
        fastsgd.sweep(tables(), tmp_path / "cut", vary={"sampling.batch": [1, 4]}, time_limit=1e-3)
    # A worker may have begun a cell by then or not.
    assert set(states(tmp_path / "cut").values()) <= {"waiting", "stopped"}
    fastsgd.sweep(tables(), tmp_path / "cut", vary={"sampling.batch": [1, 4]})
    assert set(states(tmp_path / "cut").values()) == {"finished"}


def children():
    return [int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds worker processes in /proc")
def test_a_killed_worker_is_replaced(tmp_path):
    killed, notes, before = [], [], set(children())

    def kill_once(status):
        if not killed and status.done > 0:
            killed.append((set(children()) - before).pop())
            os.kill(killed[0], signal.SIGKILL)

    folder = fastsgd.sweep(
        LONG, tmp_path / "killed", vary={"sampling.batch": [1, 4]}, threads=2, progress=kill_once, note=notes.append
    )
    assert killed
    assert any("its process died (signal 9)" in text for text in notes)
    assert set(states(folder).values()) == {"finished"}
    assert set(children()) <= before


def write_spec(path, spec):
    path.write_text(fastsgd.load_spec(spec).to_toml())
    return path


def test_ctrl_c_ends_with_75_and_leaves_no_process(tmp_path):
    spec = write_spec(tmp_path / "long.toml", LONG | {"replicates": 200_000})
    command = [sys.executable, "-m", "fastsgd", "sweep", str(spec), "--vary", "sampling.batch=1,4", "--threads", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        lines = [process.stderr.readline(), process.stderr.readline()]
        os.killpg(process.pid, signal.SIGINT)
        lines += process.stderr.readlines()
        assert process.wait(30) == 75, lines
    assert "interrupted with 0 of 2 cells finished" in lines[-1]
    assert not any("Traceback" in line for line in lines)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_command_line_with_one_table_of_ratios(tmp_path, capsys):
    spec = write_spec(tmp_path / "small.toml", tables())
    arguments = ["sweep", str(spec), "--vary", "step.size=0.1,0.9", "--vary", "sampling.batch=1,4"]
    assert exit_code([*arguments, "--json"]) == 1
    captured = capsys.readouterr()
    assert "error: 2 of 4 cells failed" in captured.err
    assert exit_code([*arguments, "--json", "--allow-unstable", "--force", "--set", "replicates=64"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["counts"] == {"waiting": 0, "stopped": 0, "finished": 4, "failed": 0}
    assert described["keys"] == ["step.size", "sampling.batch"]
    folder = tmp_path / "small"
    index = json.loads((folder / "sweep.json").read_text())
    for cell in index["cells"]:
        if cell["values"]["step.size"] == 0.9:
            (folder / cell["file"]).unlink()
    assert exit_code(["sweep", str(spec), "--vary", "step.size=0.1,0.9", "--vary", "sampling.batch=1,4",
                      "--set", "replicates=64"]) == 1  # fmt: skip
    capsys.readouterr()
    assert exit_code(["ratio", str(folder)]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()[:3]] == [
        "cell",
        "size=0.1,batch=1",
        "size=0.1,batch=4",
    ]
    assert "verdict: 2 of 2 cells consistent" in captured.out
    assert "2 of 4 cells are not finished and left out" in captured.err
    assert exit_code(["ratio", str(folder), "--assume", "step.size=0.3"]) == 3
    capsys.readouterr()
    assert exit_code(["ratio", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2
    assert exit_code(["sweep", str(spec)]) == 2
    assert "nothing is swept" in capsys.readouterr().err


def test_a_broken_value_is_one_broken_cell(tmp_path):
    spec = tables(sweep={"step.size": [0.1, -0.1]})
    with pytest.raises(RunError, match=r"size=-0\.1\.h5: step\.size must be > 0, got -0\.1"):
        fastsgd.sweep(spec, tmp_path / "one")
    assert states(tmp_path / "one") == {"size=0.1.h5": "finished", "size=-0.1.h5": "failed"}
    with pytest.raises(InputError, match=r"step\.siez"):
        fastsgd.sweep(tables(sweep={"step.siez": [0.1, 0.2]}), tmp_path / "none")
    with pytest.raises(InputError, match=r"sweep\.independent must be true or false, got 3; give true or false"):
        fastsgd.sweep(tables(sweep={"step.size": [0.1], "independent": 3}), tmp_path / "none")


def test_shards_without_a_common_seed_are_refused(tmp_path):
    spec = {key: value for key, value in tables().items() if key != "seed"}
    for act in (
        lambda: fastsgd.run(spec, tmp_path / "run.h5", shard="1/2"),
        lambda: fastsgd.sweep(spec, tmp_path / "sweep", vary={"sampling.batch": [1, 4]}, shard="1/2"),
    ):
        with pytest.raises(InputError, match="shards need one seed"):
            act()
    assert not list(tmp_path.iterdir())

"""An extended run is the longer run from scratch, byte for byte; what cannot be extended is refused and left alone."""

import os
import signal
import subprocess
import sys
import time

import kinds
import pytest
import store_standin as standin
from small_runs import datasets, tables

import fastsgd
from fastsgd import engine, extending, merging, store
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.store.verify import verify

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """By default: the runs are small, and threads would wait for each other longer than they work."""
    monkeypatch.setenv("FASTSGD_THREADS", "1")


CASES = [(kind, "replicates" if kind == "average" else "both") for kind in kinds.NAMES]


@pytest.mark.parametrize(("kind", "more"), [*CASES, ("arms", "replicates")])
def test_extended_is_the_longer_run(tmp_path, monkeypatch, kind, more):
    """150 replicates to 300 in waves of 128, so that one ends within a wave; three later steps."""
    monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 128)
    spec = kinds.spec(kind, tmp_path)
    longer = spec | {"replicates": 300}
    given = {"replicates": 300}
    if more == "both":
        given["steps"] = [41, 90, 100]
        longer = longer | {"record": spec["record"] | {"steps": [*spec["record"]["steps"], 41, 90, 100]}}
    if kind in kinds.WITH_CODE:
        given["code"] = tmp_path / "code.py"
    run = fastsgd.run(spec, tmp_path / "run.h5", threads=2)
    longer = fastsgd.run(longer, tmp_path / "scratch.h5", threads=1)
    found = extending.extend(run.path, **given, threads=1)
    assert datasets(found.path) == datasets(longer.path)
    assert verify(found.path) == [] and found.sealed
    assert not list(tmp_path.glob("*extending*")) and not list(tmp_path.glob("*.lock"))


def test_what_cannot_be_extended_is_left_alone(tmp_path, monkeypatch):
    run = fastsgd.run(tables(), tmp_path / "run.h5").path
    shard = fastsgd.run(tables(), tmp_path / "shard.h5", shard="2/2").path
    average = fastsgd.run(kinds.spec("average", tmp_path), tmp_path / "average.h5").path
    own = fastsgd.run(kinds.spec("own pool", tmp_path), tmp_path / "own.h5").path
    half = tmp_path / "half.h5"
    with pytest.raises(StoppedEarly):
        fastsgd.run(tables(), half, time_limit=0.0)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.h5")}
    for path, given, said in [
        (run, {}, r"give --replicates, --steps or both"),
        (run, {"replicates": 149}, r"replicates must be >= 150, .* got 149; it only grows"),
        (run, {"steps": 20}, r"steps must be after the end of .* at step 40, got 20"),
        (run, {"steps": 2**62}, r"record.steps"),
        (run, {"replicates": 200, "code": own}, r"needs no --code"),
        (shard, {"replicates": 300}, r"is a shard, one of the parts of 150 replicates; merge them"),
        (half, {"replicates": 300}, r"is not finished; finish it with `fastsgd run`"),
        (average, {"steps": 80}, r"has time averages \(record.average\) over all of its steps"),
        (own, {"replicates": 300}, r"name it with --code \(`fastsgd show .*own.h5 --code FOLDER` writes it"),
        (tmp_path / "gone.h5", {"replicates": 300}, r"No such file"),
    ]:
        with pytest.raises(InputError, match=said):
            extending.extend(path, **given)
    notes = []
    extending.extend(run, replicates=150, steps=40, note=notes.append)
    assert "nothing to do" in notes[0]
    monkeypatch.setattr("fastsgd.kernels.STREAM_VERSION", 99)
    with pytest.raises(
        InputError, match=r"random numbers of version \d+, this fastsgd makes 99; go on with the software"
    ):
        extending.extend(run, replicates=300)
    with pytest.raises(InputError, match=r"this fastsgd makes 99"):
        fastsgd.run(tables(), half)
    monkeypatch.undo()
    monkeypatch.setattr(engine, "stored", lambda problem: {"hessian": problem.hessian + 1e-15})
    with pytest.raises(InputError, match=r"has hessian of main with other digits than found here"):
        extending.extend(run, replicates=300)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.h5")} == before
    assert not list(tmp_path.glob("*.lock"))


def test_a_shard_takes_more_steps(tmp_path):
    longer = tables(record__steps=[0, 3, 10, 40, 60])
    parts = [fastsgd.run(tables(), tmp_path / f"{i}.h5", shard=(i, 2)).path for i in (1, 2)]
    for part in parts:
        extending.extend(part, steps=60)
    merged = fastsgd.merge(parts, tmp_path / "merged.h5")
    assert datasets(merged.path) == datasets(fastsgd.run(longer, tmp_path / "scratch.h5").path)


def test_diverged_replicates_go_on_diverged(tmp_path):
    """One replicate after the other leaves the range of the numbers, before and after the first end."""
    wild = tables(step__size=0.5, problem__hessian={"eigenvalues": [0.5, 1.0, 40.0]}, record__steps=[60, 115])
    path = fastsgd.run(wild, tmp_path / "run.h5", allow_unstable=True).path
    first = fastsgd.open_run(path).diverged_at()
    longer = extending.extend(path, steps=[125, 240])
    scratch = fastsgd.run(wild | {"record": {"steps": [60, 115, 125, 240]}}, tmp_path / "s.h5", allow_unstable=True)
    assert datasets(path) == datasets(scratch.path)
    assert (longer.diverged_at() > 0).all() and not (first > 0).all()


def test_interrupts_and_limits_go_on_with_the_same_command(tmp_path, capsys):
    path = fastsgd.run(tables(), tmp_path / "run.h5").path
    before = path.read_bytes()
    line = ["extend", str(path), "--replicates", "300", "--steps", "44,48"]
    stops = 0
    while (code := exit_code([*line, "--time-limit", "0.000001"])) == 75:
        stops += 1
        assert "run.extending.h5 is saved and goes on when the same command is given again" in capsys.readouterr().err
        assert fastsgd.open_run(path).finished and (stops > 1 or path.read_bytes() == before)
        if stops == 1:
            with pytest.raises(InputError, match=r"is another extension, .*\n.*replicates|\n.*record.steps: "):
                extending.extend(path, steps=70)
    assert code == 0 and stops >= 3
    wanted = fastsgd.run(tables(replicates=300, record__steps=[0, 3, 10, 40, 44, 48]), tmp_path / "scratch.h5")
    assert datasets(path) == datasets(wanted.path)
    with pytest.raises(StoppedEarly):
        extending.extend(path, replicates=400, time_limit=0.0)
    extending.extend(path, replicates=350, force=True)
    assert fastsgd.open_run(path).replicates == 350 and not list(tmp_path.glob("*extending*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_old_rows_are_copied(tmp_path, monkeypatch, number):
    path = fastsgd.run(tables(), tmp_path / "run.h5").path
    before, copy = path.read_bytes(), extending._copy

    def late(*given):
        os.kill(os.getpid(), number)
        copy(*given)

    monkeypatch.setattr(extending, "_copy", late)
    with pytest.raises(StoppedEarly, match="is as it was, give the command again"):
        extending.extend(path, replicates=300)
    assert path.read_bytes() == before and fastsgd.open_run(tmp_path / "run.extending.h5").progress == store.Progress()
    monkeypatch.undo()
    extending.extend(path, replicates=300)
    assert datasets(path) == datasets(fastsgd.run(tables(replicates=300), tmp_path / "scratch.h5").path)


def test_one_writer(tmp_path):
    path = fastsgd.run(tables(), tmp_path / "run.h5").path
    with store.open_writer(path), pytest.raises(RunError, match=rf"being written by this process \({os.getpid()}\)"):
        extending.extend(path, replicates=300)
    assert fastsgd.open_run(path).replicates == 150


def test_a_writer_restores_what_it_has_committed(tmp_path):
    with standin.create(tmp_path / "run.h5") as writer:
        assert writer.restore().progress == store.Progress()
        standin.advance(writer, commits_inside=True, stop_after=2)
        found = writer.restore()
        assert found.progress == writer.progress != store.Progress()
        assert found.state is not None and len(found.nodes) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_command(tmp_path, number):
    path = fastsgd.run(tables(), tmp_path / "run.h5").path
    before = path.read_bytes()
    line = [sys.executable, "-m", "fastsgd", "extend", str(path), "--steps", "1000000000", "--threads", "1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 120
        while not (tmp_path / "run.extending.h5").exists() and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75 and out == "" and "Traceback" not in err, err
    assert "run.extending.h5 is saved and goes on" in err
    assert path.read_bytes() == before and fastsgd.open_run(tmp_path / "run.extending.h5").progress.wave_step > 40
    assert exit_code([*line[3:], "--time-limit", "0.1"]) == 75


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_merge(tmp_path, monkeypatch, capsys, number):
    parts = [str(fastsgd.run(tables(), tmp_path / f"{i}.h5", shard=(i, 2)).path) for i in (1, 2)]
    before = sorted(tmp_path.iterdir())
    pieces = merging._pieces
    monkeypatch.setattr(merging, "_pieces", lambda *given: (os.kill(os.getpid(), number), pieces(*given))[1])
    assert exit_code(["merge", *parts, "-o", str(tmp_path / "merged.h5")]) == 75
    assert "nothing was made, give the command again" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before

"""Disks that are really full or read-only: small file systems in memory, where this user may mount them."""

import shutil
import subprocess

import pytest
from small_runs import datasets, tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import StoppedEarly
from fastsgd.spec import load_spec
from fastsgd.store import creation

pytestmark = pytest.mark.slow

SPEC = tables(replicates=300, record__trajectories=40)


@pytest.fixture
def disk(tmp_path):
    """A file system of 1.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def lying(monkeypatch):
    """Free space as it was a moment ago, so that the check before the start passes."""
    monkeypatch.setattr(creation.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**12}))


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(load_spec(SPEC).to_toml())
    return path


def fill(folder):
    with pytest.raises(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1000))


def one_line(capsys, *said):
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and all(text in errors[0] for text in said), errors


def test_what_does_not_fit_is_refused_with_its_size(disk, spec, capsys):
    fill(disk)
    assert exit_code(["run", str(spec), "-o", str(disk / "a.h5")]) == 2
    one_line(capsys, "a.h5 needs", "0 bytes are free")
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_disk_that_fills_while_a_run_is_created(disk, spec, lying, capsys):
    fill(disk)
    assert exit_code(["run", str(spec), "-o", str(disk / "a.h5")]) == 1
    one_line(capsys, "cannot write", "a.h5: No space left on device")
    assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_run_that_has_begun_ends_on_a_full_disk(disk, spec, tmp_path):
    """All of its space was taken when it was created."""
    with pytest.raises(StoppedEarly):
        fastsgd.run(SPEC, disk / "a.h5", time_limit=0.0)
    fill(disk)
    assert exit_code(["run", str(spec), "-o", str(disk / "a.h5")]) == 0
    assert datasets(disk / "a.h5") == datasets(fastsgd.run(SPEC, tmp_path / "scratch.h5").path)


@pytest.mark.parametrize("command", ["merge", "extend"])
def test_merge_and_extend_leave_a_full_disk_as_it_was(disk, tmp_path, lying, capsys, command):
    if command == "merge":
        for i in (1, 2):
            fastsgd.run(SPEC, disk / f"{i}.h5", shard=(i, 2))
        line = ["merge", str(disk / "1.h5"), str(disk / "2.h5"), "-o", str(disk / "a.h5")]
    else:
        fastsgd.run(SPEC | {"replicates": 200}, disk / "a.h5")
        line = ["extend", str(disk / "a.h5"), "--replicates", "300"]
    fill(disk)
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    assert exit_code(line) == 1
    one_line(capsys, "No space left on device")
    assert {path.name: path.read_bytes() for path in disk.iterdir()} == before
    (disk / "filler").unlink()
    assert exit_code(line) == 0
    assert datasets(disk / "a.h5") == datasets(fastsgd.run(SPEC, tmp_path / "scratch.h5").path)


def test_a_read_only_folder(disk, spec, tmp_path, capsys):
    whole = fastsgd.run(SPEC, disk / "whole.h5").path
    with pytest.raises(StoppedEarly):
        fastsgd.run(SPEC, disk / "half.h5", time_limit=0.0)
    shard = fastsgd.run(SPEC, tmp_path / "1.h5", shard=(1, 2)).path
    other = fastsgd.run(SPEC, tmp_path / "2.h5", shard=(2, 2)).path
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    before = sorted(disk.iterdir())
    for line in (["show"], ["verify"], ["replay", "--replicate", "7"], ["diff", str(whole)]):
        assert exit_code([*line, str(whole)]) == 0
    assert exit_code(["run", str(spec), "-o", str(whole)]) == 0
    assert "nothing to do" in capsys.readouterr().err
    for line in (
        ["run", str(spec), "-o", str(disk / "half.h5")],
        ["run", str(spec), "-o", str(disk / "new.h5")],
        ["merge", str(shard), str(other), "-o", str(disk / "merged.h5")],
        ["extend", str(whole), "--replicates", "400"],
    ):
        assert exit_code(line) == 1, line
        one_line(capsys, "Read-only file system", str(disk))
    assert sorted(disk.iterdir()) == before
    shutil.copy(whole, tmp_path / "copy.h5")
    assert exit_code(["extend", str(tmp_path / "copy.h5"), "--replicates", "400"]) == 0

"""Damage is told in one line or does no harm; files of others are refused."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import store_standin as standin

from fastsgd import store
from fastsgd.errors import FastsgdError, InputError, RunError
from fastsgd.store import creation
from fastsgd.store.opened import opened, structure, text
from fastsgd.store.raw import RawFile
from fastsgd.store.record import FINAL_SEQUENCE, Record, Slot
from fastsgd.store.static import static_sum


def places(path):
    with opened(path) as file:
        return structure(path, file).extents


def flip(path, offset, bit=0):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


@pytest.fixture
def unfinished(tmp_path):
    """A run after its fifth commit, in the middle of the second wave."""
    path = tmp_path / "run.h5"
    with standin.create(path, 20, ("a", "b")) as writer:
        standin.advance(writer, commits_inside=True, stop_after=4)
        earlier = writer.progress
        standin.advance(writer, commits_inside=True, stop_after=1)
        assert writer.progress != earlier
        return path, earlier, writer.progress


def test_record_survives_no_flipped_bit():
    record = Record(5, store.Progress(8, 4, 1), 77, {"state": Slot(1, (2, 3), 9)}, (), {"mean": 3}, {"a": 1})
    data = bytearray(record.encode(4096))
    assert Record.decode(data) == record
    for i in range(24 + data.rindex(b"}") + 1 - 24):
        for bit in range(8):
            data[i] ^= 1 << bit
            assert Record.decode(data) is None
            data[i] ^= 1 << bit
    assert Record.decode(data[:10]) is None and Record.decode(data[:50]) is None and Record.decode(b"") is None
    with pytest.raises(RunError, match="room for 64"):
        record.encode(64)


@pytest.mark.parametrize("place", [0, 8, 17, 20, 24, 100])
def test_torn_record_falls_back_to_the_earlier_commit(unfinished, place):
    path, earlier, last = unfinished
    assert store.open_run(path).progress == last
    rows = places(path)["checkpoint/records"]
    found = [Record.decode(path.read_bytes()[rows.at(i).offset : rows.at(i).end]) for i in (0, 1)]
    newest = max((0, 1), key=lambda i: found[i].sequence)
    flip(path, rows.at(newest).offset + place, 3)
    assert store.open_run(path).progress == earlier
    with store.open_writer(path) as writer:
        assert writer.progress == earlier
        assert standin.advance(writer, commits_inside=True)
    assert store.open_run(path).sealed
    other = path.with_name("straight.h5")
    with standin.create(other, 20, ("a", "b")) as writer:
        standin.advance(writer)
    with h5py.File(path) as a, h5py.File(other) as b:
        assert a["checkpoint/records"][...].tobytes() == b["checkpoint/records"][...].tobytes()


def test_both_records_gone(unfinished):
    path, *_ = unfinished
    rows = places(path)["checkpoint/records"]
    for row in (0, 1):
        flip(path, rows.at(row).offset + 30)
    for act in (store.open_run, store.open_writer):
        with pytest.raises(InputError, match="no valid commit record"):
            act(path)


@pytest.mark.parametrize("name", ["state", "node_count", "node_mean", "node_m2"])
def test_damaged_state_falls_back_or_is_told(unfinished, name):
    path, earlier, last = unfinished
    extents = places(path)
    rows = extents["checkpoint/records"]
    found = [Record.decode(path.read_bytes()[rows.at(i).offset : rows.at(i).end]) for i in (0, 1)]
    old, new = sorted(found, key=lambda record: record.sequence)
    assert (old.progress, new.progress) == (earlier, last)
    place = extents[f"checkpoint/{name}"]
    position = new.arrays["state"].slot if name == "state" else new.nodes[-1].position
    assert position not in ([old.arrays["state"].slot] if name == "state" else [p.position for p in old.nodes])
    flip(path, place.at(position).offset + 9)
    with store.open_writer(path) as writer:
        assert writer.progress == earlier
    position = old.arrays["state"].slot if name == "state" else old.nodes[0].position
    flip(path, place.at(position).offset + 9)
    with pytest.raises(RunError, match="damaged: checksum of"):
        store.open_writer(path)
    assert not path.with_name("run.h5.lock").exists()


@pytest.mark.parametrize("name", ["risk", "final", "diverged_at", "trajectory", "mean", "covariance", "count"])
def test_damaged_data_is_not_handed_out(tmp_path, name):
    path = tmp_path / "run.h5"
    with standin.create(path, 20, ("a", "b")) as writer:
        standin.advance(writer)
    run = store.open_run(path)
    read = run.result if name in ("mean", "covariance", "count") else run.rows
    read(name, "b")
    place = places(path)[name]
    flip(path, place.end - 3)
    with pytest.raises(RunError, match=f"damaged: checksum of {name} differs"):
        read(name, "b")


def test_finished_run_heals_a_damaged_record(tmp_path):
    path = tmp_path / "run.h5"
    with standin.create(path) as writer:
        standin.advance(writer)
    rows = places(path)["checkpoint/records"]
    before = path.read_bytes()
    assert Record.decode(before[rows.offset :]).sequence == FINAL_SEQUENCE
    for row in (0, 1):
        flip(path, rows.at(row).offset + 40)
        run = store.open_run(path)
        assert run.finished and not run.sealed
        with store.open_writer(path) as writer:
            assert writer.progress.complete
        assert path.read_bytes() == before


def test_files_of_others(tmp_path):
    texts = {
        "empty.h5": b"",
        "text.h5": b"hello\n" * 50,
        "zeros.h5": bytes(10_000),
        "magic.h5": b"\x89HDF\r\n\x1a\n" * 9,
    }
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = np.ones(3)
    for name in [*texts, "foreign.h5", "missing.h5", "."]:
        for act in (store.open_run, store.open_writer):
            with pytest.raises(InputError) as caught:
                act(tmp_path / name)
            assert len(caught.value.lines) == 1 and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="HDF5 but not a run of fastsgd"):
        store.open_run(tmp_path / "foreign.h5")


def test_unknown_version_is_refused_showing_both(tmp_path):
    path = tmp_path / "run.h5"
    standin.create(path).close()
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 7
    for act in (store.open_run, store.open_writer):
        with pytest.raises(InputError, match=r"format version 7, this fastsgd reads 1"):
            act(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.95, 0.9999])
def test_truncated(tmp_path, share):
    path = tmp_path / "run.h5"
    with standin.create(path) as writer:
        standin.advance(writer)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    for act in (store.open_run, store.open_writer):
        with pytest.raises(InputError) as caught:
            act(path)
        assert "\n" not in str(caught.value)


READ_ALL = """
import random, sys
from pathlib import Path
from fastsgd import store
from fastsgd.errors import FastsgdError
path, whole, rng = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), random.Random(int(sys.argv[3]))
for _ in range(120):
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 40])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
        run = store.open_run(path)
        run.provenance, run.document, run.arrays()
        for arm in run.arms:
            run.risk(arm), run.final(arm), run.moments(arm), run.problem(arm), run.trajectories(arm)
    except FastsgdError as error:
        assert "\\n" not in str(error)
print("read")
"""


def test_random_flips_never_crash_a_reader(unfinished):
    path, *_ = unfinished
    copy = path.with_name("copy.h5")
    command = [sys.executable, "-W", "error", "-c", READ_ALL, copy, path, "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")


def test_structure_checksum_sees_any_flip_of_what_is_static_and_no_provenance(tmp_path):
    path, other = tmp_path / "run.h5", tmp_path / "other.h5"
    standin.create(path).close()
    standin.create(other, provenance={"software": {"name": "test"}, "command": ["another", "one"]}).close()
    wanted = store.open_run(path)._record.structure
    assert wanted == store.open_run(other)._record.structure
    standin.create(other, 21, force=True).close()
    assert wanted != store.open_run(other)._record.structure
    with opened(path) as file:
        made = structure(path, file)
        texts = {name: text(file, name) for name in ("spec", "checkpoint/layout")}
    static = {name: made.extents[name] for name, kind in made.kinds.items() if kind == "static"}
    assert {"hessian", "step", "pool_features", "step_size"} <= static.keys()

    def checksum(attrs=made.attrs, texts=texts):
        file = RawFile(path)
        try:
            return static_sum(file, attrs, texts, static)
        finally:
            file.close()

    assert checksum() == wanted
    assert checksum(attrs={**made.attrs, "identity": "0"}) != wanted
    assert checksum(texts={**texts, "spec": texts["spec"] + " "}) != wanted
    for name, place in static.items():
        for offset in (place.offset, place.end - 1):
            flip(path, offset)
            assert checksum() != wanted, name
            flip(path, offset)
    flip(path, made.extents["risk"].offset)
    assert checksum() == wanted


def test_too_little_space_refuses_before_anything_is_made(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 3_000_000})
    monkeypatch.setattr(creation.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"needs [\d.]+ MB, 3 MB are free in .*; take fewer") as caught:
        standin.create(tmp_path / "run.h5", 100_000)
    with pytest.raises(InputError, match=r"needs [\d.]+ TB"):
        standin.create(tmp_path / "run.h5", 2**40)
    assert caught.value.exit_code == 2 and not list(tmp_path.iterdir())


def test_place_and_force(tmp_path):
    path = tmp_path / "run.h5"
    with pytest.raises(InputError, match="does not exist"):
        standin.create(tmp_path / "no" / "run.h5")
    with pytest.raises(InputError, match="is a folder"):
        standin.create(tmp_path)
    with standin.create(path) as writer:
        standin.advance(writer)
    held = store.open_run(path)
    before = path.read_bytes()
    with pytest.raises(FastsgdError, match="exists already"):
        standin.create(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    (tmp_path / ".run.h5.99.partial").write_bytes(b"left by a dead process")
    standin.create(path, 30, force=True).close()
    assert store.open_run(path).replicates == 30 and [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    with pytest.raises(RunError, match="replaced by another run"):
        held.risk()

"""One writer at a time, readers in nobody's way."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import store_standin as standin
import xarray

from fastsgd import store
from fastsgd.errors import RunError

HOLD = """
import sys
from fastsgd import store
writer = store.open_writer(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_second_writer_is_refused_and_told_who_holds(tmp_path):
    path = tmp_path / "run.h5"
    with standin.create(path):
        with pytest.raises(RunError, match=rf"being written by this process \({os.getpid()}\)"):
            store.open_writer(path)
        with pytest.raises(RunError, match="being written by"):
            standin.create(path, force=True)
    assert not path.with_name("run.h5.lock").exists()
    with store.open_writer(path) as writer:
        assert writer.note is None


def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path):
    path = tmp_path / "run.h5"
    standin.create(path).close()
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        for _ in range(2):
            with pytest.raises(RunError, match=f"process {holder.pid} on {socket.gethostname()}"):
                store.open_writer(path)
        assert store.open_run(path).progress == store.Progress()
        holder.kill()
    with store.open_writer(path) as writer:
        assert f"process {holder.pid} on" in writer.note and "gone" in writer.note
        assert standin.advance(writer)


def test_no_lock_file_beside_what_is_no_run(tmp_path):
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(Exception, match="not a readable run file"):
        store.open_writer(tmp_path / "text.h5")
    assert os.listdir(tmp_path) == ["text.h5"]  # noqa: PTH208


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_readers_that_hold_the_file_do_not_stop_a_writer(tmp_path, engine):
    path = tmp_path / "run.h5"
    writer = standin.create(path)
    with xarray.open_dataset(path, engine=engine) as held, writer:
        assert held["risk"].isnull().all()
        standin.advance(writer, stop_after=1)
        run = store.open_run(path)
        assert run.progress.replicates_done == 8
        np.testing.assert_array_equal(run.risk(), standin.values(1, 0, 8)["risk"][0])
        writer.close()
        with store.open_writer(path) as again:
            assert standin.advance(again)
    assert run.progress.replicates_done == 8 and store.open_run(path).finished


def test_reader_that_lags_behind_the_writer(tmp_path):
    """A run opened before later commits has replaced its nodes shows the moments of a newer commit, never a mixture."""
    path = tmp_path / "run.h5"
    with standin.create(path, 32) as writer:
        standin.advance(writer, commits_inside=True, stop_after=3)
        run = store.open_run(path)
        with store_advance(writer):
            pass
        count, mean, _ = run.moments()
        for s in range(4):
            if count[s]:
                path_s = standin.values(1, 0, count[s])["trajectory"][0, :, s]
                np.testing.assert_allclose(mean[s], path_s.mean(axis=0), rtol=1e-12)
        assert count.max() > 8


class store_advance:
    def __init__(self, writer):
        standin.advance(writer, commits_inside=True, stop_after=6)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

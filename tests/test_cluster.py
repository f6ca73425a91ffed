"""Runs and sweeps on a Dask cluster of real processes: the bytes of one machine, also when a worker is killed."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from small_runs import results, tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.store.index import read_index

distributed = pytest.importorskip("distributed")
cluster = pytest.importorskip("fastsgd.cluster")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LARGE = tables(replicates=2000, record__steps=[100, 40_000], record__trajectories=70)


def numbers(path):
    return {name: data for name, data in results(path).items() if "provenance" not in name}


def start(*command):
    return subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.fixture(scope="module")
def address():
    """A scheduler with two workers, each its own process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = f"tcp://127.0.0.1:{port}"
    quiet = ("--no-dashboard", "--host", "127.0.0.1")
    scheduler = start("distributed.cli.dask_scheduler", *quiet, "--port", str(port))
    worker = ("distributed.cli.dask_worker", where, *quiet, "--nthreads", "1", "--no-nanny")
    workers = [start(*worker) for _ in range(2)]
    yield where, workers
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return numbers(fastsgd.run(LARGE, tmp_path_factory.mktemp("single") / "run.h5").path)


def test_shards_single_run_and_cluster_with_a_killed_worker_are_equal(address, single, tmp_path):
    where, workers = address
    killed = []

    def kill(done, total, seconds):
        if not killed and 0 < done < total:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(done)

    run = cluster.run(LARGE, tmp_path / "run.h5", scheduler=where, progress=kill)
    assert killed
    assert workers[0].wait(20) == -signal.SIGKILL
    assert numbers(run.path) == single
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]
    notes = []
    cluster.run(LARGE, tmp_path / "run.h5", scheduler=where, note=notes.append)
    assert "nothing to do" in notes[0]
    shards = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import fastsgd; fastsgd.run({LARGE!r}, {str(tmp_path / f's{i}.h5')!r}, shard='{i}/3')",
            ]
        )
        for i in (1, 2, 3)
    ]
    assert [shard.wait() for shard in shards] == [0, 0, 0]
    from fastsgd.merging import merge

    assert numbers(merge([tmp_path / f"s{i}.h5" for i in (2, 3, 1)], tmp_path / "merged.h5").path) == single


def test_a_stopped_run_keeps_its_shards_and_goes_on(address, single, tmp_path):
    where, _ = address

    def stop(done, total, seconds):
        if done > total / 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(StoppedEarly, match=r"interrupted with \d+ of \d+ shards finished"):
        cluster.run(LARGE, tmp_path / "run.h5", scheduler=where, progress=stop)
    kept = list((tmp_path / "run.h5.parts").glob("*.h5"))
    with pytest.raises(InputError, match="step"):
        cluster.run(LARGE | {"step": {"size": 0.05}}, tmp_path / "run.h5", scheduler=where)
    notes = []
    assert numbers(cluster.run(LARGE, tmp_path / "run.h5", scheduler=where, note=notes.append).path) == single
    assert any(f"{len(kept)} of" in text for text in notes)


def test_tasks_of_a_long_run_are_short():
    from fastsgd.cluster.front import DEAREST, _parts
    from fastsgd.sweeps import grid

    for replicates, least in ((2000, 8), (4_000_000, 9)):
        spec = fastsgd.load_spec(LARGE | {"replicates": replicates, "record": {"steps": [40_000]}})
        count = _parts(spec, 2)
        assert count >= least and grid.cost(spec) / count <= DEAREST


def test_a_worker_that_dies_while_it_is_asked_for_its_software_is_no_obstacle():
    from fastsgd.cluster.client import _check
    from fastsgd.cluster.task import software

    class Client:
        def __init__(self, *answers):
            self.answers = list(answers)

        def wait_for_workers(self, count, timeout):
            pass

        def run(self, function, on_error):
            assert function is software and on_error == "return"
            return self.answers.pop(0)

    died = OSError("Stream is closed")
    _check(Client({"one": died, "two": software()}), "tcp://x")
    waits = Client({"one": died}, {"two": software()})
    _check(waits, "tcp://x")
    assert not waits.answers
    with pytest.raises(InputError, match="worker two has fastsgd 0"):
        _check(Client({"one": died, "two": ("0", "1")}), "tcp://x")
    with pytest.raises(RunError, match="worker one cannot use fastsgd"):
        _check(Client({"one": ImportError("no module"), "two": software()}), "tcp://x")


def test_a_sweep_is_that_of_one_machine(address, tmp_path):
    where, _ = address
    vary = {"step.size": [0.1, 0.05, 0.9], "sampling.batch": [1, 4]}
    for sweep, more, folder in ((cluster.sweep, {"scheduler": where}, "there"), (fastsgd.sweep, {}, "here")):
        with pytest.raises(fastsgd.RunError, match="2 of 6 cells failed"):
            sweep(tables(), tmp_path / folder, vary=vary, **more)
    there, here = (read_index(tmp_path / name) for name in ("there", "here"))
    assert there == here
    for cell in here.cells:
        if cell.state == "finished":
            assert numbers(tmp_path / "there" / cell.file) == numbers(tmp_path / "here" / cell.file)


def test_a_problem_file_travels(address, tmp_path):
    where, _ = address
    home = tmp_path / "home"
    home.mkdir()
    code = """
        import numba

        @numba.njit
        def gradient(theta, sample, out):
            out[0] = 2.0 * theta[0] - sample.normals[0]
    """
    (home / "mine.py").write_text(textwrap.dedent(code))
    (home / "mine.toml").write_text(
        'name = "mine"\nseed = 1\nreplicates = 130\nproblem = { kind = "mine.py:gradient", dimension = 1, normals = 1, '
        "optimum = [0.0] }\nsampling = { batch = 2 }\nstep = { size = 0.1 }\nrecord = { steps = [5, 50] }\n"
    )
    alone = fastsgd.run(home / "mine.toml", tmp_path / "alone.h5")
    spec = fastsgd.load_spec(home / "mine.toml")
    spec.identity()
    (home / "mine.py").unlink()  # the workers must not need it
    assert numbers(cluster.run(spec, tmp_path / "there.h5", scheduler=where).path) == numbers(alone.path)


def listening(pids):
    """Addresses on which processes listen, from /proc."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            part = line.split()
            if part[3] == "0A" and f"socket:[{part[9]}]" in inodes:
                found.add(part[1].rpartition(":")[0])
    return found


def family(pid):
    children = [int(one) for path in Path(f"/proc/{pid}/task").glob("*/children") for one in path.read_text().split()]
    return [pid, *(other for child in children for other in family(child))]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into /proc")
def test_workers_of_our_own_listen_on_the_loopback_only_and_end_on_ctrl_c(tmp_path):
    spec = tmp_path / "long.toml"
    spec.write_text(fastsgd.load_spec(LARGE | {"replicates": 200_000}).to_toml())
    command = [sys.executable, "-m", "fastsgd", "run", str(spec), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        line = process.stderr.readline()
        members = family(process.pid)
        seen = listening(members)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        lines = [line, *process.stderr.readlines()]
        assert process.wait(60) == 75, lines
    assert len(members) >= 3, lines
    assert seen == {"0100007F"}, seen
    assert "interrupted with" in lines[-1]
    assert not any("Traceback" in text for text in lines), lines
    until = time.monotonic() + 20
    while any(map(alive, members)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, members))


def test_wrong_clusters_are_refused(tmp_path, capsys):
    spec = tmp_path / "small.toml"
    spec.write_text(fastsgd.load_spec(tables()).to_toml())
    assert exit_code(["run", str(spec), "--workers", "1", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert exit_code(["run", str(spec), "--workers", "1", "--shard", "1/2"]) == 2
    assert exit_code(["run", str(spec), "--scheduler", "nowhere"]) == 2
    assert "no Dask scheduler answers at nowhere" in capsys.readouterr().err
    assert not spec.with_suffix(".h5").exists()

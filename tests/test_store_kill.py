"""kill -9 at any moment loses nothing that was acknowledged, and the end is the same bytes."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import store_standin as standin
from faults import faults  # noqa: F401

from fastsgd import store
from fastsgd.errors import RunError

WORKER = Path(__file__).with_name("store_kill_worker.py")


def datasets(path: Path) -> dict[str, bytes]:
    """Bytes of every dataset of a file."""
    found = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[...]).tobytes() if item.dtype.kind != "O" else repr(list(item[...])).encode()

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("straight") / "run.h5"
    with standin.create(path, 200, ("a", "b")) as writer:
        assert standin.advance(writer)
    return datasets(path)


def lives(path: Path, lines: int, delay: float) -> tuple[bool, store.Progress | None]:
    """Kills a worker some seconds after it printed so many lines: whether it ended by itself, and its last commit."""
    last, ended = None, False
    with subprocess.Popen([sys.executable, WORKER, path], stdout=subprocess.PIPE, text=True) as worker:
        for seen, line in enumerate(worker.stdout, 1):
            if line.startswith("{"):
                last = store.Progress(**json.loads(line))
            ended = ended or line == "ended\n"
            if seen == lines:
                time.sleep(delay)
                worker.kill()
    return ended, last


def later(new: store.Progress, old: store.Progress) -> bool:
    return (new.complete, new.replicates_done, new.recorded) >= (old.complete, old.replicates_done, old.recorded)


@pytest.mark.slow
def test_kill_at_random_times(tmp_path, straight):
    path = tmp_path / "run.h5"
    rng = random.Random(5)
    ended, kills = False, 0
    while not ended:
        # Early kills hit the creation, which takes some 20 ms after "started".
        early = not path.exists()
        lines, delay = (1, rng.uniform(0, 0.15)) if early else (rng.randint(2, 9), rng.uniform(0, 0.003))
        ended, last = lives(path, lines if kills < 12 else 10**9, delay)
        kills += not ended
        if path.exists():
            run = store.open_run(path)
            if last:
                assert later(run.progress, last)
            expected = standin.values(2, 0, run.progress.replicates_done)
            np.testing.assert_array_equal(run.risk("b"), expected["risk"][1])
            np.testing.assert_array_equal(run.final("b"), expected["final"][1])
        else:
            assert last is None
    assert kills >= 12
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    assert datasets(path) == straight


def work(path: Path) -> None:
    with standin.create(path, 12) if not path.exists() else store.open_writer(path) as writer:
        standin.advance(writer, commits_inside=True)


@pytest.mark.slow
@pytest.mark.parametrize("forever", [False, True])
def test_every_failing_call_is_one_line_and_loses_no_commit(tmp_path, faults, forever):  # noqa: F811
    straight = tmp_path / "straight.h5"
    faults.count = 0
    work(straight)
    calls = faults.count
    assert calls > 100
    for k in range(1, calls + 1, 2 if forever else 3):
        path = tmp_path / f"run{k}.h5"
        faults.set(k, forever)
        with pytest.raises(RunError) as caught:
            work(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
        assert "No space left" in str(caught.value) or "Input/output error" in str(caught.value)
        faults.set(0)
        assert not list(tmp_path.glob("*.lock"))
        if path.exists():
            store.open_run(path)
        elif not forever:
            assert not list(tmp_path.glob(".*partial"))
        if k % 7 == 0:
            work(path)
            assert datasets(path) == datasets(straight)
        path.unlink(missing_ok=True)


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import store_standin as standin
from fastsgd.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    standin.create(Path(sys.argv[1])).close()
except RunError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("limit", [0, 700, 5_000, 20_000, 40_000, 50_000, 10_000_000])
def test_creating_under_a_limit_of_file_size(tmp_path, limit):
    """HDF5's own writes fail here, those of the structure; no crash, nothing left."""
    path = tmp_path / "run.h5"
    command = [sys.executable, "-c", LIMITED, path, str(limit), str(WORKER.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if limit > 1_000_000:
        assert done.returncode == 0 and store.open_run(path).progress == store.Progress()
    else:
        assert (done.returncode, done.stderr) == (1, ""), done.stderr
        assert done.stdout.count("\n") == 1 and "File too large" in done.stdout and "run.h5" in done.stdout
        assert not list(tmp_path.glob("*run.h5*partial")) and not path.exists()

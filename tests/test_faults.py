"""A disk that fails in the k-th call of run, merge or extend: one line, exit 1, and nothing that was committed is lost.

Here for some k spread over all of them; `scripts/verify faults` does every k.
"""

import os
import shutil

import pytest
from faults import BAD_DISK, NO_SPACE, faults  # noqa: F401
from small_runs import datasets, tables

import fastsgd
from fastsgd import engine, store
from fastsgd.cli.entry import exit_code
from fastsgd.spec import load_spec
from fastsgd.store.verify import verify

pytestmark = pytest.mark.slow

EVERY = os.environ.get("FASTSGD_EVERY_FAULT") == "1"
STRIDE = {"run": 3, "merge": 5, "extend": 11}
SPEC = tables(replicates=150, record__trajectories=40)


class Case:
    """A command, the file that it is to make and the file that it works on."""

    def __init__(self, name, folder, monkeypatch):
        monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 64)
        # A commit after each segment, of as many steps on any machine.
        monkeypatch.setattr(
            engine.Runner, "commit_cost", property(lambda self: -1.0, lambda self, value: None), raising=False
        )
        monkeypatch.setattr(engine, "COMMIT_SECONDS", -1.0)
        monkeypatch.setattr(engine.Runner, "_adapt", lambda self, taken, seconds: setattr(self, "steps_per_call", 8))
        monkeypatch.setattr("fastsgd.wave.warm", lambda plan: None)  # writes nothing, and takes most of the time
        monkeypatch.setenv("FASTSGD_THREADS", "1")
        self.name, self.folder = name, folder / "work"
        self.kept, self.target = folder / "kept", self.folder / "all.h5"
        self.kept.mkdir()
        toml = folder / "all.toml"
        toml.write_text(load_spec(SPEC).to_toml())
        scratch = fastsgd.run(SPEC, folder / "scratch.h5")
        if name == "run":
            self.line = ["run", str(toml)]
        elif name == "merge":
            parts = [fastsgd.run(SPEC, self.kept / f"{i}.h5", shard=(i, 2)).path.name for i in (1, 2)]
            self.line = ["merge", *(str(self.folder / part) for part in parts)]
        else:
            fastsgd.run(SPEC | {"replicates": 80, "record": SPEC["record"] | {"steps": [0, 3]}}, self.kept / "all.h5")
            self.line = ["extend", str(self.target), "--replicates", "150", "--steps", "10,40"]
        if name != "extend":
            self.line += ["-o", str(self.target)]
        self.wanted = datasets(scratch.path)

    def begin(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.folder)


@pytest.mark.parametrize("name", ["run", "merge", "extend"])
@pytest.mark.parametrize("forever", [False, True])
def test_every_failing_call(tmp_path, monkeypatch, faults, capsys, name, forever):  # noqa: F811
    case = Case(name, tmp_path, monkeypatch)
    case.begin()
    faults.set(0)
    assert exit_code(case.line) == 0
    calls = faults.count
    assert calls > 60 and datasets(case.target) == case.wanted
    capsys.readouterr()
    stride = 1 if EVERY else STRIDE[name] * (4 if forever else 1)
    for k in range(calls, 0, -stride):
        case.begin()
        before = {path.name: path.read_bytes() for path in case.folder.iterdir()}
        faults.set(k, forever, BAD_DISK if (k // 2) % 2 else NO_SPACE)
        assert exit_code(case.line) == 1, k
        faults.set(0)
        out, err = capsys.readouterr()
        said = [line for line in err.splitlines() if line.startswith("error: ")]
        assert out == "" and len(said) == 1 and "Traceback" not in err, err
        assert "No space left on device" in said[0] or "Input/output error" in said[0], said
        for path in case.folder.iterdir():
            assert path.suffix != ".lock"
            if path.name.endswith(".partial"):
                assert forever or name == "run", path
            elif path.name in before and path.read_bytes() == before[path.name]:
                continue
            else:
                assert verify(path) == [], (k, path)
        if k % 7 == 0:
            assert exit_code(case.line) == 0
            assert datasets(case.target) == case.wanted
            assert sorted(p.name for p in case.folder.iterdir()) == sorted({*before, "all.h5"})
            capsys.readouterr()


def test_what_was_committed_stays(tmp_path, monkeypatch, faults, capsys):  # noqa: F811
    """The progress in the file is never less than what the last commit that returned has said."""
    case = Case("run", tmp_path, monkeypatch)
    case.begin()
    done = []
    commit = store.RunWriter.commit

    def noted(self, progress, *args, **keywords):
        commit(self, progress, *args, **keywords)
        done.append((progress.replicates_done, progress.recorded))

    monkeypatch.setattr(store.RunWriter, "commit", noted)
    faults.set(0)
    assert exit_code(case.line) == 0
    calls = faults.count
    assert len(done) >= 4
    for k in range(calls // 3, calls, 1 if EVERY else 7):
        case.begin()
        done.clear()
        faults.set(k)
        assert exit_code(case.line) == 1
        faults.set(0)
        if done:
            progress = store.open_run(case.target).progress
            assert (progress.replicates_done, progress.recorded) >= done[-1]
    capsys.readouterr()

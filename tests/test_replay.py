"""One replicate from the file alone repeats the stored bits; what does not repeat is told."""

import json

import kinds
import numpy as np
import pytest
from small_runs import tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError, RunError, StoppedEarly
from fastsgd.replaying import replay
from fastsgd.store.opened import opened, structure
from fastsgd.store.raw import RawFile, crc32

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", kinds.NAMES)
def test_replicates_repeat(tmp_path, kind):
    run = fastsgd.run(kinds.spec(kind, tmp_path), tmp_path / "run.h5", threads=2)
    code = tmp_path / "code.py" if kind in kinds.WITH_CODE else None
    for replicate in (0, 17, 149):
        for found in replay(run.path, replicate, code=code):
            assert found.compared == len(run.steps)
            np.testing.assert_array_equal(found.risk, run.risk(found.arm)[replicate])
            np.testing.assert_array_equal(found.theta[-1], run.final(found.arm)[replicate])
            if replicate < run.sizes.trajectories:
                np.testing.assert_array_equal(found.theta, run.trajectories(found.arm)[replicate])


def test_steps_between(tmp_path):
    run = fastsgd.run(tables(), tmp_path / "run.h5")
    dense = fastsgd.run(tables(record__steps=list(range(41)), record__trajectories=100), tmp_path / "dense.h5")
    (found,) = replay(run.path, 99, every=1)
    assert found.compared == 4 and found.steps.tolist() == list(range(41))
    np.testing.assert_array_equal(found.theta, dense.trajectories()[99])
    np.testing.assert_array_equal(found.risk, dense.risk()[99])


def test_divergence_repeats(tmp_path):
    run = fastsgd.run(tables(step__size=10.0, record__steps=[50, 400]), tmp_path / "run.h5", allow_unstable=True)
    (found,) = replay(run.path, 3)
    assert found.diverged_at == run.diverged_at()[3] > 0 and found.compared == 2


def test_shards_and_unfinished_runs(tmp_path, monkeypatch):
    shard = fastsgd.run(tables(), tmp_path / "shard.h5", shard="2/2")
    (found,) = replay(shard.path, 130)
    np.testing.assert_array_equal(found.risk, shard.risk()[130 - shard.first_replicate])
    with pytest.raises(InputError, match=r"replicate must be one of 64 to 149 of .*, got 3"):
        replay(shard.path, 3)
    monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 64)
    with pytest.raises(StoppedEarly):
        fastsgd.run(tables(), tmp_path / "half.h5", time_limit=0.0)
    assert replay(tmp_path / "half.h5", 149)[0].compared == 0
    assert "nothing to compare" in replay(tmp_path / "half.h5", 149)[0].said()


def test_a_stored_number_that_does_not_repeat_is_told(tmp_path, capsys):
    """A risk changed in its last digit under a right checksum: only a replay can tell."""
    run = fastsgd.run(tables(), tmp_path / "run.h5")
    with opened(run.path) as file:
        places = structure(run.path, file).extents
    file = RawFile(run.path, "write")
    risk = file.read(places["risk"]).copy()
    risk[5, 2] = np.nextafter(risk[5, 2], 9.0)
    file.write(places["risk"], risk)
    file.write(places["checkpoint/crc32_risk"].at(0, 0, 2), np.uint32(crc32(np.ascontiguousarray(risk[:, 2]))))
    file.close()
    assert exit_code(["verify", str(run.path)]) == 0
    assert replay(run.path, 4)[0].compared == 4
    with pytest.raises(RunError, match=r"replicate 5 of arm main does not repeat: its risk is stored as .* at step 10"):
        replay(run.path, 5)
    assert exit_code(["replay", str(run.path), "--replicate", "5"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_code_of_ones_own_problem_must_be_named_and_the_same(tmp_path):
    run = fastsgd.run(kinds.spec("own pool", tmp_path), tmp_path / "run.h5")
    with pytest.raises(InputError, match=r"whose code runs from a file alone; name .* with --code"):
        replay(run.path, 1)
    other = tmp_path / "other.py"
    other.write_text(kinds.CODE + "\n# changed\n")
    with pytest.raises(InputError, match=r"other.py is not the code of this run: its SHA-256 is"):
        replay(run.path, 1, code=other)
    with pytest.raises(InputError, match=r"gone.py is not there"):
        replay(run.path, 1, code=tmp_path / "gone.py")
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "code.py").rename(tmp_path / "moved" / "elsewhere.py")
    assert replay(run.path, 1, code=moved)[0].compared == 4
    again = tmp_path / "again"
    assert exit_code(["show", str(run.path), "--code", str(again)]) == 0  # the file has gone: as it was, from the run
    assert replay(run.path, 1, code=again / "code.py")[0].compared == 4
    (again / "code.py").write_text("other")
    assert exit_code(["show", str(run.path), "--code", str(again)]) == 2
    plain = fastsgd.run(tables(), tmp_path / "plain.h5")
    assert exit_code(["show", str(plain.path), "--code", str(again)]) == 2  # it keeps none
    with pytest.raises(InputError, match="needs no --code; leave it out"):
        replay(plain.path, 1, code=other)


def test_command_line(tmp_path, capsys):
    run = fastsgd.run(kinds.spec("arms", tmp_path), tmp_path / "run.h5")
    table = tmp_path / "seven.csv"
    line = ["replay", str(run.path), "--replicate", "7"]
    assert exit_code([*line, "-o", str(table)]) == 0
    out = capsys.readouterr().out
    assert "replicate 7, arm a: risk as stored at 4 recorded steps, to the last bit" in out
    rows = np.genfromtxt(table, delimiter=",", names=True, dtype=None, encoding="utf-8")
    assert rows["arm"].tolist() == ["a"] * 4 + ["b"] * 4
    np.testing.assert_array_equal(rows["risk"][4:], run.risk("b")[7])
    assert exit_code([*line, "--arm", "b", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [row["risk"] for row in found["rows"]] == run.risk("b")[7].tolist()
    assert exit_code([*line, "--arm", "b", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "arm,replicate,step,risk,0,1,2"
    assert exit_code([*line, "--arm", "c"]) == 2
    assert exit_code(["replay", str(run.path), "--replicate", "150"]) == 2
    assert exit_code([*line, "-o", str(tmp_path / "no" / "x.csv")]) == 1
    assert "Traceback" not in capsys.readouterr().err

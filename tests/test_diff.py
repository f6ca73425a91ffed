"""Two runs beside each other: the same, other specs, other lengths, other bits."""

import json
import shutil

import kinds
import numpy as np
import pytest
from small_runs import tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.comparing import EQUAL, PREFIX, diff

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fastsgd.run(tables(record__trajectories=20), tmp_path_factory.mktemp("diff") / "run.h5")


def statuses(found):
    return {one.name: one.status for one in found.datasets}


def test_a_run_and_its_copy_and_its_repetition(run, tmp_path, capsys):
    again = fastsgd.run(tables(record__trajectories=20), tmp_path / "again.h5", threads=1)
    found = diff(run.path, again.path)
    assert found.same and not found.spec and set(statuses(found).values()) == {EQUAL}
    assert {"risk", "final", "mean", "hessian", "replicate", "trajectory", "step"} <= statuses(found).keys()
    assert exit_code(["diff", str(run.path), str(again.path)]) == 0
    out = capsys.readouterr().out
    assert "spec: the same" in out and "are the same to the last bit" in out


def test_another_spec_is_told_key_by_key(run, tmp_path, capsys):
    other = fastsgd.run(tables(record__trajectories=20, step__size=0.05), tmp_path / "other.h5")
    assert exit_code(["diff", str(run.path), str(other.path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["spec"] == [{"key": "step.size", "a": 0.1, "b": 0.05}] and not found["same"]
    sets = {one["name"]: one for one in found["datasets"]}
    gap = np.abs(run.risk() - other.risk())
    assert sets["risk"]["largest"] == gap.max() and sets["risk"]["differ"] == (gap > 0).sum()
    assert sets["risk"]["values"] == 600 and sets["hessian"]["status"] == EQUAL
    assert exit_code(["diff", str(run.path), str(other.path)]) == 1
    assert "step.size: 0.1 and 0.05" in capsys.readouterr().out


def test_other_lengths_are_compared_where_both_have_numbers(run, tmp_path):
    longer = tables(record__trajectories=30, replicates=200, record__steps=[0, 3, 8, 10, 40, 50])
    found = diff(run.path, fastsgd.run(longer, tmp_path / "longer.h5").path)
    status = statuses(found)
    assert status["risk"] == status["trajectory"] == status["step"] == status["replicate"] == PREFIX
    assert status["hessian"] == EQUAL and status["mean"] == status["final"] == "different"
    assert not found.same
    sizes = {one.name: one.values for one in found.datasets}
    assert sizes["risk"] == 150 * 4 and sizes["trajectory"] == 20 * 4 * 3
    shard = fastsgd.run(tables(), tmp_path / "shard.h5", shard="2/2")
    assert statuses(diff(shard.path, run.path))["final"] == PREFIX


def test_a_damaged_run_is_told_and_not_compared(run, tmp_path, capsys):
    copy = tmp_path / "copy.h5"
    shutil.copy(run.path, copy)
    data = bytearray(copy.read_bytes())
    at = data.index(run.problem()["noise"].tobytes())
    data[at] ^= 1
    copy.write_bytes(data)
    assert exit_code(["diff", str(run.path), str(copy)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "copy.h5 is damaged: checksum of the structure differs" in err and err.count("\n") == 1


def test_arms_and_what_only_one_has(tmp_path, run, capsys):
    arms = fastsgd.run(kinds.spec("arms", tmp_path), tmp_path / "arms.h5")
    average = fastsgd.run(kinds.spec("average", tmp_path), tmp_path / "average.h5")
    assert statuses(diff(arms.path, run.path))["final_working"] == "only in A"
    assert statuses(diff(run.path, average.path))["average_risk"] == "only in B"
    assert diff(arms.path, arms.path).same
    assert exit_code(["diff", str(run.path), "missing.h5"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

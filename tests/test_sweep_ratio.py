"""Nonlinear cells and arms that differ in step.size alone: judged by their limit at step size 0, group by group."""

import json

import pytest

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.spec import load_spec, toml

pytestmark = pytest.mark.slow

SPEC = {
    "name": "limits", "seed": 8, "replicates": 2048,
    "problem": {
        "kind": "glm", "family": "logistic", "ridge": 0.1,
        "data": {"standardize": False, "generate": {"samples": 200, "dimension": 2, "seed": 4, "scale": 2.0}},
    },
    "sampling": {"batch": 4}, "step": {"size": 0.8}, "start": {"kind": "stationary"}, "record": {"steps": [100, 200]},
}  # fmt: skip


def test_cells_of_a_sweep_are_judged_by_their_limits(tmp_path, capsys):
    file, folder = tmp_path / "limits.toml", tmp_path / "limits"
    file.write_text(toml.dumps(SPEC))
    vary = ["--vary", "step.size=0.8,0.4,0.2", "--vary", "sampling.batch=4,16"]
    assert exit_code(["sweep", str(file), "-o", str(folder), *vary]) == 0
    capsys.readouterr()
    assert exit_code(["ratio", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 limits of step size 0 consistent" in out
    assert out.count("by its limit") == 6
    # Controls: each cell by itself, whose bias the replicates reveal; another batch.
    assert exit_code(["ratio", str(folder / "size=0.8,batch=4.h5")]) == 3
    capsys.readouterr()
    assert exit_code(["ratio", str(folder), "--assume", "sampling.design=with-replacement", "--assume",
                      "sampling.batch=5", "--json"]) == 3  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "inconsistent"
    assert len(found["limits"]) == 0 or not all(limit["consistent"] for limit in found["limits"])
    assert exit_code(["ratio", str(folder), "--csv"]) == 0
    assert "risk (step size -> 0)" in capsys.readouterr().out


def test_arms_in_groups(tmp_path):
    arms = {
        "a": {}, "b": {"step.size": 0.4}, "c": {"sampling.batch": 16}, "d": {"sampling.batch": 16, "step.size": 0.4},
        "e": {"sampling.batch": 8},
    }  # fmt: skip
    run = fastsgd.run(load_spec(SPEC | {"arms": arms}), tmp_path / "run.h5")
    rows = fastsgd.ratio(run).rows
    limits = {row.arm for row in rows if "step size -> 0" in row.quantity}
    assert limits == {"a,b", "c,d"}
    tested = {row.arm for row in rows if row.in_verdict}
    assert tested == {"a,b", "c,d", "e"}  # one arm alone is tested by its steps

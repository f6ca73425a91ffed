"""Run files and exports in other people's tools, without fastsgd."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_runs import tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError

pytestmark = pytest.mark.slow
ARMS = {"one": {"sampling.batch": 1}, "four": {}}

READER = """
import importlib.util, json, sys
sys.meta_path[:] = [f for f in sys.meta_path if "__editable__" not in str(f) + f.__module__]
assert importlib.util.find_spec("fastsgd") is None, "fastsgd must not be here"
import xarray
found = {}
for path in sys.argv[1:]:
    for engine in (["zarr"] if path.endswith(".zarr") else ["h5netcdf", "netcdf4"]):
        with xarray.open_dataset(path, engine=engine) as data:
            found[f"{path} {engine}"] = {
                "risk": data["risk"].mean("replicate").values.tolist(), "dims": list(data["risk"].dims),
                "names": sorted(data.variables), "units": [data["hessian"].dims, data["step"].values.tolist()],
            }
assert "fastsgd" not in sys.modules
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    plain = fastsgd.run(tables(record__trajectories=3), folder / "plain.h5")
    arms = fastsgd.run(tables(arms=ARMS), folder / "arms.h5")
    return folder, plain, arms


def elsewhere(*paths):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", "-W", "ignore", "-c", READER, *map(str, paths)]
    return json.loads(subprocess.run(command, env=env, cwd="/", check=True, capture_output=True, text=True).stdout)


def test_every_file_opens_where_there_is_no_fastsgd(runs):
    _, plain, arms = runs
    paths = [plain.path, arms.path]
    for run in (plain, arms):
        paths += [fastsgd.export(run), fastsgd.export(run, format="zarr")]
    found = elsewhere(*paths)
    assert len(found) == 2 * 2 + 2 * 3
    for place, content in found.items():
        run = plain if "plain" in place else arms
        means = [run.risk(arm).mean(axis=0) for arm in run.arms]
        np.testing.assert_allclose(content["risk"], means if run is arms else means[0], rtol=1e-12)
        assert content["dims"] == ["arm", "replicate", "step"][0 if run is arms else 1 :]
        assert {"covariance", "final", "hessian", "mean", "step_size"} <= set(content["names"])


def test_exports_hold_every_number(runs):
    xarray = pytest.importorskip("xarray")
    folder, _, arms = runs
    target = fastsgd.export(arms, folder / "again.nc")
    with xarray.open_dataset(target, engine="h5netcdf") as data:
        for index, arm in enumerate(arms.arms):
            np.testing.assert_array_equal(data["risk"][index], arms.risk(arm))
            np.testing.assert_array_equal(data["covariance"][index], arms.moments(arm)[2])
        assert json.loads(data.attrs["spec"]) == arms.document
        assert list(data["arm"].values) == arms.arms
    with pytest.raises(InputError, match="is there already"):
        fastsgd.export(arms, target)
    with pytest.raises(InputError, match="is there already"):
        fastsgd.export(arms, arms.path, force=True)


def test_csv_has_a_line_for_each_replicate_and_step(runs):
    folder, plain, _ = runs
    assert exit_code(["export", str(plain.path), "--format", "csv"]) == 0
    with (folder / "plain.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 150 * 4
    risk = np.array([float(row["risk"]) for row in rows]).reshape(150, 4)
    np.testing.assert_array_equal(risk, plain.risk())
    assert rows[5] == {
        "arm": "main",
        "replicate": "1",
        "step": "3",
        "risk": repr(plain.risk()[1, 1].item()),
        "diverged_at": "-1",
    }


@pytest.mark.parametrize("tool", [("ncdump", "-h"), ("h5dump", "-H")], ids=lambda tool: tool[0])
def test_command_line_tools_read_run_files(runs, tool):
    if shutil.which(tool[0]) is None:
        pytest.skip(f"needs {tool[0]}")
    _, plain, arms = runs
    for run in (plain, arms):
        done = subprocess.run([*tool, str(run.path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "risk" in done.stdout
        assert "covariance" in done.stdout
    if tool[0] == "ncdump":
        shown = subprocess.run(
            ["ncdump", "-v", "step", str(plain.path)], capture_output=True, text=True, check=True
        ).stdout
        assert "step = 0, 3, 10, 40 ;" in shown
        assert "double risk(replicate, step) ;" in shown


@pytest.mark.parametrize("kind", ["zarr", "netcdf", "csv"])
def test_a_folder_that_is_no_zarr_store_is_never_replaced(tmp_path, kind, capsys):
    """`-o . --force` must not empty the folder that one works in."""
    path = fastsgd.run(tables(), tmp_path / "run.h5").path
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years")
    line = ["export", str(path), "--format", kind, "-o", str(folder)]
    for force in ([], ["--force"]):
        assert exit_code([*line, *force]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert (folder / "thesis.tex").read_text() == "years"

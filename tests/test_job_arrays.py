"""The example scripts for SLURM (by a stand-in for sbatch) and GNU parallel: what they make is the single run."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import results, tables

import fastsgd
from fastsgd.store.index import read_index

pytestmark = pytest.mark.slow

STANDIN = Path(__file__).resolve().with_name("sbatch_standin.py")
SCRIPTS = Path(__file__).resolve().parent.parent / "scripts" / "cluster"


def numbers(path):
    return {name: data for name, data in results(path).items() if "provenance" not in name}


@pytest.fixture
def place(tmp_path):
    """A folder with a spec, and an environment that finds `fastsgd` and `sbatch`."""
    tools, jobs = tmp_path / "bin", tmp_path / "jobs"
    tools.mkdir()
    jobs.mkdir()
    for name, line in (
        ("fastsgd", f'exec {shlex.quote(sys.executable)} -m fastsgd "$@"'),
        ("sbatch", f'exec {shlex.quote(sys.executable)} {shlex.quote(str(STANDIN))} "$@"'),
    ):
        (tools / name).write_text(f"#!/bin/bash\n{line}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "small.toml").write_text(fastsgd.load_spec(tables(replicates=200)).to_toml())
    env = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "SBATCH_STANDIN": str(jobs)}
    env["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS.parent.parent), os.environ.get("PYTHONPATH", "")])
    return tmp_path, env


def call(place, *command):
    return subprocess.run(command, cwd=place[0], env=place[1], capture_output=True, text=True, timeout=300)


def test_slurm_array_and_merge(place):
    done = call(place, SCRIPTS / "submit", "3", "small.toml", "whole", "--set", "step.size=0.05")
    assert (done.returncode, done.stdout) == (0, "array 1, merge 2\n"), done.stderr
    alone = fastsgd.run(tables(replicates=200, step__size=0.05), place[0] / "alone.h5")
    assert numbers(place[0] / "whole.h5") == numbers(alone.path)
    assert not (place[0] / "whole.parts").exists()
    assert "finished" in (place[0] / "fastsgd-1-2.log").read_text()


def test_slurm_merge_waits_for_all_shards(place):
    done = call(place, SCRIPTS / "submit", "5", "small.toml", "whole")  # 200 replicates are 4 blocks
    assert done.returncode == 0, done.stderr
    assert "give N <= 4" in (place[0] / "fastsgd-1-5.log").read_text()
    assert not (place[0] / "whole.h5").exists()


def test_slurm_array_of_a_sweep(place):
    arguments = ("sweep", "small.toml", "-o", "study", "--vary", "sampling.batch=1,2,4")
    done = call(place, "sbatch", "--array=1-2", SCRIPTS / "array.sbatch", *arguments)
    assert done.returncode == 0, done.stderr
    assert {cell.state for cell in read_index(place[0] / "study").cells} == {"finished"}
    alone = fastsgd.run(tables(replicates=200, sampling__batch=2), place[0] / "alone.h5")
    assert numbers(place[0] / "study" / "batch=2.h5") == numbers(alone.path)


@pytest.mark.skipif(shutil.which("parallel") is None, reason="needs GNU parallel")
def test_gnu_parallel(place):
    done = call(place, SCRIPTS / "parallel", "3", "small.toml", "whole", "--set", "step.size=0.05")
    assert done.returncode == 0, done.stderr
    alone = fastsgd.run(tables(replicates=200, step__size=0.05), place[0] / "alone.h5")
    assert numbers(place[0] / "whole.h5") == numbers(alone.path)
    failed = call(place, SCRIPTS / "parallel", "3", "small.toml", "none", "--set", "step.size=9.0")
    assert failed.returncode != 0
    assert not (place[0] / "none.h5").exists()

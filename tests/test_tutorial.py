"""Every block of the tutorial runs as it stands, in order; the pattern for figures reads stored runs alone."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"


def run_blocks(document, folder):
    """Run the blocks of a document in order; one that begins with the name of a file is written. How many were run."""
    tools, jobs = folder / "bin", folder / "jobs"
    tools.mkdir()
    jobs.mkdir()
    standin = Path(__file__).with_name("sbatch_standin.py")
    for name, line in (("fastsgd", "-m fastsgd"), ("sbatch", shlex.quote(str(standin)))):
        (tools / name).write_text(f'#!/bin/bash\nexec {shlex.quote(sys.executable)} {line} "$@"\n')
        (tools / name).chmod(0o755)
    env = environment() | {"PATH": f"{tools}:{os.environ['PATH']}", "SBATCH_STANDIN": str(jobs)}
    blocks, count = re.findall(r"^```(\w+)\n(.*?)^```$", document.read_text(), flags=re.M | re.S), 0
    for kind, text in blocks:
        if named := re.match(r"# (\w+\.(?:toml|py))\n", text):
            (folder / named[1]).write_text(text)
        elif kind in ("sh", "python"):
            shell = ["bash", "-euo", "pipefail", "-c", text]
            command = shell if kind == "sh" else [sys.executable, "-W", "ignore", "-c", text]
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, done.stderr
            count += 1
    return count


def environment():
    return os.environ | {
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }


@pytest.mark.slow
def test_every_block_about_designs_runs(tmp_path):
    """The files in it are those of scripts/own_design."""
    assert run_blocks(ROOT / "docs" / "designs.md", tmp_path) == 2
    for path in (ROOT / "scripts" / "own_design").glob("madow.*"):
        assert path.suffix == ".h5" or path.read_text() == (tmp_path / path.name).read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_of_the_tutorial_runs(tmp_path):
    for name in ("distributed", "xarray", "h5netcdf"):
        pytest.importorskip(name)
    shutil.copytree(ROOT / "scripts" / "cluster", tmp_path / "scripts" / "cluster")
    assert run_blocks(TUTORIAL, tmp_path) >= 12
    env = environment()
    for name in ("first.png", "study.png", "study.csv", "study.tex", "first.nc", "first.csv"):
        assert (tmp_path / name).stat().st_size > 100
    script = [sys.executable, "-W", "ignore", str(ROOT / "scripts" / "figure_from_runs.py"), "study", "again.png"]
    done = subprocess.run(script, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "consistent" in done.stdout
    first = (tmp_path / "again.png").read_bytes()
    subprocess.run(script, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert (tmp_path / "again.png").read_bytes() == first


def test_documents_name_what_there_is():
    """Options, scripts and files that the documents mention exist."""
    from fastsgd.cli.group import COMMANDS

    for path in (ROOT / "docs").glob("*.md"):
        text = path.read_text()
        for command in re.findall(r"^fastsgd ([a-z]+) ", text, flags=re.M):
            assert command in COMMANDS, command
        for place in re.findall(r"`((?:scripts|runs|fastsgd|kernels)/[\w./]*)`", text):
            assert (ROOT / place).exists(), place
        for link in re.findall(r"\]\((\w+\.md)\)", text):
            assert (path.parent / link).exists(), link

"""kill -9 through the command line, at random and at chosen moments, and disks that are really full."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

VERIFY = Path(__file__).resolve().parent.parent / "scripts" / "verify"


def test_fifty_kills_leave_every_byte():
    """Over run, extend and merge: while they create, at checkpoints, while they finish; 1 to 3 threads."""
    done = subprocess.run(
        [sys.executable, VERIFY, "kills", "--count", "50"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "50  kills" in done.stdout


def test_kills_between_write_and_sync_and_failing_writes():
    """strace places them; `scripts/verify cuts` does every one."""
    done = subprocess.run([sys.executable, VERIFY, "cuts", "--count", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if done.stdout.startswith("left out"):
        pytest.skip(done.stdout.strip())
    assert "5 cuts: nothing lost" in done.stdout

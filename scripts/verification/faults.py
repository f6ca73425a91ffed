"""The k-th open, write, read, sync or rename of run, merge and extend fails, for every k: the tests do some of them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HELP = "each call to the disk fails once, and from then on"


def add(parser: argparse.ArgumentParser) -> None:
    """No options."""


def main(options: argparse.Namespace) -> int:
    """The exit code of the tests."""
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_faults.py", "-o", "timeout=3600"]
    return subprocess.run(command, cwd=root, env=os.environ | {"FASTSGD_EVERY_FAULT": "1"}, check=False).returncode

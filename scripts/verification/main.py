"""The command: one subcommand for each file of this folder that has a `HELP`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
NOT_SUBJECTS = ("__init__", "main")


def subjects() -> list[str]:
    """Names of the files that are subjects and not helpers of one."""
    found = (path for path in sorted(HERE.glob("*.py")) if path.stem not in NOT_SUBJECTS)
    return [path.stem for path in found if "\nHELP = " in path.read_text(encoding="utf-8")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a check; 0 if all of it holds, 1 if not, 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="scripts/verify", description="Long checks of what fastsgd promises.")
    commands = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    modules = {name: importlib.import_module(f"verification.{name}") for name in subjects()}
    for name, module in modules.items():
        module.add(commands.add_parser(name, help=module.HELP, description=module.__doc__))
    options = parser.parse_args(arguments)
    return int(modules[options.subject].main(options))

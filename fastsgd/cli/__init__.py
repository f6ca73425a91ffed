"""The command line: `main` is what the `fastsgd` script calls."""

from fastsgd.cli.entry import main

__all__ = ["main"]

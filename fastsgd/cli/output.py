"""Writing results to stdout and notes to stderr."""

import io
import os
import sys
from typing import Any

import click


def result(text: str) -> None:
    """A result on stdout. A closed pipe (`| head`) silences it; the exit code stays that of the command."""
    try:
        click.echo(text, nl=not text.endswith("\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def result_json(value: Any) -> None:
    """A result on stdout as strict JSON."""
    from fastsgd.analysis.tables import json_text

    result(json_text(value))


def note(text: str) -> None:
    """A note on stderr."""
    click.echo(text, err=True)


def silence_stdout() -> None:
    """Send the rest of stdout nowhere: its reader has gone, and the interpreter flushes once more at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = io.StringIO()


def listen() -> None:
    """What the library logs, as lines on stderr."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(record.getMessage(), err=True)

    logger = logging.getLogger("fastsgd")
    if not logger.handlers:
        logger.addHandler(Lines())
        logger.setLevel(logging.INFO)

"""fastsgd show"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json


@click.command("show")
@options.run_argument
@click.option("--spec", "spec_only", is_flag=True, help="Print only the spec, as TOML.")
@options.json_option
def command(run: Path, spec_only: bool, as_json: bool) -> None:
    """Say what a run is.

    Its spec, identity, seed, arms, how far it is, diverged replicates, and what produced it. Never locks the file: a
    run that is going on can be looked at.

    \b
    Examples:
      fastsgd show runs/plateau.h5
      fastsgd show runs/plateau.h5 --json
      fastsgd show runs/plateau.h5 --spec > again.toml
    """
    from fastsgd.analysis.describe import describe, describe_text
    from fastsgd.analysis.source import opened

    stored = opened(run)
    if spec_only:
        result(stored.spec.to_toml())
    else:
        result_json(describe(stored)) if as_json else result(describe_text(stored))

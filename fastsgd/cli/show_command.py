"""fastsgd show"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json


@click.command("show")
@options.run_argument
@click.option("--spec", "spec_only", is_flag=True, help="Print only the spec, as TOML.")
@click.option(
    "--code",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Only write the code of a problem or design of your own, as it was, into a folder.",
)
@options.json_option
def command(run: Path, spec_only: bool, code: Path | None, as_json: bool) -> None:
    """Say what a run or a sweep is.

    Its spec, identity, seed, arms, how far it is, diverged replicates, and what produced it. Never locks the file: a
    run that is going on can be looked at.

    \b
    Examples:
      fastsgd show runs/plateau.h5
      fastsgd show runs/plateau.h5 --json
      fastsgd show study
      fastsgd show runs/plateau.h5 --spec > again.toml
      fastsgd show runs/mine.h5 --code again
    """
    from fastsgd.analysis.describe import describe, describe_text
    from fastsgd.analysis.source import opened
    from fastsgd.store.index import is_sweep

    if is_sweep(run):
        from fastsgd.analysis.sweeps import describe_sweep, sweep_text

        if spec_only or code is not None:
            raise click.UsageError(f"--{'spec' if spec_only else 'code'} is for a run; the cells of a sweep are runs.")
        result_json(describe_sweep(run)) if as_json else result(sweep_text(run))
        return
    stored = opened(run)
    if code is not None:
        from fastsgd.sources import write_code

        result("\n".join(str(path) for path in write_code(stored, code)))
    elif spec_only:
        result(stored.spec.to_toml())
    else:
        result_json(describe(stored)) if as_json else result(describe_text(stored))

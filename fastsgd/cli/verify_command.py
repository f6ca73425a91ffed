"""fastsgd verify"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json


@click.command("verify")
@options.runs_argument
@options.json_option
@click.pass_context
def command(context: click.Context, runs: tuple[Path, ...], as_json: bool) -> None:
    """Check run files for damage.

    Structure, checksums of everything committed, steps, the identity of the stored spec, and that values are finite
    where a replicate did not diverge. One line a finding; exit code 1 if there is any. Nothing is changed, and a run
    that is going on is checked as of its last commit.

    \b
    Examples:
      fastsgd verify runs/plateau.h5
      fastsgd verify runs/*.h5 --json
    """
    from fastsgd.store.verify import report, verify

    found = {run: verify(run) for run in runs}
    if as_json:
        result_json([{"path": str(run), "findings": [f.document() for f in lines]} for run, lines in found.items()])
    else:
        result("\n".join(report(run, lines) for run, lines in found.items()))
    context.exit(1 if any(found.values()) else 0)

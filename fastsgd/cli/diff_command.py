"""fastsgd diff"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json


@click.command("diff")
@click.argument("a", type=options.PATH)
@click.argument("b", type=options.PATH)
@options.json_option
@click.pass_context
def command(context: click.Context, a: Path, b: Path, as_json: bool) -> None:
    """Show how two runs differ.

    Specs key by key, where the runs come from, and every dataset: which have the same bits, and else how many values
    differ and by how much, over the arms, replicates and recorded steps that both have. Exit code 0 if all numbers of
    both runs are the same, 1 if not.

    \b
    Examples:
      fastsgd diff plateau.h5 again.h5
      fastsgd diff short.h5 extended.h5 --json
    """
    from fastsgd.comparing import diff

    found = diff(a, b)
    result_json(found.document()) if as_json else result(found.text())
    context.exit(0 if found.same else 1)

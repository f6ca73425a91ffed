"""fastsgd merge"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json


@click.command("merge")
@options.runs_argument
@click.option("-o", "--output", required=True, type=options.PATH, metavar="FILE", help="The merged run file.")
@click.option("--allow-gaps", is_flag=True, help="Merge also if replicates are missing.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@options.json_option
def command(runs: tuple[Path, ...], output: Path, allow_gaps: bool, force: bool, as_json: bool) -> None:
    """Put the shards of a run together.

    The merged file has the same bytes in every dataset as one run of all replicates. Overlaps, gaps, unfinished shards
    and shards of different runs are refused with the reason. The file appears when it is complete.

    \b
    Examples:
      fastsgd merge plateau.shard-*.h5 -o plateau.h5
      fastsgd merge a.h5 b.h5 d.h5 -o three-of-four.h5 --allow-gaps
    """
    from fastsgd.analysis.describe import describe, describe_text
    from fastsgd.merging import merge

    merged = merge(runs, output, allow_gaps=allow_gaps, force=force, note=note)
    result_json(describe(merged)) if as_json else result(describe_text(merged))

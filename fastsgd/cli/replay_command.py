"""fastsgd replay"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json


@click.command("replay")
@options.run_argument
@click.option("--replicate", required=True, type=click.IntRange(min=0), metavar="R", help="Its number, from 0.")
@click.option("--arm", metavar="NAME", help="One arm; default: all.")
@click.option("--every", type=click.IntRange(min=1), metavar="N", help="Also the iterates of every N-th step.")
@options.code_option
@click.option("-o", "--output", type=options.PATH, metavar="CSV", help="Write the iterates to this file.")
@options.json_option
@options.csv_option
def command(
    run: Path,
    replicate: int,
    arm: str | None,
    every: int | None,
    code: tuple[Path, ...],
    output: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Simulate one replicate of a run again, and compare.

    Needs the run file alone. Gives theta - theta* at the recorded steps, kept or not, and says whether risk, last iterate
    and divergence are those stored, bit by bit; exit code 1 if not.

    \b
    Examples:
      fastsgd replay runs/plateau.h5 --replicate 7
      fastsgd replay runs/plateau.h5 --replicate 7 --arm isotropic --every 1 -o seven.csv
    """
    from fastsgd.replaying import csv_text, replay, text, write_csv

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    found = replay(run, replicate, arm=arm, every=every, code=code)
    if output is not None:
        write_csv(found, output)
    if as_json:
        result_json([one.document() for one in found])
    else:
        result(csv_text(found) if as_csv else text(found))
    if as_csv:
        for one in found:
            note(one.said())

"""fastsgd extend"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json
from fastsgd.cli.progress import Progress


@click.command("extend")
@options.run_argument
@click.option("--replicates", type=click.IntRange(min=1), metavar="R", help="How many there shall be in all.")
@click.option(
    "--steps",
    type=options.Steps(),
    metavar="T[,T]...",
    help="Steps to record after the last one; the last is the new end.",
)
@options.code_option
@options.threads_option
@options.time_limit_option
@click.option("--force", is_flag=True, help="Begin again if another extension of RUN was begun.")
@options.json_option
def command(
    run: Path,
    replicates: int | None,
    steps: tuple[int, ...] | None,
    code: tuple[Path, ...],
    threads: int | None,
    time_limit: float | None,
    force: bool,
    as_json: bool,
) -> None:
    """Give a finished run more replicates or more steps.

    What the run has is not simulated again, and every dataset becomes that of the longer run from scratch, byte for
    byte. The work stands in RUN's name with .extending.h5 and replaces RUN when it is complete. Ctrl-C and --time-limit
    stop with exit code 75; the same command goes on.

    \b
    Examples:
      fastsgd extend runs/plateau.h5 --replicates 10000
      fastsgd extend runs/plateau.h5 --steps 20000
      fastsgd extend runs/plateau.h5 --steps 15000,20000 --replicates 4000 --time-limit 02:00:00
    """
    from fastsgd.analysis.describe import describe, describe_text
    from fastsgd.extending import extend

    with Progress() as progress:
        longer = extend(
            run, replicates=replicates, steps=steps, code=code, threads=threads, progress=progress.update,
            note=progress.note, time_limit=time_limit, force=force,
        )  # fmt: skip
    result_json(describe(longer)) if as_json else result(describe_text(longer))

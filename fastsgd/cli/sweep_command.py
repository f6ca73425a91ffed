"""fastsgd sweep"""

from pathlib import Path
from typing import Any

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json
from fastsgd.cli.progress import Progress


@click.command("sweep")
@options.spec_argument
@click.option("-o", "--output", type=options.PATH, metavar="DIR", help="The folder; default: SPEC without its suffix.")
@click.option(
    "--vary", metavar="KEY=V1,V2", multiple=True, callback=options.key_values,
    help="Sweep a dotted key, in the place of the spec's values or beside them; may be repeated.",
)  # fmt: skip
@options.set_option
@click.option(
    "--independent/--common", default=None,
    help="A seed of its own for each cell, or the same random numbers for all (default, unless the spec says so).",
)  # fmt: skip
@click.option("--shard", metavar="I/N", help="Run only every N-th cell, from the I-th on; shards may share the folder.")
@options.simulation_options
@options.json_option
def command(
    spec: Path,
    output: Path | None,
    vary: tuple[str, ...],
    overrides: tuple[str, ...],
    independent: bool | None,
    shard: str | None,
    scheduler: str | None,
    workers: int | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Run every cell of a grid, each as an ordinary run in one folder.

    The grid is the spec's [sweep] and what --vary adds. Finished cells are left as they are and unfinished ones go on;
    a cell that fails is reported, the others are run, and the exit code is 1. Ctrl-C stops with exit code 75 and loses
    nothing. `ratio` takes the folder.

    \b
    Examples:
      fastsgd sweep runs/plateau.toml --vary step.size=0.01,0.005,0.0025
      fastsgd sweep runs/plateau.toml -o study --vary step.size=0.01,0.005 --vary sampling.batch=1,8,64
      fastsgd sweep runs/plateau.toml --vary sampling.batch=1,2,4 --independent --time-limit 08:00:00
      fastsgd sweep runs/plateau.toml --vary step.size=0.01,0.005 --shard 2/8
      fastsgd sweep runs/plateau.toml --vary step.size=0.01,0.005 --scheduler tcp://head:8786
    """
    from fastsgd.analysis.sweeps import describe_sweep, sweep_text

    chosen = options.cluster(scheduler, workers)
    if chosen:
        from fastsgd.cluster import sweep
    else:
        from fastsgd.sweeps import sweep  # type: ignore[assignment]

    with Progress() as progress:
        folder = sweep(
            spec, output, **chosen, **how, vary=vary, overrides=overrides, independent=independent, shard=shard,
            progress=progress.sweep, note=progress.note,
        )  # fmt: skip
    result_json(describe_sweep(folder)) if as_json else result(sweep_text(folder))

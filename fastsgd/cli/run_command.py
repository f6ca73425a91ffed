"""fastsgd run"""

from pathlib import Path
from typing import Any

import click

from fastsgd.cli import options
from fastsgd.cli.output import result, result_json
from fastsgd.cli.progress import Progress


@click.command("run")
@options.spec_argument
@click.option("-o", "--output", type=options.PATH, metavar="FILE", help="The run file; default: beside SPEC, with .h5.")
@options.set_option
@click.option(
    "--shard", metavar="I/N", help="Simulate the I-th of N parts of the replicates; `fastsgd merge` puts them together."
)
@options.simulation_options
@options.json_option
def command(
    spec: Path,
    output: Path | None,
    overrides: tuple[str, ...],
    shard: str | None,
    scheduler: str | None,
    workers: int | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Simulate a spec and store the run.

    An unfinished run is taken up where it stopped, and a finished one is left as it is; the numbers are the same for
    any number of threads and any interruptions. Ctrl-C stops within seconds with exit code 75 and loses nothing.

    \b
    Examples:
      fastsgd run runs/plateau.toml
      fastsgd run runs/plateau.toml -o small.h5 --set replicates=200 --set step.size=0.005
      fastsgd run runs/plateau.toml --threads 8 --time-limit 01:30:00
      fastsgd run runs/plateau.toml --shard 2/8
      fastsgd run runs/plateau.toml --scheduler tcp://head:8786
    """
    from fastsgd.analysis.describe import describe, describe_text

    chosen: dict[str, Any] = options.cluster(scheduler, workers)
    if chosen and shard is not None:
        raise click.UsageError("--shard is for job arrays; a Dask cluster cuts the run by itself.")
    if chosen:
        from fastsgd.cluster import run as simulate
    else:
        from fastsgd.engine import run as simulate  # type: ignore[assignment]

        chosen = {"shard": shard}
    with Progress() as progress:
        stored = simulate(
            spec, output, **chosen, **how, overrides=overrides, progress=progress.update, note=progress.note
        )  # fmt: skip
    result_json(describe(stored)) if as_json else result(describe_text(stored))

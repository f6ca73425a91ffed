"""fastsgd reproduce"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json
from fastsgd.cli.progress import Progress
from fastsgd.errors import CheckFailed


@click.command("reproduce")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every experiment of the catalogue.")
@click.option("--list", "listed", is_flag=True, help="Say what there is, what it runs and how long it takes here.")
@click.option("--controls", is_flag=True, help="Show the negative controls and their power; without NAME of all.")
@click.option(
    "--scale", type=click.Choice(("quick", "paper", "large")), default="paper", show_default=True,
    help="Replicates: a tenth, as in the specs, or a hundred times as many.",
)  # fmt: skip
@click.option("-o", "--output", type=options.PATH, metavar="DIR", default="reproduction", show_default=True,
    help="Folder of runs, figures, results.json and report.html.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="In the place of the seeds of all specs.")
@click.option("--specs", type=options.PATH, metavar="DIR", help="Folder of the specs; default: the catalogue's.")
@options.threads_option
@options.time_limit_option
@click.option("--full", is_flag=True, help="Print every row.")
@options.json_option
def command(
    names: tuple[str, ...],
    everything: bool,
    listed: bool,
    controls: bool,
    scale: str,
    output: Path,
    seed: int | None,
    specs: Path | None,
    threads: int | None,
    time_limit: float | None,
    full: bool,
    as_json: bool,
) -> None:
    """Reproduce the paper: specs, verdicts, figures and a report.

    Runs are stored and used again; a finished reproduction only reads. Exit code 3 when a check fails: the table says
    which row contradicts its prediction, or which negative control was not rejected.

    \b
    Examples:
      fastsgd reproduce --list
      fastsgd reproduce plateau rate
      fastsgd reproduce --all --scale quick -o quick
      fastsgd reproduce --controls
    """
    from fastsgd.experiments.expected import listing, listing_text
    from fastsgd.experiments.runner import reproduce

    if listed:
        found = listing(names, scale, seed, specs)
        return result_json(found) if as_json else result(listing_text(found))
    if not names and not everything and not controls:
        raise click.UsageError("Give names of experiments, --all, --controls or --list.")
    with Progress() as progress:
        made = reproduce(
            () if everything else names, scale, output, seed=seed, specs=specs, threads=threads, time_limit=time_limit,
            progress=progress.runs, note=progress.note,
        )  # fmt: skip
    if as_json:
        result(made.to_json())
    else:
        result(made.controls_text() if controls else made.to_text(full))
    note(f"report: {output / 'report.html'}")
    if not made.consistent:
        raise CheckFailed("\n".join(made.failures))

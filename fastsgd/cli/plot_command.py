"""fastsgd plot"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result

KINDS = ("risk", "covariance", "step-size", "sweep")


@click.command("plot")
@options.runs_argument
@click.option(
    "-o", "--output", required=True, type=options.PATH, metavar="FIG",
    help="PNG, PDF or SVG by its suffix; without a suffix a PNG and a PDF.",
)  # fmt: skip
@click.option(
    "--kind", type=click.Choice(KINDS),
    help="Default: risk, of a sweep's folder sweep. risk: against the step, with ratios below. "
    "covariance: measured against predicted variances. "
    "step-size: the ratio of arms against their step size, extrapolated to 0. "
    "sweep: the risks of all cells against a swept key.",
)  # fmt: skip
@click.option(
    "--over", metavar="KEY", help="The swept key on the abscissa of a sweep; default: that with the most values."
)
@options.assume_option
def command(runs: tuple[Path, ...], output: Path, kind: str | None, over: str | None, assume: tuple[str, ...]) -> None:
    """Draw runs with their predictions.

    Lines are predictions, markers are measured, bars are two standard errors. Several runs stand side by side.

    \b
    Examples:
      fastsgd plot runs/plateau.h5 -o plateau.png
      fastsgd plot runs/plateau.h5 -o plateau --kind covariance
      fastsgd plot study -o study.pdf --over sampling.batch
      fastsgd plot runs/breast-cancer.h5 -o step-size.pdf --kind step-size
    """
    from fastsgd.figures import plot

    for path in plot(runs, output, kind=kind, assume=assume, over=over):
        result(str(path))

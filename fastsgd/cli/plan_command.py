"""fastsgd plan"""

from pathlib import Path
from typing import Any

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json


def numbers(kind: type) -> Any:
    """A callback that reads a comma-separated list of numbers > 0."""

    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Any, ...]:
        try:
            return tuple(kind(float(part)) for part in value.split(",")) if value else ()
        except (ValueError, OverflowError):
            raise click.BadParameter(f"{value!r} is no list of numbers; write for example 1,8,64", ctx, param) from None

    return read


def count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A callback that reads a whole number, 1e6 too."""
    try:
        number = float(value) if value is not None else None
        return None if number is None else int(number) if number == int(number) and 1 <= number <= 1e18 else 1 // 0
    except (ValueError, ZeroDivisionError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is no whole number from 1 to 1e18; write for example 1e6", ctx, param
        ) from None


@click.command("plan")
@options.spec_argument
@options.set_option
@click.option(
    "--budget", callback=count, metavar="N", help="Oracle calls b T of one replicate: plan batch and step size."
)
@click.option("--batches", callback=numbers(int), metavar="B1,B2,...", help="Batches to try; default: powers of two.")
@click.option("--steps", "--step-sizes", callback=numbers(float), metavar="E1,E2,...", help="Step sizes to try.")
@click.option("--machines", callback=count, metavar="M", help="Cost of the whole sweep on M machines like this one.")
@click.option("--cells", callback=count, metavar="N", help="Cells of the study; default: those of the spec's [sweep].")
@click.option("--pilot", type=click.IntRange(min=0), metavar="R",
    help="Replicates of each cell simulated to correct the risks of --budget; 0: none.  [default: what ten seconds allow]",
)  # fmt: skip
@click.option("--no-measure", is_flag=True, help="No time, memory and disk: nothing is simulated at all.")
@click.option("--full", is_flag=True, help="Print the standard error of every row.")
@click.option("-o", "--output", type=options.PATH, metavar="FIG", help="A figure: risk over batch and step size.")
@options.json_option
def command(
    spec: Path,
    overrides: tuple[str, ...],
    budget: int | None,
    batches: tuple[int, ...],
    steps: tuple[float, ...],
    machines: int | None,
    cells: int | None,
    pilot: int | None,
    no_measure: bool,
    full: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Plan a run, a budget or a study before simulating it.

    Time, memory and disk of running SPEC, from a measurement of its kernels of about a second, and the standard error
    that its replicates will give for every ratio. --budget N adds the predicted risk after N oracle calls for a grid of
    batches and step sizes: the best pair, how flat the optimum is, which batches are feasible; exact for linear
    problems, else corrected by some simulated cells, with its error. --machines M adds the cost of all cells of a
    sweep on M machines.

    \b
    Examples:
      fastsgd plan runs/plateau.toml
      fastsgd plan runs/plateau.toml --budget 1e5 --set start.value=1.0 -o budget.png
      fastsgd plan runs/breast-cancer.toml --budget 50000 --batches 1,8,64 --json
      fastsgd plan runs/plateau.toml --set replicates=1000000 --machines 100 --cells 1000
    """
    from fastsgd.planning import plan_study

    if output is not None and budget is None:
        raise click.UsageError("-o draws the plan of a budget: give --budget N too.")
    found = plan_study(
        spec, overrides=overrides, budget=budget, batches=batches, step_sizes=steps, machines=machines, cells=cells,
        measured=not no_measure, pilot=pilot,
    )  # fmt: skip
    result_json(found.as_dict()) if as_json else result(found.to_text(full))
    if output is not None:
        for path in found.plot(output):
            note(str(path))

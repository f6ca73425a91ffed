"""fastsgd estimate"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json

FAMILIES = ("linear", "logistic", "poisson", "probit", "huber")


@click.command("estimate")
@click.argument("data", type=options.PATH)
@click.option("--family", type=click.Choice(FAMILIES), required=True, help="The model of the target.")
@click.option("--target", default="y", show_default=True, metavar="NAME", help="Column or array to be predicted.")
@click.option("--weights", metavar="NAME", help="Column of sampling weights (any scale); errors are robust, as HC0.")
@click.option("--counts", metavar="NAME", help="Column that says how many equal rows a row stands for.")
@click.option("--drop", multiple=True, metavar="NAME", help="Column to leave out, numbers or not; repeatable.")
@click.option(
    "--ridge", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Penalty (ridge/2)|theta|^2."
)
@click.option("--threshold", type=click.FloatRange(min=0, min_open=True), metavar="C",
    help="Of huber: residuals beyond it count linearly.  [default: 1]",
)  # fmt: skip
@click.option(
    "--batch", "batches", type=click.IntRange(min=1), multiple=True, help="Step sizes for this batch; repeatable."
)
@click.option("--rank", type=click.IntRange(min=1), metavar="R", help="Also approximate G in a stream by rank R.")
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="B",
    help="Resamples for the errors.",
)
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True,
    help="Passes over the data within which the start should be forgotten.",
)  # fmt: skip
@click.option("--standardize/--as-is", default=True, show_default=True, help="Standardise the columns.")
@click.option("--intercept/--no-intercept", default=True, show_default=True, help="Add a column of ones.")
@click.option("--memory", type=click.IntRange(min=0), default=256, show_default=True, metavar="MB",
    help="Files with more numbers than this are read in chunks.",
)  # fmt: skip
@click.option("--spec", type=options.PATH, metavar="FILE", help="Write the suggested spec to FILE (TOML).")
@options.json_option
def command(
    data: Path,
    family: str,
    target: str,
    weights: str | None,
    counts: str | None,
    drop: tuple[str, ...],
    ridge: float,
    threshold: float | None,
    batches: tuple[int, ...],
    rank: int | None,
    bootstrap: int,
    epochs: float,
    standardize: bool,
    intercept: bool,
    memory: int,
    spec: Path | None,
    as_json: bool,
) -> None:
    """Fit a model to data and say which step sizes and batch suit it.

    Prints the optimum with robust (sandwich, HC0) standard errors, the geometry of SGD there with bootstrap errors, a
    range of step sizes for the suggested or the given batches, and a spec that is ready to run. DATA is CSV, NPZ or
    HDF5; a file larger than memory is read in chunks with the same result.

    \b
    Examples:
      fastsgd estimate runs/data/wdbc.csv --family logistic --target malignant --ridge 0.01
      fastsgd estimate big.h5 --family linear --target train/y --batch 32 --batch 256 --bootstrap 0
      fastsgd estimate prices.csv --family huber --threshold 1.345
      fastsgd estimate survey.csv --family logistic --target voted --weights w --drop id
      fastsgd estimate x.npz --family poisson --rank 10 --spec x.toml --json
    """
    from fastsgd.analysis.estimate import NO_SPEC, estimate

    if spec is not None and (spec.exists() or not spec.parent.is_dir()):
        raise click.UsageError(f"{spec} {'is there already' if spec.exists() else 'has no folder'}; give another FILE.")
    if spec is not None and (weights or counts or drop):
        raise click.UsageError(f"{NO_SPEC}, or leave out --spec.")
    found = estimate(
        data, family, target=target, weights=weights, counts=counts, drop=drop, ridge=ridge, threshold=threshold,
        batches=batches, rank=rank, bootstrap=bootstrap, epochs=epochs, standardize=standardize, intercept=intercept,
        in_memory=memory * 2**20,
    )  # fmt: skip
    result_json(found.as_dict()) if as_json else result(found.to_text())
    if spec is not None:
        spec.write_text(found.spec_toml(spec.parent), encoding="utf-8")
        note(f"{spec} is written; next: fastsgd run {spec}")

"""fastsgd predict"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json


@click.command("predict")
@options.source_argument
@options.set_option
@options.assume_option
@options.json_option
def command(source: Path, overrides: tuple[str, ...], assume: tuple[str, ...], as_json: bool) -> None:
    """Predict from a spec or a run: theory only.

    Nothing is simulated. The risk at each recorded step is exact for a quadratic problem and for least squares on a
    pool, whose noise depends on the state (transient, step size and sampling design included), and frozen-noise, the
    leading order in the step size, for a nonlinear one.

    \b
    Examples:
      fastsgd predict runs/plateau.toml
      fastsgd predict runs/plateau.toml --set step.size=0.005 --json
      fastsgd predict runs/plateau.h5 --assume sampling.batch=9
    """
    from fastsgd.analysis.predictions import predict, prediction_text

    prediction = predict(source, [*overrides, *assume])
    for line in prediction["notes"]:
        note(f"note: {line}")
    result_json(prediction) if as_json else result(prediction_text(prediction))

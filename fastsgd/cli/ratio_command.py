"""fastsgd ratio"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import note, result, result_json
from fastsgd.errors import CheckFailed


@click.command("ratio")
@options.runs_argument
@options.assume_option
@click.option("--full", is_flag=True, help="Print every row; the default is the risks and what sums them up.")
@options.json_option
@options.csv_option
def command(runs: tuple[Path, ...], assume: tuple[str, ...], full: bool, as_json: bool, as_csv: bool) -> None:
    """Compare a run with its predictions.

    Prints the measured value, its standard error, the prediction, their ratio and z, and a verdict: a simultaneous test
    of all rows with false alarm 1e-4. Exit code 3 when inconsistent. --assume predicts under an altered assumption: the
    negative control. Needs only the run file, which may be unfinished. Of a sweep's folder the finished cells are judged
    together, in one table.

    \b
    Examples:
      fastsgd ratio runs/plateau.h5
      fastsgd ratio runs/plateau.h5 --full
      fastsgd ratio runs/plateau.h5 --assume step.size=0.0103
      fastsgd ratio runs/plateau.h5 --assume problem.noise.kind=isotropic --json
      fastsgd ratio runs/*.h5 --csv > ratios.csv
      fastsgd ratio study
    """
    from fastsgd.analysis.ratios import ratio_of_runs
    from fastsgd.analysis.report import joint_csv, joint_dict, joint_text
    from fastsgd.analysis.sweeps import cells_text, expand, unfinished_note

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    for line in filter(None, map(unfinished_note, runs)):
        note(f"note: {line}")
    files = expand(runs)
    reports = ratio_of_runs(files, assume)
    if as_json:
        result_json(joint_dict(reports))
    elif as_csv:
        result(joint_csv(reports))
    else:
        result(joint_text(reports, full) if full or files == list(runs) else cells_text(reports))
    if as_csv or as_json:
        for line in (line for report in reports for line in report.notes):
            note(f"note: {line}")
    failed = [report.run for report in reports if report.inconsistent]
    if failed:
        raise CheckFailed(f"{', '.join(failed)}: inconsistent with the prediction")

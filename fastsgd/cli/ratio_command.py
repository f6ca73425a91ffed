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
    together, in one table; nonlinear cells that differ in step.size alone by their limit at step size 0.

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
    from fastsgd.analysis.sweep_ratio import sweep_ratio
    from fastsgd.analysis.sweeps import expand, unfinished_note

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    for line in filter(None, map(unfinished_note, runs)):
        note(f"note: {line}")
    files = expand(runs)
    if files != list(runs):
        found = sweep_ratio(files, assume)
        result_json(found.as_dict()) if as_json else result(found.to_csv() if as_csv else found.to_text(full))
        reports, failed = list(found.reports), found.rejected
    else:
        reports = ratio_of_runs(files, assume)
        if as_json:
            result_json(joint_dict(reports))
        else:
            result(joint_csv(reports) if as_csv else joint_text(reports, full))
        failed = [report.run for report in reports if report.inconsistent]
    if as_csv or as_json:
        for line in (line for report in reports for line in report.notes):
            note(f"note: {line}")
    if failed:
        raise CheckFailed(f"{', '.join(failed)}: inconsistent with the prediction")

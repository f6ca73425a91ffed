"""fastsgd export"""

from pathlib import Path

import click

from fastsgd.cli import options
from fastsgd.cli.output import result


@click.command("export")
@options.run_argument
@click.option(
    "--format", "kind", type=click.Choice(("netcdf", "zarr", "csv")), default="netcdf", show_default=True,
    help="netcdf and zarr: every number of the run. csv: the risk of each replicate at each recorded step.",
)  # fmt: skip
@click.option("-o", "--output", type=options.PATH, metavar="FILE", help="Default: RUN with .nc, .zarr or .csv.")
@click.option("--force", is_flag=True, help="Replace what is there.")
def command(run: Path, kind: str, output: Path | None, force: bool) -> None:
    """Write a run in another format.

    A run file is netCDF-4 already and opens in xarray, ncdump and h5dump as it is; this leaves out what only resumption
    needs, and the file needs no fastsgd. Of a sweep's
    folder the risks of all cells are written, with the swept keys as dimensions or columns.

    \b
    Examples:
      fastsgd export runs/plateau.h5
      fastsgd export runs/plateau.h5 --format zarr -o plateau.zarr
      fastsgd export study --format csv -o study.csv
    """
    from fastsgd.store.index import is_sweep

    if is_sweep(run):
        from fastsgd.analysis.sweep_data import export_table

        result(str(export_table(run, kind, output, force)))
        return
    from fastsgd.exporting import export

    result(str(export(run, output, format=kind, force=force)))

"""Arguments and options that commands share, and their types."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import click


class AnyPath(click.Path):
    """A path, there or not, that the system takes for one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The Path, or a usage error."""
        found = super().convert(value, param, ctx)
        try:
            os.lstat(found)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                self.fail(
                    f"{os.fspath(found)[:40]!r}... has {len(os.fspath(found))} characters, too many for a path",
                    param,
                    ctx,
                )
        except ValueError:
            self.fail(f"{os.fspath(found)!r} is no path; leave out the zero byte", param, ctx)
        return found


PATH = AnyPath(path_type=Path)


class Duration(click.ParamType):
    """HH:MM:SS, MM:SS or seconds, to seconds."""

    name = "HH:MM:SS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds > 0, or a usage error."""
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)", value.strip())
        seconds = 0.0
        if match:
            hours, minutes, rest = match.groups()
            seconds = 3600.0 * int(hours or 0) + 60.0 * int(minutes or 0) + float(rest)
        if seconds <= 0:
            self.fail(f"{value!r} is no duration > 0; write HH:MM:SS, such as 00:10:00 for ten minutes", param, ctx)
        return seconds


class Steps(click.ParamType):
    """Whole numbers > 0 with commas between, to a tuple."""

    name = "T[,T]..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, or a usage error."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\s*\d{1,18}\s*(,\s*\d{1,18}\s*)*", value):
            self.fail(f"{value!r} is no list of steps; write 20000 or 15000,20000", param, ctx)
        return tuple(int(part) for part in value.split(","))


def key_values(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Check that each value is KEY=VALUE."""
    for value in values:
        key, equals, _ = value.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{value!r} is not KEY=VALUE; write for example step.size=0.02", ctx, param)
    return values


spec_argument = click.argument("spec", type=PATH)
source_argument = click.argument("source", metavar="SPEC|RUN", type=PATH)
run_argument = click.argument("run", type=PATH)
runs_argument = click.argument("runs", metavar="RUN...", type=PATH, nargs=-1, required=True)

set_option = click.option(
    "--set", "overrides", metavar="KEY=VALUE", multiple=True, callback=key_values,
    help="Change one dotted key of the spec; may be repeated.",
)  # fmt: skip
assume_option = click.option(
    "--assume", metavar="KEY=VALUE", multiple=True, callback=key_values,
    help="Predict under an altered assumption; may be repeated. arms.NAME.KEY=VALUE alters one arm.",
)  # fmt: skip
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Default: the cores this process may use."
)
time_limit_option = click.option(
    "--time-limit", type=Duration(), help="Stop by then with exit code 75; run again to go on."
)


def simulation_options(command: Any) -> Any:
    """Where and how long to simulate: --scheduler, --workers, --threads, --time-limit, --force, --allow-unstable."""
    for option in (
        click.option(
            "--allow-unstable", is_flag=True, help="Run also at a step size at or above the largest stable one."
        ),
        click.option("--force", is_flag=True, help="Begin again: replace run files that are there."),
        time_limit_option,
        threads_option,
        click.option(
            "--workers", type=click.IntRange(min=1), metavar="N", help="Simulate on N Dask workers on this machine."
        ),
        click.option(
            "--scheduler", metavar="ADDRESS",
            help="Simulate on the workers of a Dask scheduler, such as tcp://host:8786.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def cluster(scheduler: str | None, workers: int | None) -> dict[str, Any]:
    """The cluster that was asked for, as arguments; empty for none. A usage error if there are two."""
    if scheduler is not None and workers is not None:
        raise click.UsageError("--scheduler and --workers exclude each other.")
    return {} if scheduler is None and workers is None else {"scheduler": scheduler, "workers": workers}


code_option = click.option(
    "--code", type=PATH, multiple=True, metavar="FILE",
    help="The Python file of a problem or design of your own; a run holds no code. Give it again for another file.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV.")

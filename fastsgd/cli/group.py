"""The group of commands. Their modules are imported only when called: `fastsgd --help` needs click alone."""

import importlib
from typing import Any

import click

from fastsgd import __version__
from fastsgd.cli.output import listen

COMMANDS = {
    "run": "Simulate a spec and store the run.",
    "predict": "Predict from a spec or a run: theory only.",
    "ratio": "Compare a run with its predictions.",
    "show": "Say what a run or a sweep is.",
    "sweep": "Run every cell of a grid, each as an ordinary run in one folder.",
    "reproduce": "Reproduce the paper: specs, verdicts, figures and a report.",
    "merge": "Put the shards of a run together.",
    "extend": "Give a finished run more replicates or more steps.",
    "replay": "Simulate one replicate of a run again, and compare.",
    "diff": "Show how two runs differ.",
    "verify": "Check run files for damage.",
    "export": "Write a run in another format.",
    "plot": "Draw runs with their predictions.",
    "estimate": "Fit a model to data and say which step sizes and batch suit it.",
    "plan": "Plan a run, a budget or a study before simulating it.",
}


LIBRARIES = ("numba", "llvmlite", "numpy", "scipy", "h5py", "pydantic", "matplotlib", "xarray", "distributed")


class LazyGroup(click.Group):
    """A click group that imports `fastsgd.cli.<name>_command` for a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        listen()
        command: click.Command = importlib.import_module(f"fastsgd.cli.{cmd_name}_command").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Name the commands there are when the given one is unknown."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Print the versions of what decides about numbers and files, without importing any of it."""
    if not value or ctx.resilient_parsing:
        return
    import platform
    from importlib import metadata

    click.echo(f"fastsgd, version {__version__}")
    click.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in LIBRARIES:
        try:
            click.echo(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            click.echo(f"{name} is not installed")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine; 1 failed; 2 bad usage or input; 3 a theory check failed; 75 stopped early, resumable.",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show versions.")
def app() -> None:
    """Does SGD behave as its sampling design predicts?

    A TOML spec says what to simulate, a run is one HDF5 file, and the ratio of measured to predicted comes with error
    bars and a verdict. Results go to stdout, progress and notes to stderr.

    \b
    Examples:
      fastsgd run runs/plateau.toml
      fastsgd ratio runs/plateau.h5
      fastsgd plot runs/plateau.h5 -o plateau.png
    """

"""From the process's arguments to its exit code; the one place where errors become lines on stderr."""

import gc
import os
import sys
import traceback
from typing import NoReturn

import click

from fastsgd.cli.group import app
from fastsgd.cli.output import silence_stdout
from fastsgd.errors import AtOnce, FastsgdError, InputError, StoppedEarly

# Threads without work give their cores away after some 0.05 ms, where the libraries' own limits are 5 and 18 ms.
PATIENCE = {"GOMP_SPINCOUNT": "5000", "OPENBLAS_THREAD_TIMEOUT": "18"}
AT_ONCE = 130  # as a shell says it of a process that SIGINT ended
USAGE, STOPPED, FAILED = InputError.exit_code, StoppedEarly.exit_code, FastsgdError.exit_code


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process: 0 fine, 1 failed, 2 bad input, 3 check failed, 75 stopped, 130 at once."""
    # What imports make lives to the end: looking through it for garbage took a third of a start and end.
    gc.set_threshold(300_000, 20, 100)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    code = exit_code(arguments)
    gc.freeze()
    end(code)


def end(code: int) -> NoReturn:
    """End the process; without ceremony if a user's function that was given up still runs, as its code must not go first."""
    patience = sys.modules.get("fastsgd.problems.patience")
    if patience is None or not patience.left_behind():
        sys.exit(code)
    flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code(arguments: list[str] | None = None) -> int:
    """Run the command line on `arguments` (default: of the process) and return its exit code; never raises."""
    try:
        code = app.main(args=arguments, prog_name="fastsgd", standalone_mode=False, auto_envvar_prefix="FASTSGD")
        flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        if AtOnce in (type(error), type(error.__cause__)):  # click makes an Abort of every KeyboardInterrupt
            return say(
                "interrupted at once; what was committed is kept, and the same command goes on from there", AT_ONCE
            )
        return say("interrupted", STOPPED)
    except BrokenPipeError:
        silence_stdout()
        return 0
    except FastsgdError as error:
        return say(error, error.exit_code)
    except Exception as error:
        return unexpected(error)


def flush() -> None:
    """Write out what stdout still holds; a reader that has gone away is no failure."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def say(error: BaseException | str, code: int) -> int:
    """Print each line of an error to stderr, and return `code`."""
    lines = error.lines if isinstance(error, InputError) else str(error).splitlines()
    for line in lines or ["stopped"]:
        click.echo(f"error: {line}", err=True)
    return code


def unexpected(error: Exception) -> int:
    """One line for what should not have happened; the traceback with FASTSGD_TRACEBACK=1."""
    if os.environ.get("FASTSGD_TRACEBACK", "") not in ("", "0"):
        traceback.print_exception(error)
        return FAILED
    text = " ".join(str(error).split())
    what = text if isinstance(error, (OSError, MemoryError)) and text else f"{type(error).__name__}: {text}"
    return say(f"{what} (FASTSGD_TRACEBACK=1 shows where)", FAILED)

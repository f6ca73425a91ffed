"""What can go wrong, as exceptions that carry the process's exit code."""

from collections.abc import Iterable


class FastsgdError(Exception):
    """Base of every error meant for a user; `str()` is what is shown, `exit_code` what the process ends with."""

    exit_code = 1


class RunError(FastsgdError):
    """A run could not go on (disk full, file locked by another process, ...)."""


class NotEnding(RunError):
    """A user's function has not ended in time; the thread that called it goes on until the process ends."""


class InputError(FastsgdError):
    """Bad usage or bad input: one line a problem, each saying what is wrong, what was given and what to do."""

    exit_code = 2

    def __init__(self, lines: Iterable[str] | str):
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class SpecError(InputError):
    """A spec with problems, all of them at once."""


class CheckFailed(FastsgdError):
    """A theory check rejected what was measured."""

    exit_code = 3


class StoppedEarly(FastsgdError):
    """Stopped by an interrupt or a time limit; what was done is on disk and the run can be resumed."""

    exit_code = 75


class AtOnce(KeyboardInterrupt):
    """A second SIGINT, while what the first one asked for was still under way."""

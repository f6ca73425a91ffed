"""What installed packages offer: problems and designs, by entry points."""

from __future__ import annotations

from typing import Any

from fastsgd.errors import InputError

GROUPS = {"problem": "fastsgd.problems", "design": "fastsgd.designs"}


def names(what: str) -> list[str]:
    """Names of the installed problems or designs (`what`: a key of `GROUPS`), sorted."""
    from importlib.metadata import entry_points

    return sorted({point.name for point in entry_points(group=GROUPS[what])})


def offered(what: str, name: str) -> Any:
    """The installed problem or design of a name, None if there is none. Raises InputError if it cannot be loaded."""
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUPS[what], name=name):
        try:
            return point.load()
        except Exception as error:
            raise InputError(
                f"loading {point.value} of the installed {what} {name} fails with "
                f"{type(error).__name__}: {' '.join(str(error).split())}; install it again"
            ) from None
    return None

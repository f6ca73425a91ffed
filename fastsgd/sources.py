"""The spec of a stored run, with the code of a user's own problem if its file is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastsgd.errors import InputError
from fastsgd.spec import STORED

if TYPE_CHECKING:
    from fastsgd import store
    from fastsgd.spec import Spec


def with_code(spec: Spec, run: store.Run, code: str | Path | None = None) -> Spec:
    """A spec that was rebuilt from a run; a problem of one's own also gets the Python file that the run was made with.

    Raises:
        InputError: `code` is missing, is another text than the run's, or is given for a problem that needs none.
    """
    if not spec.problem.kind.startswith(STORED):
        if code is not None:
            raise InputError(
                f"{run.path} is of problem.kind = {spec.problem.kind}, which needs no --code; leave it out"
            )
        return spec
    if code is None:
        from fastsgd.problems.own_code import at_hand

        if at_hand(spec):
            return spec  # an object of this process
        raise InputError(
            f"{run.path} is of a problem of one's own, whose code is not kept in a run; name its Python file with --code"
        )
    return spec.with_code(Path(code))

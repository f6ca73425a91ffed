"""The spec of a stored run, with the code of a user's own problem and designs if its files are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastsgd.errors import InputError
from fastsgd.spec import STORED

if TYPE_CHECKING:
    from fastsgd import store
    from fastsgd.spec import Spec


def with_code(spec: Spec, run: store.Run, code: str | Path | Sequence[str | Path] | None = None) -> Spec:
    """A spec that was rebuilt from a run; code of one's own is in the Python files that the run was made with.

    Raises:
        InputError: `code` is missing, has another text than the run's, or is given for a run that needs none.
    """
    needed = [name for name in spec.own_files() if name.startswith(STORED)]
    paths = [code] if isinstance(code, str | Path) else list(code or ())
    if not needed:
        if paths:
            raise InputError(
                f"{run.path} is of problem.kind = {spec.problem.kind}, which needs no --code; leave it out"
            )
        return spec
    spec = spec.with_code([Path(path) for path in paths])
    from fastsgd.problems import own_code, own_design_code

    for arm in spec.arm_specs().values():
        for what, of, word in (
            ("problem", own_code, arm.problem.kind),
            ("sampling design", own_design_code, arm.sampling.design),
        ):
            if word.startswith(STORED) and not of.at_hand(arm):  # or an object of this process
                raise InputError(
                    f"{run.path} is of a {what} of one's own, whose code is not kept in a run; name its Python file with --code"
                )
    return spec

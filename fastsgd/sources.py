"""The spec of a stored run, with the code of a user's own problem and designs if its files are named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastsgd.errors import InputError
from fastsgd.spec import STORED
from fastsgd.spec.identity import sha256

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
                told = f"{run.path} is of a {what} of one's own, whose code runs from a file alone; name it with --code"
                kept = f" (`fastsgd show {run.path} --code FOLDER` writes it as it was)" if code_of(run) else ""
                raise InputError(told + kept)
    return spec


def code_of(run: store.Run) -> list[dict[str, str]]:
    """Python files of a user's that a run keeps: name, sha256 and text of each. It never runs them."""
    found = run.provenance.get("parameters", {}).get("code", [])
    return [file for file in found if sha256(file["text"].encode()) == file["sha256"]]


def write_code(run: store.Run, folder: Path) -> list[Path]:
    """Write the code that a run keeps into a folder. InputError if it keeps none, or another file is in the way."""
    files = code_of(run)
    if not files:
        raise InputError(f"{run.path} keeps no code of one's own; the Python file that it was made with is needed")
    paths = [folder / Path(file["name"]).name for file in files]
    if len(set(paths)) < len(paths):
        paths = [folder / f"{file['sha256'][:12]}.py" for file in files]
    for path, file in zip(paths, files, strict=True):
        if path.exists() and path.read_bytes() != file["text"].encode():
            raise InputError(f"{path} is there already and has another text; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file["text"].encode())
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error.strerror}); name another folder") from None
    return paths

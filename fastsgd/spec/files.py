"""Arrays that a spec refers to: from disk, or attached (a spec rebuilt from a run has no files)."""

import hashlib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd.errors import InputError
from fastsgd.spec.data import DataTable, read_table

if TYPE_CHECKING:
    import numpy as np

__all__ = ["STORED", "DataTable", "Files", "digest", "read_matrix", "read_table", "why_unreadable"]

STORED = "sha256:"
"""Begins the name of an array that is attached, not on disk: `sha256:<hex>`, a pool `sha256:<hex of X>,<hex of y>`."""


def digest(array: "np.ndarray") -> str:
    """SHA-256 (hex) of a float64 array: its shape and its values, little-endian, C order, -0.0 taken as 0.0."""
    import numpy as np

    values = np.ascontiguousarray(array, dtype="<f8") + 0.0
    head = ",".join(str(n) for n in array.shape)
    return hashlib.sha256(f"f8[{head}]".encode() + values.tobytes()).hexdigest()


def why_unreadable(path: Path) -> str | None:
    """Why a path cannot be read as a file, with a remedy; None if it can.  E.g. `is not there; did you mean H.npy?`"""
    try:
        if path.is_dir():
            return "is a folder; give a file"
        with path.open("rb"):
            return None
    except FileNotFoundError:
        return f"is not there; {_nearby(path)}"
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        return f"cannot be read ({reason}); give a file that can be read"


def _nearby(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.name != path.name]
    except (OSError, ValueError):
        return f"nor is the folder {path.parent}"
    near = get_close_matches(path.name, names, 1)
    return f"did you mean {near[0]}?" if near else "names are relative to the folder of the spec"


def reason_of(error: Exception) -> str:
    """The message of an exception on one line, cut to 200 characters."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def read_matrix(path: Path) -> "np.ndarray":
    """One array of numbers of an NPY file as read-only float64.

    Raises:
        InputError: one line `<path> <what is wrong>; <remedy>`.
    """
    import numpy as np

    if reason := why_unreadable(path):
        raise InputError(f"{path} {reason}")
    remedy = "save one array of numbers with numpy.save"
    with path.open("rb") as stream:
        if stream.read(6) != b"\x93NUMPY":
            raise InputError(f"{path} is not an NPY file; {remedy}")
        stream.seek(0)
        try:
            array = np.load(stream, allow_pickle=False)
        except Exception as error:  # NumPy parses the header as Python: a damaged one raises anything
            raise InputError(f"{path} is not a whole NPY file of numbers ({reason_of(error)}); {remedy}") from None
    if array.dtype.kind not in "iuf" or array.dtype.names:
        raise InputError(f"{path} must hold real numbers, got dtype {array.dtype}; {remedy}")
    return frozen(array)


def frozen(array: Any) -> "np.ndarray":
    """A read-only, C-contiguous float64 copy without negative zeros."""
    import numpy as np

    copy = np.array(array, dtype=np.float64, order="C") + 0.0
    copy.setflags(write=False)
    return copy


class Files:
    """What a spec's file names mean: relative to `base`, each read once; `attached` arrays go by their hash.

    Reading once keeps the identity and the run on the same numbers when a file changes meanwhile.
    """

    def __init__(self, base: Path, attached: "dict[str, np.ndarray] | None" = None, columns: list[str] | None = None):
        self.base = base
        self.columns = columns
        self._arrays = {f"{STORED}{sha}": frozen(array) for sha, array in (attached or {}).items()}
        self._tables: dict[tuple[str, str], DataTable] = {}

    def __eq__(self, other: object) -> bool:
        """Where arrays come from is no part of what a spec says; its identity compares the numbers."""
        return isinstance(other, Files)

    __hash__ = None  # type: ignore[assignment]

    def path(self, name: str) -> Path:
        return self.base / name

    def array(self, name: str) -> "np.ndarray":
        """float64, read-only, of an NPY file or an attached array. Raises InputError with one line."""
        if name not in self._arrays:
            if name.startswith(STORED):
                raise InputError(f"{name} is an array kept in a run, which is not at hand; give the name of a file")
            self._arrays[name] = read_matrix(self.path(name))
        return self._arrays[name]

    def table(self, name: str, target: str) -> DataTable:
        """Features float64[n, p], target float64[n] and column names. Raises InputError with one line a problem."""
        if (name, target) not in self._tables:
            if name.startswith(STORED):
                x, y = (f"{STORED}{sha}" for sha in name.removeprefix(STORED).split(","))
                features = self.array(x)
                names = self.columns or [f"x{j + 1}" for j in range(features.shape[1])]
                self._tables[name, target] = DataTable(features, self.array(y), names)
            else:
                features, values, names = read_table(self.path(name), target)
                self._tables[name, target] = DataTable(frozen(features), frozen(values), names)
        return self._tables[name, target]

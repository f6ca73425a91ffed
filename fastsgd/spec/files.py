"""Arrays that a spec refers to: from disk, or attached (a spec rebuilt from a run has no files)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd.errors import InputError
from fastsgd.spec.data import DataTable, read_columns, read_table
from fastsgd.spec.reading import reason_of, why_unreadable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["STORED", "DataTable", "Files", "digest", "read_matrix", "read_table"]

STORED = "sha256:"
"""Begins the name of an array that is attached, not on disk: `sha256:<hex>`, a pool `sha256:<hex of X>,<hex of y>`."""


def digest(array: "np.ndarray") -> str:
    """SHA-256 (hex) of a float64 array: its shape and its values, little-endian, C order, -0.0 taken as 0.0."""
    import numpy as np

    values = np.ascontiguousarray(array, dtype="<f8") + 0.0
    head = ",".join(str(n) for n in array.shape)
    return hashlib.sha256(f"f8[{head}]".encode() + values.tobytes()).hexdigest()


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
        self._sources: dict[str, bytes] = {}
        self._places: dict[str, Path] = {}

    def __eq__(self, other: object) -> bool:
        """Where arrays come from is no part of what a spec says; its identity compares the numbers."""
        return isinstance(other, Files)

    __hash__ = None  # type: ignore[assignment]

    def path(self, name: str) -> Path:
        return self._places.get(name, self.base / name)

    def attach_sources(self, names: Sequence[str], paths: Sequence[Path]) -> None:
        """Let names that a stored run has mean the Python files at `paths`. InputError if one is another text."""
        hashes = {name.removeprefix(STORED).removesuffix(".py"): name for name in names}
        for path in paths:
            if reason := why_unreadable(path):
                raise InputError(f"{path} {reason}")
            text = path.read_bytes()
            found = hashlib.sha256(text).hexdigest()
            if found not in hashes:
                wanted = " and ".join(sha[:12] for sha in hashes)
                raise InputError(
                    f"{path} is not the code of this run: its SHA-256 is {found[:12]}, the run has {wanted}; "
                    "give the file as it was"
                )
            self._sources[hashes[found]], self._places[hashes[found]] = text, path

    def unpack(self, folder: Path) -> None:
        """Put the code that was read elsewhere into `folder`, and let its name mean that file."""
        for name, text in self._sources.items():
            path = folder / f"{hashlib.sha256(text).hexdigest()}.py"
            if not path.exists():
                path.write_bytes(text)
            self._places[name] = path

    def array(self, name: str) -> "np.ndarray":
        """float64, read-only, of an NPY file, all columns of a table, or an attached array. InputError with one line."""
        if name not in self._arrays:
            if name.startswith(STORED):
                raise InputError("it is the hash of an array kept in a run, not at hand here; give the name of a file")
            path = self.path(name)
            tabular = path.suffix.lower() in (".csv", ".npz", ".h5", ".hdf5")
            self._arrays[name] = frozen(read_columns(path)) if tabular else read_matrix(path)
        return self._arrays[name]

    def source(self, name: str) -> bytes:
        """The text of a Python file. Raises InputError with one line."""
        if name not in self._sources:
            if name.startswith(STORED):
                raise InputError("its code is not kept in a run, only its hash; give the spec that names the file")
            path = self.path(name)
            if reason := why_unreadable(path):
                raise InputError(f"{path} {reason}")
            self._sources[name] = path.read_bytes()
        return self._sources[name]

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

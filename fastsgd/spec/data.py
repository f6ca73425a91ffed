"""Reading a table of numbers: CSV, NPZ or HDF5 to features and a target."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsgd.errors import InputError
from fastsgd.spec.csv_table import read_csv, read_numbers
from fastsgd.spec.reading import reason_of, why_unreadable
from fastsgd.spec.table import DataTable, choose, fail

if TYPE_CHECKING:
    import h5py
    import numpy as np


def read_table(path: Path, target: str) -> DataTable:
    """Reads a pool. CSV: a header line, then numbers (lines before it that begin with # are skipped). NPZ and HDF5: the
    array `target` [n] and, as features, every other array [n] or [n, p] beside it.

    Raises:
        InputError: one line a problem (at most 6), each naming the file and the line, column or array.
    """
    if reason := why_unreadable(path):
        raise InputError(f"{path} {reason}")
    readers = {".csv": read_csv, ".npz": _read_npz, ".h5": _read_hdf5, ".hdf5": _read_hdf5}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must end in {', '.join(readers)}; convert it to one of them")
    return reader(path, target)


def read_columns(path: Path) -> "np.ndarray":
    """float64[n, columns]: every column of a CSV file with a header line, or every array [n] or [n, p] of an NPZ or HDF5
    file, side by side in the order of the file. Raises InputError as `read_table`.
    """
    if reason := why_unreadable(path):
        raise InputError(f"{path} {reason}")
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_numbers(path, None)[0]
    arrays = _npz_arrays(path) if suffix == ".npz" else _hdf5_arrays_of(path, "")
    return _stacked(_checked(path, arrays, _rows(arrays), None))


def _read_npz(path: Path, target: str) -> DataTable:
    return _assemble(path, target, _npz_arrays(path))


def _npz_arrays(path: Path) -> "dict[str, np.ndarray]":
    import numpy as np

    remedy = "save named arrays of numbers with numpy.savez"
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("a single array without a name")
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile and NumPy raise anything for a damaged file
        raise InputError(f"{path} is not a whole NPZ file ({reason_of(error)}); {remedy}") from None
    return arrays


def _read_hdf5(path: Path, target: str) -> DataTable:
    parent, _, leaf = target.strip("/").rpartition("/")
    return _assemble(path, leaf, _hdf5_arrays_of(path, parent))


def _hdf5_arrays_of(path: Path, parent: str) -> "dict[str, np.ndarray]":
    import h5py

    arrays, reason = None, None
    try:
        with h5py.File(path, "r") as file:
            group = file.get(parent) if parent else file
            if isinstance(group, h5py.Group):
                items = hdf5_arrays(group)
                if (reason := hollow(items)) is None:
                    arrays = {name: item[()] for name, item in items.items()}
    except Exception as error:  # the HDF5 library raises anything for a damaged file
        raise InputError(f"{path} is not a whole HDF5 file ({reason_of(error)}); give one with arrays") from None
    if reason is not None:
        raise InputError(f"{path} {reason}")
    if arrays is None:
        raise InputError(f'{path} has no group "{parent}" for the target; name an array of the file')
    return arrays


def hdf5_arrays(group: Any) -> "dict[str, h5py.Dataset]":
    """The arrays of an HDF5 group that are not the labels of a dimension; links to other files are not followed."""
    import h5py

    found = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            with suppress(KeyError, RuntimeError):  # a link to nothing, or to itself
                found[name] = group[name]
    return {name: item for name, item in found.items() if _is_data(item)}


def hollow(arrays: "dict[str, h5py.Dataset]") -> str | None:
    """What is wrong if an array has no values in the file, however large it says that it is; None if all have."""
    for name, item in arrays.items():
        if item.shape is None or (item.size and not item.is_virtual and not item.id.get_storage_size()):
            return f'must hold numbers, got nothing written in "{name}"; write it or remove it'
    return None


def _is_data(item: Any) -> bool:
    """Whether an HDF5 object is an array and not the labels of a dimension."""
    import h5py

    return isinstance(item, h5py.Dataset) and item.attrs.get("CLASS") != b"DIMENSION_SCALE"


def _columns(name: str, array: "np.ndarray") -> Iterator[str]:
    if array.ndim == 1:
        yield name
    else:
        yield from (f"{name}_{j + 1}" for j in range(array.shape[1]))


def _assemble(path: Path, target: str, arrays: "dict[str, np.ndarray]") -> DataTable:
    """Features and target of named arrays, after checking dtype, shape and finiteness of each."""
    import numpy as np

    choose(path, target, list(arrays), "array")
    n = np.shape(arrays[target])[0] if np.ndim(arrays[target]) else 0
    arrays = _checked(path, arrays, n, target)
    features = {name: array for name, array in arrays.items() if name != target}
    if not features:
        raise InputError(f'{path} has no array beside "{target}"; give at least one feature')
    names = [column for name, array in features.items() for column in _columns(name, array)]
    return DataTable(_stacked(features), np.asarray(arrays[target], dtype=np.float64), names)


def _rows(arrays: "dict[str, np.ndarray]") -> int:
    """Of the first array that has any."""
    import numpy as np

    return next((np.shape(array)[0] for array in arrays.values() if np.ndim(array)), 0)


def _stacked(arrays: "dict[str, np.ndarray]") -> "np.ndarray":
    import numpy as np

    return np.column_stack([np.asarray(array, dtype=np.float64) for array in arrays.values()])


def _checked(path: Path, arrays: "dict[str, np.ndarray]", n: int, target: str | None) -> "dict[str, np.ndarray]":
    """The arrays of an archive, if each is of finite numbers and has n rows; InputError otherwise."""
    import numpy as np

    problems: list[str] = []
    if not arrays:
        problems.append("has no arrays; write at least one")
    if target is not None and (np.ndim(arrays[target]) != 1 or n == 0):
        problems.append(
            f'must have a target "{target}" of shape [n], got shape {list(np.shape(arrays[target]))}; flatten it'
        )
    for name, array in arrays.items():
        if getattr(array, "dtype", np.dtype(object)).kind not in "iufb":
            problems.append(
                f'must hold numbers, got dtype {getattr(array, "dtype", "?")} in "{name}"; remove or code it'
            )
        elif array.ndim not in (1, 2) or (n and array.shape[0] != n) or array.size == 0:
            if name != target:
                problems.append(f'must hold {n} rows in "{name}", got shape {list(array.shape)}; make it [n] or [n, p]')
        elif not np.isfinite(array).all():
            at = [int(k) + 1 for k in np.argwhere(~np.isfinite(array))[0]]
            value = array[tuple(k - 1 for k in at)]
            problems.append(f'must hold finite numbers, got {value} in "{name}" at row {at[0]}; remove or fill the row')
    fail(path, problems)
    return arrays

"""Opens a run file for reading and finds the place of every dataset, trusting nothing that it reads."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastsgd.errors import InputError
from fastsgd.store.format import FORMAT, FORMAT_VERSION, LAYOUT, RECORDS
from fastsgd.store.layout import Sizes
from fastsgd.store.raw import Extent, RawFile
from fastsgd.store.record import Record, valid_records

DOCUMENT_LIMIT = 1 << 30
LENGTHS = ("steps", "replicates", "first_replicate", "trajectories", "wave", "block", "levels")


@dataclass(frozen=True)
class Structure:
    """What never changes in a run file.

    Attributes:
        sizes: lengths and names.
        kinds: dataset -> kind; extents: dataset -> place; by_arm: datasets with a leading arm axis.
        dims: dataset -> names of its axes.
        attrs: attributes of the root. end: bytes of the file that HDF5 knows of.
    """

    sizes: Sizes
    kinds: dict[str, str]
    extents: dict[str, Extent]
    by_arm: frozenset[str]
    attrs: dict[str, Any]
    end: int
    dims: dict[str, tuple[str, ...]]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The HDF5 file, open for reading without a lock; nothing that fails inside shows as more than one line.

    Raises:
        InputError: no such file, not a run of fastsgd, truncated, damaged, or of another format version.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give a run file")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a pipe, socket or device; give a run file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror or error}") from error
    try:
        with _open(path) as file:
            _check_version(path, file)
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{path} is not a readable run file (foreign, truncated or damaged): {text}") from error


def _open(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        # This process has it open already, with locks (xarray does so): HDF5 wants the same of everybody.
        if "locking flag" in str(error):
            return h5py.File(path, "r")
        raise


def structure(path: Path, file: Any) -> Structure:
    """Sizes and places, each checked against the file."""
    import h5py

    layout = json.loads(text(file, LAYOUT))
    sizes = Sizes(
        arms=tuple(layout["arms"]), with_arms=layout["with_arms"], coordinates=tuple(layout["coordinates"]),
        spans=_spans(layout), columns=int(layout.get("columns", 0)), **{key: int(layout[key]) for key in LENGTHS},
    )  # fmt: skip
    on_disk = path.stat().st_size
    kinds, extents = {}, {}
    for name, what in layout["datasets"].items():
        dataset = _plain(file, name)
        shape, dtype = tuple(int(n) for n in what["shape"]), np.dtype(what["dtype"])
        extent = Extent(h5py.h5d.DatasetID.get_offset(dataset.id) or 0, shape, dtype)
        if dataset.shape != shape or dataset.dtype != dtype or (extent.nbytes and not 0 < extent.offset < on_disk):
            raise ValueError(f"dataset {name} is not as the layout says")
        if extent.end > on_disk:
            raise ValueError(f"dataset {name} ends after the end of the file")
        kinds[name], extents[name] = what["kind"], extent
    if RECORDS not in extents or extents[RECORDS].shape[:1] != (2,) or len(extents[RECORDS].shape) != 2:
        raise ValueError("no commit records")
    attrs = {name: _value(file.attrs[name]) for name in file.attrs if name not in ("spec",)}
    dims = {name: tuple(str(dim) for dim in what["dims"]) for name, what in layout["datasets"].items()}
    if any(len(dims[name]) != len(extents[name].shape) for name in dims):
        raise ValueError("the layout names other axes than the datasets have")
    by_arm = frozenset(name for name in dims if dims[name][:1] == ("arm",))
    return Structure(sizes, kinds, extents, by_arm, attrs, file.id.get_filesize(), dims)


def _spans(layout: Mapping[str, Any]) -> tuple[tuple[int, int], ...] | None:
    if "spans" not in layout:
        return None
    spans = tuple((int(first), int(count)) for first, count in layout["spans"])
    if sum(count for _, count in spans) != layout["replicates"] or any(count < 1 for _, count in spans):
        raise ValueError("the spans do not add up to the rows")
    return spans


def records(file: RawFile, extents: Mapping[str, Extent]) -> list[Record]:
    """The valid commit records, the newest first.

    Read past HDF5, whose buffers can be older than the file when this process also has it open otherwise.

    Raises:
        InputError: there is none.
    """
    found = valid_records([file.read(extents[RECORDS].at(row)).tobytes() for row in (0, 1)])
    if not found:
        raise InputError(f"{file.path} is damaged: no valid commit record")
    return found


def text(file: Any, name: str) -> str:
    """A text dataset of fixed length."""
    dataset = _plain(file, name)
    if dataset.shape != () or dataset.dtype.kind != "S" or dataset.dtype.itemsize > DOCUMENT_LIMIT:
        raise ValueError(f"{name} is not a text")
    return bytes(dataset[()]).decode()


def _plain(file: Any, name: str) -> Any:
    """A dataset of this very file: no links to other files, no filters, no external storage."""
    import h5py

    parts = name.split("/")
    for i in range(1, len(parts) + 1):
        if not isinstance(file.get("/".join(parts[:i]), getlink=True), h5py.HardLink):
            raise ValueError(f"{name} is a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is not a dataset")
    plist = dataset.id.get_create_plist()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or plist.get_nfilters():
        raise ValueError(f"dataset {name} is not contiguous")
    return dataset


def _check_version(path: Path, file: Any) -> None:
    found = _value(file.attrs["format"]) if "format" in file.attrs else None
    if found != FORMAT:
        raise InputError(f"{path} is HDF5 but not a run of fastsgd")
    version = _value(file.attrs["format_version"]) if "format_version" in file.attrs else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version}, this fastsgd reads {FORMAT_VERSION}; use the fastsgd that wrote it"
        )


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value

"""Makes the HDF5 structure of a run file: contiguous datasets in their places, dimension scales, attributes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastsgd.store.format import LIBVER, PAGE
from fastsgd.store.layout import Variable
from fastsgd.store.memory import SparseFile
from fastsgd.store.raw import Extent

DIMENSION_ONLY = "This is a netCDF dimension but not a netCDF variable. %10d"


KEPT = 16


@dataclass(frozen=True)
class Template:
    """A structure made before: its pages, and where its datasets and texts are."""

    pages: dict[int, bytes]
    size: int
    extents: dict[str, Extent]
    texts: dict[str, int]


# Runs of one kind differ in texts and numbers only; HDF5 takes ten times as long to make a structure as to copy one.
_templates: dict[Any, Template] = {}


def build(
    variables: Sequence[Variable], attrs: Mapping[str, str | int], documents: Mapping[str, str]
) -> tuple[SparseFile, dict[str, Extent]]:
    """The structure and the texts, in memory; numbers are left to the caller, who gets the place of each dataset.

    Args:
        attrs: attributes of the root.
        documents: JSON texts, stored as scalar strings of fixed length.
    """
    key = _key(variables, attrs, documents)
    known = _templates.pop(key, None)
    if known is not None:
        _templates[key] = known
        return _copied(known, attrs, documents), dict(known.extents)
    memory, extents, texts = _built(variables, attrs, documents)
    if len(_templates) >= KEPT:
        del _templates[next(iter(_templates))]
    pages = {number: bytes(page) for number, page in memory.pages.items()}
    _templates[key] = Template(pages, memory.size, dict(extents), texts)
    return memory, extents


def _key(variables: Sequence[Variable], attrs: Mapping[str, str | int], documents: Mapping[str, str]) -> Any:
    """Everything that the structure depends on: of texts their lengths only."""
    parts = tuple(
        (v.name, v.shape, v.dtype, v.dims, v.kind, v.scale, repr(sorted(v.attrs.items())),
         tuple(v.data) if v.dtype == "str" else None)
        for v in variables
    )  # fmt: skip
    texts = tuple((name, len(text.encode())) for name, text in documents.items())
    return parts, tuple((n, len(v.encode()) if isinstance(v, str) else (v,)) for n, v in attrs.items()), texts


def _copied(known: Template, attrs: Mapping[str, str | int], documents: Mapping[str, str]) -> SparseFile:
    """A structure with other texts of the same lengths; the bytes are those of `_built`."""
    import h5py

    memory = SparseFile()
    memory.pages = {number: bytearray(page) for number, page in known.pages.items()}
    memory.size = known.size
    with h5py.File(memory, "r+", libver=LIBVER) as file:  # HDF5 brings the checksum of the header up to date
        for name, value in attrs.items():
            if isinstance(value, str):
                data = value.encode()
                attribute = h5py.h5a.open(file.id, name.encode())
                attribute.write(np.array(data, f"S{max(1, len(data))}"), attribute.get_type())
    for name, text in documents.items():
        memory.seek(known.texts[name])
        memory.write(text.encode())
    return memory


def _built(
    variables: Sequence[Variable], attrs: Mapping[str, str | int], documents: Mapping[str, str]
) -> tuple[SparseFile, dict[str, Extent], dict[str, int]]:
    import h5py

    memory = SparseFile()
    with h5py.File(
        memory, "w", libver=LIBVER, track_order=True, alignment_threshold=PAGE, alignment_interval=PAGE
    ) as file:
        for name, value in attrs.items():
            _set_attribute(file, name, value)
        extents = _datasets(file, variables)
        texts = {name: _text(file, name, text) for name, text in documents.items()}
    return memory, extents, texts


def _datasets(file: Any, variables: Sequence[Variable]) -> dict[str, Extent]:
    import h5py

    scales: dict[tuple[str, str], Any] = {}
    made = []
    for v in sorted(variables, key=lambda v: not v.scale):
        dataset = _dataset(file, v)
        made.append((v, dataset))
        if v.scale:
            dataset.make_scale(v.name)
            scales["", v.name] = dataset
    for v, dataset in made:
        if not v.scale:
            for axis, (dim, length) in enumerate(zip(v.dims, v.shape, strict=True)):
                group = v.name.rpartition("/")[0]
                if (group, dim) not in scales:
                    scales[group, dim] = _dimension(file, f"{group}/{dim}".lstrip("/"), length)
                dataset.dims[axis].attach_scale(scales[group, dim])
        for name, value in v.attrs.items():
            _set_attribute(dataset, name, value)
    file.flush()
    return {
        v.name: Extent(h5py.h5d.DatasetID.get_offset(dataset.id), v.shape, np.dtype(v.dtype))
        for v, dataset in made
        if v.dtype != "str"
    }


def _dataset(file: Any, v: Variable) -> Any:
    import h5py

    if v.dtype == "str":
        dtype = h5py.string_dtype()
        return file.create_dataset(v.name, data=np.array(v.data, dtype=object), dtype=dtype, track_times=False)
    plist = _properties()
    fill = v.fill
    if isinstance(fill, float):
        plist.set_fill_value(np.array(fill, v.dtype))
    return _low_level(file, v.name, h5py.h5t.py_create(np.dtype(v.dtype)), v.shape, plist)


def _properties() -> Any:
    import h5py

    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    # The fill is written by us: a full disk is then an error of a plain write instead of one inside HDF5.
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)
    return plist


def _low_level(file: Any, name: str, dtype: Any, shape: tuple[int, ...], plist: Any) -> Any:
    import h5py

    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), dtype, space, dcpl=plist, lcpl=links))


def _dimension(file: Any, name: str, length: int) -> Any:
    """A dimension without values: a scale whose space is never taken."""
    import h5py

    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)
    scale = _low_level(file, name, h5py.h5t.py_create(np.dtype(">f4")), (length,), plist)
    scale.make_scale(DIMENSION_ONLY % length)
    return scale


def _text(file: Any, name: str, text: str) -> int:
    """Stores a text; returns its place in the file."""
    import h5py

    data = text.encode()
    kind = h5py.string_dtype("utf-8", max(1, len(data)))
    dataset = _low_level(file, name, h5py.h5t.py_create(kind, logical=True), (), _properties())
    dataset[()] = np.array(data, kind)
    return int(h5py.h5d.DatasetID.get_offset(dataset.id))


def _set_attribute(place: Any, name: str, value: Any) -> None:
    import h5py

    if isinstance(value, str):
        data = value.encode()
        # Fixed length: variable strings live in a heap that has no checksum.
        place.attrs.create(name, np.array(data, h5py.string_dtype("utf-8", max(1, len(data)))))
    else:
        place.attrs.create(name, value)


def text_of(value: Any) -> str:
    """Canonical JSON text: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

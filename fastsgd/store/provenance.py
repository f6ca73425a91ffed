"""Where a run came from, after tskit's provenance schema: software, parameters, environment, resources."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA_VERSION = "1.0.0"
SCHEMA_FILE = Path(__file__).with_name("provenance.schema.json")
LIBRARIES = ("numba", "llvmlite", "numpy", "scipy", "h5py", "pydantic")
# Instruction sets that the kernels or NumPy choose by.
FEATURES = ("sse2", "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512dq", "avx512vl", "avx512bw", "asimd", "sve")
TEXT_LIMIT = 16_000


def collect(
    spec: Any,
    command: Sequence[str] | None = None,
    *,
    threads: int | None = None,
    threading_layer: str | None = None,
    resources: Mapping[str, float] | None = None,
    code: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """A provenance document, valid after provenance.schema.json.

    Nothing in it depends on the time, so that two runs of one command on one machine have the same.

    Args:
        spec: has document() and seed; a long document is named by its identity only, it is in the file anyway.
        command: the command line; default sys.argv.
        threads: threads of the kernels. threading_layer: Numba's.
        resources: further numbers, as memory or time.
        code: Python files of a user's, each with name, sha256 and text.
    """
    document = spec.document()
    if len(str(document)) > TEXT_LIMIT:
        document = {"identity": spec.identity()}
    line = [str(part) for part in (sys.argv if command is None else command)]
    if len(str(line)) > TEXT_LIMIT:
        line = [*line[:20], "..."]
    return {
        "schema_version": SCHEMA_VERSION,
        "software": {"name": "fastsgd", "version": _version("fastsgd")},
        "parameters": {
            "command": line, "spec": document, "seed": spec.seed, **({"code": [dict(file) for file in code]} if code else {}),
        },
        "environment": {
            "os": {
                "system": platform.system(), "release": platform.release(), "version": platform.version(),
                "machine": platform.machine(), "node": platform.node(),
            },
            "python": {"implementation": platform.python_implementation(), "version": platform.python_version()},
            "cpu": _cpu(),
            "libraries": {**{name: {"version": _version(name)} for name in LIBRARIES}, "hdf5": {"version": _hdf5()}},
            "threads": threads,
            "threading_layer": threading_layer,
        },
        "resources": {"cores": _cores(), "memory": _memory(), **(resources or {})},
    }  # fmt: skip


@cache
def _version(name: str) -> str:
    loaded = getattr(sys.modules.get(name), "__version__", None)
    if isinstance(loaded, str):
        return loaded  # the metadata of a package takes 2 ms to read
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _hdf5() -> str:
    import h5py

    return str(h5py.version.hdf5_version)


def _cpu() -> dict[str, Any]:
    model, flags = "", set()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    model = value.strip()
                elif key.strip().lower() in ("flags", "features"):
                    flags = set(value.split())
                    break
    except OSError:
        pass
    model = model or platform.processor() or platform.machine()
    return {"model": model, "features": [name for name in FEATURES if name in flags]}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> int | None:
    """Bytes of memory of this machine, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None

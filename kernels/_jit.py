"""The one place that owns Numba's options: compile flags, cache folder, lane width, threads.

`jit` compiles a helper or a sequential kernel, `pjit` a kernel with `prange`. Fast-math is off and stays off:
every fused operation in a kernel is an explicit `fma`, which is what makes the bits the same on every CPU.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numba.extending
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps


def _cores() -> int:
    """Cores this process may use: affinity and the scheduler's allotment, not the machine's count."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(allotted)) if allotted.isdigit() and int(allotted) > 0 else cores


CORES = _cores()


def _cache_folder() -> str:
    """Folder for compiled code, keyed by the kernels' sources: Numba's own cache misses changes in other files."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    digest.update(f"{numba.__version__} {LANES}".encode())
    name = digest.hexdigest()[:16]
    home = os.environ.get("FASTSGD_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    for base in (Path(home) / "fastsgd", Path(tempfile.gettempdir()) / f"fastsgd-{os.getuid()}"):
        folder = base / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    return ""


def _target_has(feature: str) -> bool:
    """True if the CPU that Numba compiles for (the host unless NUMBA_CPU_FEATURES says otherwise) has a feature."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(llvm.get_host_cpu_features().get(feature, False))


# Replicates side by side in one vector. Two 512-bit or two 256-bit registers an operation hide the latency of a
# fused multiply-add; no result depends on the width.
AVX512 = _target_has("avx512f")
LANES = int(os.environ.get("FASTSGD_LANES", "0")) or (16 if AVX512 else 8)
CACHE_FOLDER = _cache_folder()

_OPTIONS = {"nogil": True, "fastmath": False, "error_model": "numpy", "boundscheck": False, "no_cfunc_wrapper": True}
# What compiled code alone calls needs no entry for Python, which takes longer to compile than a small function itself.
_INNER = {**_OPTIONS, "no_cpython_wrapper": True}


class _Cache(FunctionCache):
    """Numba's cache, without importing for code that is compiled already all that a compiler must know: 0.3 s of a start."""

    def load_overload(self, sig, target_context):
        rtsys.initialize(target_context)  # memory of arrays that a kernel makes
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def _index_key(self, sig, codegen):
        # Compiled functions in a closure would be pickled, each time to other bytes. The folder stands for their sources.
        if not any(hasattr(cell.cell_contents, "py_func") for cell in self._py_func.__closure__ or ()):
            return super()._index_key(sig, codegen)
        return sig, codegen.magic_tuple(), hashlib.sha256(dumps(_told(self._py_func))).hexdigest()


def _told(function):
    """What tells a function of the kernels from others made at the same place: its name, and what its closure holds."""
    held = (cell.cell_contents for cell in function.__closure__ or ())
    return function.__module__, function.__qualname__, *(_told(x.py_func) if hasattr(x, "py_func") else x for x in held)


def named_after(part, function):
    """The function that was made of a part and others, with a name, so a file of the cache, of the part's module."""
    function.__qualname__ = f"{part.py_func.__module__.rpartition('.')[2]}.{function.__name__}"
    return function


def _compile(function, **options):
    dispatcher = numba.njit(**{**_OPTIONS, **options})(function)
    if CACHE_FOLDER:
        # The folder is read once, when caching is switched on, so the user's own setting is left as it was.
        theirs, config.CACHE_DIR = config.CACHE_DIR, CACHE_FOLDER
        try:
            dispatcher._cache = _Cache(function)
        finally:
            config.CACHE_DIR = theirs
    return dispatcher


def jit(function):
    """Compile a sequential function."""
    return _compile(function)


def leaf(function):
    """Compile a sequential function, for compiled code, that neither makes nor returns arrays: references are not counted.

    A count is an atomic operation of 5 ns, and every array that goes through a call costs two.
    """
    return _compile(function, **_INNER, _nrt=False)


def inline_entered(function):
    """An `inline` that Python may call too."""
    return _compile(function, forceinline=True, _nrt=False)


def inner(function):
    """Compile a sequential function that compiled code alone calls, or `parallel.call` by its address."""
    return _compile(function, **_INNER)


def inline(function):
    """Compile a small function, a leaf, that must melt into its caller (vectors stay in registers)."""
    return numba.njit(**_INNER, forceinline=True, _nrt=False)(function)


def body(function):
    """Compile the body of a kernel, or a user's function, which makes arrays and must melt into its kernel."""
    return numba.njit(**_INNER, forceinline=True)(function)


def body_entered(function):
    """A `body` that Python may call too."""
    return _compile(function, forceinline=True)


def uncached(function):
    """Compile a function that is not kept on disk: one that a program made."""
    return numba.njit(**_OPTIONS)(function)


def overload(front):
    """Give a plain Python function its compiled form by the types of its arguments; it melts into its caller."""
    return numba.extending.overload(front, jit_options={**_INNER, "forceinline": True})


def pjit(function):
    """Compile a kernel that shares its work among threads with `prange`."""
    return _compile(function, parallel=True)

"""Compile the C peers with gcc when they are wanted, and load them with ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.core import Unavailable

FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fopenmp", "-shared", "-fPIC", "-std=gnu11")
FOLDER = Path(__file__).parent / "c"


def has_avx512() -> bool:
    """True if this CPU has what the tuned C uses."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return all(f" {flag} " in text.replace("\n", " \n") for flag in ("avx512f", "avx512bw", "avx512dq", "avx512vl"))


def library(name: str, tuned: bool = True) -> ctypes.CDLL:
    """The shared library made of c/<name>.c; it is kept in the temporary folder, keyed by sources, compiler and CPU."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise Unavailable("no gcc")
    if tuned and not has_avx512():
        raise Unavailable("no AVX-512")
    key = hashlib.sha256(
        subprocess.run([gcc, "-v", "-Q", "--help=target", "-march=native"], capture_output=True).stdout
    )
    for source in sorted(FOLDER.iterdir()):
        key.update(source.read_bytes())
    key.update(" ".join(FLAGS).encode())
    folder = Path(tempfile.gettempdir()) / f"fastsgd-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{name}-{key.hexdigest()[:16]}.so"
    if not target.exists():
        scratch = target.with_suffix(f".{os.getpid()}")
        command = [gcc, *FLAGS, "-o", str(scratch), str(FOLDER / f"{name}.c"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"gcc failed: {done.stderr.strip().splitlines()[0] if done.stderr else done.returncode}")
        scratch.replace(target)
    return ctypes.CDLL(str(target))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Address of an array for C; the array lives as long as the address."""
    assert array.flags.c_contiguous
    return array.ctypes.data_as(ctypes.c_void_p)


u64 = ctypes.c_uint64
u32 = ctypes.c_uint32
i64 = ctypes.c_long
f64 = ctypes.c_double

"""Standard normals, one core: 4096 of each of 16 replicates (64 Ki numbers, 512 KiB) a call."""

from __future__ import annotations

import numpy as np

from benchmarks import native
from benchmarks.core import OURS, SINGLE, Case, Peer, Unavailable, Work, require

TITLE = "Standard normals, one core"
UNIT = "normal"
COUNT = 4096
SEED, REPLICATE, STEP = 20261123, 64, 7


def cases(quick: bool, threads: int) -> list[Case]:
    return [{"label": "float64", "count": 1024 if quick else COUNT}]


def _ours(case: Case) -> Work:
    from fastsgd.kernels._jit import LANES
    from fastsgd.kernels.normal import normals

    count = case["count"]
    out = np.zeros(count * LANES)
    arguments = [np.uint64(x) for x in (SEED, 0, REPLICATE, STEP, count)]
    normals(*arguments, out)
    bits = out.reshape(count, LANES)[:, :8].copy()
    return Work(lambda: normals(*arguments, out), out.size, bits)


def _single(case: Case) -> Work:
    from fastsgd.kernels._jit import LANES
    from fastsgd.kernels.normal_single import normals_single
    from fastsgd.kernels.philox import PURPOSE_SINGLE

    out = np.zeros(case["count"] * LANES)
    arguments = [np.uint64(x) for x in (SEED, PURPOSE_SINGLE, REPLICATE, STEP, case["count"])]
    return Work(lambda: normals_single(*arguments, out), out.size)


def _tuned(case: Case) -> Work:
    library = native.library("normals")
    lanes, count = library.lanes(), case["count"]
    out = np.zeros(count * lanes)
    arguments = [native.u64(x) for x in (SEED, 0, REPLICATE, STEP)]
    call = lambda: library.normals(*arguments, native.i64(count), native.pointer(out))  # noqa: E731
    call()
    return Work(call, out.size, out.reshape(count, lanes)[:, :8].copy())


def _numpy(generator: str):
    def make(case: Case) -> Work:
        draw = np.random.Generator(getattr(np.random, generator)(1)).standard_normal
        out = np.empty(case["count"] * 16)
        return Work(lambda: draw(out=out), out.size)

    return make


def _mkl(method: str):
    def make(case: Case) -> Work:
        mkl_random = require("mkl_random")
        try:
            state = getattr(mkl_random, "MKLRandomState", mkl_random.RandomState)(1, brng="SFMT19937")
        except Exception as error:
            raise Unavailable(f"mkl_random: {error}") from error
        size = case["count"] * 16
        return Work(lambda: state.standard_normal(size, method=method), size)

    return make


PEERS = (
    Peer(OURS, OURS, _ours),
    Peer("C AVX-512", "c", _tuned),
    Peer(SINGLE, OURS, _single),
    Peer("NumPy SFC64", "numpy", _numpy("SFC64")),
    Peer("NumPy PCG64", "numpy", _numpy("PCG64")),
    Peer("NumPy Philox", "numpy", _numpy("Philox")),
    Peer("mkl_random ICDF", "mkl", _mkl("ICDF"), {"MKL_NUM_THREADS": "1"}),
    Peer("mkl_random BoxMuller2", "mkl", _mkl("BoxMuller2"), {"MKL_NUM_THREADS": "1"}),
)

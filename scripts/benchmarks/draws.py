"""Mini-batches of b out of n without replacement, one core; every batch is a draw of its own."""

from __future__ import annotations

import numpy as np

from benchmarks import native
from benchmarks.core import OURS, Case, Peer, Work, require

TITLE = "Draws without replacement, one core"
UNIT = "index"
SIZES = ((1_000, 1), (1_000, 32), (100_000, 32), (100_000, 1024), (1_000_000, 64), (10_000, 5_000))
SEED, REPLICATE, STEP = 5, 7, 100


def cases(quick: bool, threads: int) -> list[Case]:
    sizes = SIZES[1:4] if quick else SIZES
    return [
        {"label": f"n = {n:,}, b = {b:,}", "n": n, "b": b, "total": 400_000 if quick else 1_600_000} for n, b in sizes
    ]


def _shape(case: Case) -> tuple[int, int, int]:
    """Replicates, steps and batch size of one call."""
    steps = max(1, min(4096, case["total"] // (2 * case["b"])))
    return max(1, case["total"] // (steps * case["b"])), steps, case["b"]


def _ours(case: Case) -> Work:
    from fastsgd.kernels.draws import WITHOUT_REPLACEMENT, draw_batches

    out = np.zeros(_shape(case), np.uint32)
    sizes, address = (np.uint64(case["n"]), np.uint64(case["b"])), [np.uint64(x) for x in (SEED, REPLICATE, STEP)]
    call = lambda: draw_batches(*sizes, WITHOUT_REPLACEMENT, *address, 1, out)  # noqa: E731
    call()
    return Work(call, out.size, out.copy())


def method(n: int, b: int) -> int:
    """The method that fastsgd uses, as draws.h numbers it."""
    from fastsgd.kernels.draws import FLOYD, SHUFFLE, uses_shuffle

    return SHUFFLE if uses_shuffle(n, b) else FLOYD


def _tuned(case: Case) -> Work:
    library = native.library("draws")
    replicates, steps, b = _shape(case)
    out = np.zeros((replicates, steps * b + 64), np.uint32)
    arguments = (
        native.u32(case["n"]),
        native.u32(b),
        method(case["n"], b),
        *(native.u64(x) for x in (SEED, REPLICATE, STEP)),
        native.i64(replicates),
        native.i64(steps),
        native.pointer(out),
        1,
    )
    library.draw_batches(*arguments)
    bits = out[:, : steps * b].reshape(replicates, steps, b)
    return Work(lambda: library.draw_batches(*arguments), bits.size, bits.copy())


def _repeat(case: Case, draw) -> Work:
    """So many single draws that one call takes some milliseconds at most."""
    times = max(1, 2000 // max(case["b"], case["n"] // 500))

    def run() -> None:
        for _ in range(times):
            draw()

    return Work(run, times * case["b"])


def _choice(case: Case) -> Work:
    n, b, choice = case["n"], case["b"], np.random.Generator(np.random.SFC64(1)).choice
    return _repeat(case, lambda: choice(n, b, replace=False, shuffle=False))


def _sklearn(case: Case) -> Work:
    sample = require("sklearn.utils.random").sample_without_replacement
    n, b, state = case["n"], case["b"], np.random.RandomState(1)
    return _repeat(case, lambda: sample(n, b, random_state=state))


def _torch(case: Case) -> Work:
    torch = require("torch")
    torch.set_num_threads(1)
    n, b = case["n"], case["b"]
    return _repeat(case, lambda: torch.randperm(n)[:b])


PEERS = (
    Peer(OURS, OURS, _ours),
    Peer("C AVX-512", "c", _tuned),
    Peer("NumPy choice", "numpy", _choice),
    Peer("scikit-learn", "sklearn", _sklearn),
    Peer("torch.randperm", "torch", _torch, {"OMP_NUM_THREADS": "1"}),
)

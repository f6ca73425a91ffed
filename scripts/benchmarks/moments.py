"""Streaming moments: the recursion alone, and with mean, second moments and risk taken every 10th or every step."""

from __future__ import annotations

import numpy as np

from benchmarks import quadratic
from benchmarks.core import OURS, Case, Peer, Work

TITLE = "Streaming moments: time relative to the recursion alone"
UNIT = "replicate-step, bare"


def cases(quick: bool, threads: int) -> list[Case]:
    return quadratic.make_cases(quick, threads, (50,) if quick else (10, 50, 200), dense=False)


def _bare(case: Case) -> Work:
    return quadratic.PEERS[0].make(case)


def _every(thin: int):
    """The recursion with a sample every `thin` steps."""

    def make(case: Case) -> Work:
        import numba
        from fastsgd.kernels.average import GROUP, average_quadratic, padded, tiles
        from fastsgd.kernels.quadratic import pack

        numba.set_num_threads(case["threads"])
        m, d, replicates, steps = quadratic.model(case), case["d"], case["replicates"], case["steps"]
        coefficients, starts = pack(m.factor[None])
        groups, side = -(-replicates // GROUP), padded(d)
        metric = np.zeros((1, side))
        metric[0, :d] = m.eigenvalues
        first, second = np.zeros((groups, 1, side)), np.zeros((groups, 1, tiles(d)))
        risk, delta, eta = np.zeros((1, replicates, 1)), m.start[None].copy(), np.full((1, steps), m.eta)
        address = [np.uint64(x) for x in (quadratic.SEED, 0, 0, 0)]
        times = [np.int64(x) for x in (0, thin, steps // thin)]
        recursion = (-m.eigenvalues[None], coefficients, starts, eta)

        def call() -> None:
            average_quadratic(*recursion, *address, *times, metric, True, delta, first, second, risk)

        call()
        return Work(call, replicates * steps, delta[0].copy())

    return make


PEERS = (
    Peer(OURS, OURS, _bare),
    Peer("every 10th step", OURS, _every(10)),
    Peer("every step", OURS, _every(1)),
)

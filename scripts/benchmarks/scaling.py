"""How the cost of a replicate-step (of a sample gradient) changes with threads, R, T, n and b: it should not."""

from __future__ import annotations

from benchmarks import logistic, quadratic
from benchmarks.core import OURS, Case, Peer, Work

TITLE = "Scaling of fastsgd: time a unit, relative to the first row of its group"
UNIT = "unit"


def cases(quick: bool, threads: int) -> list[Case]:
    base = {"d": 20, "dense": False, "replicates": 512, "steps": 200 if quick else 2000, "threads": threads}
    pool = {"n": 10_000, "d": 20, "b": 32, "replicates": 256, "steps": 32, "threads": threads}
    counts = sorted({1, 2, threads} & set(range(1, threads + 1)))
    vary = {
        "threads": [{**base, "threads": t} for t in counts],
        "replicates": [{**base, "replicates": r, "steps": base["steps"] * 512 // r} for r in (32, 512, 8192)],
        "steps": [{**base, "steps": t} for t in (20, 200, 2000)],
        "n": [{**pool, "n": n} for n in (1_000, 10_000, 100_000)],
        "b": [{**pool, "b": b, "steps": 1024 // b} for b in (1, 8, 32, 256)],
    }
    if quick:
        vary = {key: [vary[key][0], vary[key][-1]] for key in ("threads", "steps")}
    return [{"label": f"{key} = {case[key]:,}", "group": key, **case} for key, group in vary.items() for case in group]


def _ours(case: Case) -> Work:
    subject = logistic if "n" in case else quadratic
    return subject.PEERS[0].make(case)


PEERS = (Peer(OURS, OURS, _ours),)

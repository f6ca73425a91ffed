"""A small spec-like value, problem arrays and a reference engine for tests of the store."""

import hashlib
from typing import Any

import numpy as np

from fastsgd import store
from fastsgd.store.format import packed_length

D, STEPS, WAVE, BLOCK = 3, [1, 4, 9, 20], 8, 4


class StandIn:
    """Looks like a Spec to the store."""

    name, seed = "stand-in", 7

    def __init__(self, replicates: int = 20, arms: tuple[str, ...] = ("main",), long: int = 0):
        self.replicates = replicates
        self.arms = {arm: {} for arm in arms} if arms != ("main",) else None
        self.long = long

    def identity(self) -> str:
        return hashlib.sha256(b"stand-in").hexdigest()

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "seed": self.seed, "replicates": self.replicates, "filler": "x" * self.long}

    def arrays(self) -> dict[str, np.ndarray]:
        array = np.arange(6.0).reshape(2, 3)
        return {hashlib.sha256(array.tobytes()).hexdigest(): array}


def create(path, replicates: int = 20, arms: tuple[str, ...] = ("main",), **kwargs) -> store.RunWriter:
    """A small run file of known sizes; keywords go to store.create."""
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((D, D))
    problem = {"hessian": matrix @ matrix.T, "noise": np.eye(D), "metric": np.eye(D), "optimum": np.arange(D) / 7}
    pool = {"pool_features": rng.standard_normal((11, D)), "pool_targets": rng.standard_normal(11)}
    given = {
        "steps": STEPS, "coordinates": [f"x{i}" for i in range(D)], "wave": WAVE, "block": BLOCK, "levels": 6,
        "step_sizes": np.full(len(STEPS), 0.01), "provenance": {"software": {"name": "test"}}, "stream_version": 1,
        "trajectories": 10,
    } | kwargs  # fmt: skip
    spec = kwargs.pop("spec", None) or StandIn(replicates, arms)
    given.pop("spec", None)
    problems = {arm: {**problem, "noise": (i + 1) * np.eye(D), **pool} for i, arm in enumerate(arms)}
    return store.create(path, spec, problems, **given)


def values(arms: int, r0: int, r1: int) -> dict[str, np.ndarray]:
    """Rows r0..r1 of every replicate dataset, a function of arm and replicate alone: [A, r1-r0, ...]."""
    s = len(STEPS)
    made = [np.random.default_rng([a, r]).standard_normal(s * (1 + D)) for a in range(arms) for r in range(r0, r1)]
    table = np.array(made).reshape(arms, r1 - r0, s * (1 + D))
    path = table[:, :, s:].reshape(arms, r1 - r0, s, D)
    diverged = np.where(np.arange(r0, r1) % 5 == 3, np.arange(r0, r1), -1)
    return {
        "risk": table[:, :, :s], "trajectory": path, "final": path[:, :, -1],
        "diverged_at": np.broadcast_to(diverged, (arms, r1 - r0)),
    }  # fmt: skip


def node(arms: int, level: int, index: int, replicates: int, recorded: int = len(STEPS)) -> store.Node:
    """Exact moments of the replicates under a tree node, of the first recorded steps."""
    size = BLOCK << level
    path = values(arms, index * size, min(replicates, (index + 1) * size))["trajectory"]
    mean = path.mean(axis=1)
    delta = path - mean[:, None]
    rows, columns = np.tril_indices(D)
    m2 = np.einsum("arsi,arsj->asij", delta, delta)[:, :, rows, columns]
    assert m2.shape[-1] == packed_length(D)
    count = np.full((arms, len(STEPS)), path.shape[1])
    count[:, recorded:], mean[:, recorded:], m2[:, recorded:] = 0, 0, 0
    return store.Node(level, index, count, mean, m2)


def nodes_of(arms: int, blocks: int, replicates: int) -> list[store.Node]:
    """Nodes alive after so many blocks: one for each bit."""
    found, at = [], 0
    for level in reversed(range(blocks.bit_length())):
        if blocks >> level & 1:
            found.append(node(arms, level, at >> level, replicates))
            at += 1 << level
    return found


def advance(
    writer: store.RunWriter, commits_inside: bool = False, stop_after: int | None = None, acknowledge=None
) -> bool:
    """Goes on with a run from its last commit to the end; whether it ended before `stop_after` commits."""
    arms, replicates = len(writer.sizes.arms), writer.sizes.replicates
    done, made = writer.progress.replicates_done, 0

    def commit(*args, **kwargs) -> bool:
        nonlocal made
        writer.commit(*args, **kwargs)
        made += 1
        if acknowledge:
            acknowledge(writer.progress)
        return stop_after is not None and made >= stop_after

    while done < replicates:
        r0, r1 = done, min(done + writer.sizes.wave, replicates)
        rows = values(arms, r0, r1)
        kept = min(r1, writer.sizes.trajectories)
        start = writer.progress.recorded if writer.progress.replicates_done == done else 0
        cuts = range(start, len(STEPS)) if commits_inside else [None]
        for s in cuts:
            s0, s1 = (0, len(STEPS)) if s is None else (s, s + 1)
            for a in range(arms):
                writer.write_risk(a, r0, r1, s0, s1, rows["risk"][a][:, s0:s1])
                if kept > r0:
                    writer.write_trajectory(a, r0, kept, s0, s1, rows["trajectory"][a][: kept - r0, s0:s1])
            if s is not None and s1 < len(STEPS):
                progress = store.Progress(done, STEPS[s], s1)
                running = node(arms, 1, done // writer.sizes.wave, replicates, s1)
                alive = [*nodes_of(arms, done // BLOCK, replicates), running]
                if commit(progress, rows["trajectory"][:, :, s], alive):
                    return False
        for a in range(arms):
            writer.write_final(a, r0, r1, rows["final"][a])
            writer.write_diverged(a, r0, r1, rows["diverged_at"][a])
        done = r1
        if commit(store.Progress(done), None, nodes_of(arms, -(-done // BLOCK), replicates)):
            return False
    if not writer.progress.complete:
        count, mean, covariance = totals(arms, replicates)
        writer.finish(count, mean, covariance)
        if acknowledge:
            acknowledge(writer.progress)
    return True


def totals(arms: int, replicates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """count, mean and covariance over all replicates, by NumPy."""
    path = values(arms, 0, replicates)["trajectory"]
    delta = path - path.mean(axis=1, keepdims=True)
    covariance = np.einsum("arsi,arsj->asij", delta, delta) / (replicates - 1)
    return np.full((arms, len(STEPS)), replicates), path.mean(axis=1), covariance

"""A stored run as analysis sees it, simulated with NumPy in memory: an engine-free reference for fastsgd.analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np


def arm_spec(
    *, kind="quadratic", design="fresh", batch=4, size=0.05, start=None, schedule="constant", offset=0.0, exponent=1.0
) -> SimpleNamespace:
    """The attributes of a spec of one arm that analysis reads."""
    return SimpleNamespace(
        name="standin",
        problem=SimpleNamespace(kind=kind, metric="hessian" if kind == "quadratic" else "fisher"),
        sampling=SimpleNamespace(design=design, batch=batch),
        step=SimpleNamespace(schedule=schedule, size=size, offset=offset, exponent=exponent),
        start=start or SimpleNamespace(kind="point", value=0.0),
        record=SimpleNamespace(average=None),
    )


@dataclass
class StandInRun:
    """The reader's side of a stored run."""

    specs: dict[str, SimpleNamespace]
    problems: dict[str, dict[str, np.ndarray]]
    steps: np.ndarray
    risks: dict[str, np.ndarray]
    means: dict[str, np.ndarray]
    covariances: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    finals: dict[str, np.ndarray]
    diverged: dict[str, np.ndarray]
    replicates: int
    path: Path = Path("standin.h5")
    identity: str = "0123456789abcdef"
    finished: bool = True
    stream_version: int = 1
    provenance: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def arms(self) -> list[str]:
        return list(self.specs)

    @property
    def spec(self) -> SimpleNamespace:
        record = SimpleNamespace(average=None)
        return SimpleNamespace(name="standin", arms=None, seed=1, record=record, arm_specs=lambda: self.specs)

    @property
    def coordinates(self) -> list[str]:
        return [str(i) for i in range(len(next(iter(self.problems.values()))["hessian"]))]

    @property
    def progress(self) -> SimpleNamespace:
        return SimpleNamespace(replicates_done=len(self.risks[self.arms[0]]), wave_step=0, complete=self.finished)

    def risk(self, arm):
        return self.risks[arm]

    def moments(self, arm):
        return self.counts[arm], self.means[arm], self.covariances[arm]

    def final(self, arm):
        return self.finals[arm]

    def trajectories(self, arm, most=None):
        return self.kept.get(arm, np.empty((0, len(self.steps), len(self.coordinates))))[:most]

    def diverged_at(self, arm):
        return self.diverged[arm]

    def problem(self, arm):
        return self.problems[arm]


def simulate(arms, hessian, noises, replicates, steps, seed, metric=None) -> StandInRun:
    """Linear SGD with Gaussian noise, a common stream of normals for all arms.

    arms: name -> arm_spec; noises: name -> G[d, d]; hessian, metric: [d, d].
    """
    rng = np.random.default_rng(seed)
    d, steps = len(hessian), np.asarray(steps, dtype=np.int64)
    metric = hessian if metric is None else metric
    roots = {name: np.linalg.cholesky(noises[name] / spec.sampling.batch) for name, spec in arms.items()}
    first = rng.standard_normal((replicates, d))
    delta = {name: _start(spec, first) for name, spec in arms.items()}
    paths: dict[str, list[np.ndarray]] = {name: [] for name in arms}
    for k in range(int(steps[-1]) + 1):
        if k in steps:
            for name in arms:
                paths[name].append(delta[name])
        z = rng.standard_normal((replicates, d))
        for name, spec in arms.items():
            eta = spec.step.size
            if spec.step.schedule == "power":
                eta = eta / (k + spec.step.offset) ** spec.step.exponent
            delta[name] = delta[name] - eta * (delta[name] @ hessian + z @ roots[name].T)
    return stored(arms, hessian, noises, metric, steps, {name: np.stack(path, 1) for name, path in paths.items()})


def stored(arms, hessian, noises, metric, steps, paths) -> StandInRun:
    """A run of paths name -> float64[R, S, d]."""
    replicates, length, d = next(iter(paths.values())).shape
    zero = np.zeros((length, d, d))
    return StandInRun(
        specs=arms,
        problems={n: {"hessian": hessian, "noise": noises[n], "metric": metric, "optimum": np.zeros(d)} for n in arms},
        steps=steps,
        risks={n: np.einsum("rsi,ij,rsj->rs", x, metric, x) for n, x in paths.items()},
        means={n: x.mean(0) for n, x in paths.items()},
        covariances={
            n: np.stack([np.cov(x[:, s], rowvar=False).reshape(d, d) for s in range(length)])
            if replicates > 1
            else zero
            for n, x in paths.items()
        },
        counts={n: np.full(length, replicates) for n in arms},
        finals={n: x[:, -1] for n, x in paths.items()},
        diverged={n: np.full(replicates, -1) for n in arms},
        replicates=replicates,
    )


def _start(spec, normals):
    if spec.start.kind == "gaussian":
        return spec.start.scale * normals
    return np.zeros_like(normals) + np.asarray(spec.start.value, dtype=np.float64)


def matrices(d, seed=0):
    """H and G, float64[d, d], dense and not commuting."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((d, d)))
    hessian = rotation @ np.diag(np.geomspace(0.5, 4.0, d)) @ rotation.T
    other, _ = np.linalg.qr(rng.standard_normal((d, d)))
    noise = other @ np.diag(np.geomspace(0.3, 3.0, d)) @ other.T
    return (hessian + hessian.T) / 2, (noise + noise.T) / 2

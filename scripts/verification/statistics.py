"""z values and intervals of many independent small runs of each kind of problem.

The replicates of one stored run are independent, so groups of them are independent small runs; each group goes through
the same comparison as `fastsgd ratio`. Over all groups the z of every row in a verdict must be standard normal
(Kolmogorov-Smirnov) and its nominal 95 % interval must cover as often as stated. In the control the predictions are those
of a step size 10 % larger.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELP = "z values and coverage over many independent small runs"

FALSE_ALARM = 1e-4  # of a whole kind of problem
COVERAGE, WITHIN, ENOUGH = 0.95, 0.015, 2000  # the coverage of 2000 runs has a standard error of 0.5 %

_QUADRATIC = {
    "problem": {
        "kind": "quadratic",
        "hessian": {"eigenvalues": [0.5, 1.0, 4.0]},
        "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.1},
    "start": {"kind": "gaussian", "scale": 1.0},
    "record": {"steps": [1, 6, 40]},
}
_POOL = {"samples": 60, "dimension": 3, "seed": 4}
_SMALLER = {"arms": {"a": {}, "b": {"step.size": 0.1}}, "record": {"steps": [50]}}


def _pool(family: str, **changes: Any) -> dict[str, Any]:
    return {
        "problem": {"kind": "glm", "family": family, "ridge": 0.1, "data": {"generate": _POOL}},
        "sampling": {"batch": 6},
        "step": {"size": 0.2},
        "record": {"steps": [80]},
    } | changes


KINDS: dict[str, dict[str, Any]] = {
    "quadratic": _QUADRATIC,
    "arms": _QUADRATIC | {"arms": {"a": {}, "b": {"problem.noise.kind": "isotropic"}}},
    "decaying": _QUADRATIC | {"step": {"schedule": "power", "size": 1.0, "offset": 10.0, "exponent": 0.75}},
    "ou": _QUADRATIC | {"problem": _QUADRATIC["problem"] | {"kind": "ou", "time_step": 0.1, "scheme": "euler"}},
    "linear": _pool("linear"),
    "logistic": _pool("logistic", **_SMALLER),
    "newsvendor": {
        "problem": {
            "kind": "newsvendor",
            "dimension": 2,
            "cost": 1.0,
            "price": 3.0,
            "demand": {"mean": 5.0, "deviation": 1.5, "correlation": 0.5},
        },
        "sampling": {"batch": 32},
        "step": {"size": 0.2},
        "record": {"steps": [50]},
        "arms": {"a": {}, "b": {"step.size": 0.1}},
    },
}
CONTROL = "step.size=0.11"
CONTROLS = {
    "decaying": "step.size=1.1",
    "linear": "sampling.batch=7",
    "logistic": "sampling.batch=7",
    "newsvendor": "sampling.batch=36",
}
SIZES = {
    "arms": 256,
    "linear": 256,
    "logistic": 256,
    "newsvendor": 256,
}  # replicates of a group where errors come from the sample


class Part:
    """Some replicates of a stored run, as analysis sees a run."""

    def __init__(self, run: Any, begin: int, count: int, risks: dict[str, Any], paths: dict[str, Any]) -> None:
        self.path, self.spec, self.identity, self.steps, self.arms = (
            run.path,
            run.spec,
            run.identity,
            run.steps,
            run.arms,
        )
        self.replicates = count
        self._rows, self._risks, self._paths = slice(begin, begin + count), risks, paths

    def risk(self, arm: str) -> NDArray[np.float64]:
        return self._risks[arm][self._rows]

    def final(self, arm: str) -> NDArray[np.float64]:
        return self._paths[arm][self._rows, -1]

    def diverged_at(self, arm: str) -> NDArray[np.int64]:
        return np.full(self.replicates, -1)

    def moments(self, arm: str) -> tuple[Any, Any, Any]:
        x = self._paths[arm][self._rows]
        apart = x - x.mean(axis=0)
        covariance = np.einsum("rsi,rsj->sij", apart, apart) / (len(x) - 1)
        return np.full(x.shape[1], len(x)), x.mean(axis=0), covariance


@dataclass(frozen=True)
class Calibration:
    """Over the groups: z of each tested row, and whether its nominal interval covered the prediction."""

    kind: str
    names: tuple[str, ...]
    z: NDArray[np.float64]
    covered: NDArray[np.bool_]

    def problems(self) -> list[str]:
        """What contradicts the promise; empty if nothing does."""
        from scipy import stats

        n, rows = self.z.shape
        chance = 1 - (1 - FALSE_ALARM) ** (1 / (2 * rows))
        lines = []
        for i, name in enumerate(self.names):
            p = stats.kstest(self.z[:, i], "norm").pvalue
            if p < chance:
                lines.append(f"{self.kind}: z of {name} are not standard normal (p = {p:.1e})")
            hits = int(self.covered[:, i].sum())
            p = stats.binomtest(hits, n, COVERAGE).pvalue
            if p < chance or (n >= ENOUGH and abs(hits / n - COVERAGE) > WITHIN):
                lines.append(f"{self.kind}: 95 % intervals of {name} cover {100 * hits / n:.1f} %")
        return lines


def calibrate(kind: str, groups: int, folder: Path, seed: int, assume: Sequence[str] = ()) -> Calibration:
    """Run `groups` small runs of a kind as one and compare each with its predictions (under `assume`, for a control)."""
    import fastsgd
    from fastsgd.analysis.assume import assumed_models
    from fastsgd.analysis.observed import Observed
    from fastsgd.analysis.prediction import Prediction
    from fastsgd.analysis.ratios import compare

    size = SIZES.get(kind, 64)
    spec = {**KINDS[kind], "name": kind, "seed": seed, "replicates": groups * size}
    spec["record"] = {**spec["record"], "trajectories": groups * size}
    run = fastsgd.run(spec, folder / f"{kind}-{groups}.h5")
    risks = {arm: run.risk(arm) for arm in run.arms}
    paths = {arm: run.trajectories(arm) for arm in run.arms}
    models, _ = assumed_models(run, list(assume))
    predictions = [Prediction.of(model, run.steps) for model in models]

    def rows(part: Part) -> Iterator[Any]:
        seen = [Observed.of(part, arm) for arm in part.arms]
        yield from (row for row in compare(predictions, seen) if row.in_verdict)

    found = [list(rows(Part(run, g * size, size, risks, paths))) for g in range(groups)]
    names = tuple(f"{row.arm} {row.quantity} {'' if row.step is None else row.step}".strip() for row in found[0])
    z = np.array([[row.z for row in group] for group in found])
    return Calibration(kind, names, z, np.abs(z) < 1.959963984540054)


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="small runs of each kind (default 2000)")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="default: all")
    parser.add_argument("--seed", type=int, default=20261123)


def main(options: argparse.Namespace) -> int:
    """Print a line for each kind and its control; 1 if a promise is broken or a control passes."""
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kind or KINDS:
            began = time.monotonic()
            found = calibrate(kind, options.count, Path(folder), options.seed)
            lines = found.problems()
            bad += bool(lines)
            cover, seconds = 100 * np.mean(found.covered), time.monotonic() - began
            print(
                f"{kind}: {len(found.names)} rows x {options.count} runs, 95 % intervals cover {cover:.2f} %, {seconds:.0f} s"
            )
            print("".join(f"  {line}\n" for line in lines), end="", flush=True)
            wrong = CONTROLS.get(kind, CONTROL)
            if not calibrate(kind, min(options.count, 500), Path(folder), options.seed, [wrong]).problems():
                bad += 1
                print(f"  the control ({wrong}) was not rejected", flush=True)
    return 1 if bad else 0

"""z values and intervals of many independent small runs of each kind of problem.

The replicates of one stored run are independent, so groups of them are independent small runs; each group goes through
the same comparison as `fastsgd ratio`, that of the time averages for the kinds that take them. Over all groups the z of
every row in a verdict must be standard normal (Kolmogorov-Smirnov) and its nominal 95 % interval must cover as often as
stated. In the control the predictions are those of a step size 10 % larger, or of a larger batch.
"""

from __future__ import annotations

import argparse
import contextlib
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
_AVERAGE = {"burn_in": 40, "thin": 2, "batches": 4}
_SAMPLED = list(range(42, 73, 2))  # the steps that are averaged
_OWN = """import numba


@numba.njit
def gradient(theta, sample, out):  # of sqrt(1 + r^2), r = theta - x
    for j in range(2):
        r = theta[j] - sample.normals[j] - 0.5 * sample.normals[0]
        out[j] = r / (1.0 + r * r) ** 0.5
"""
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
        "sampling": {"batch": 16},
        "step": {"size": 0.2},
        "record": {"steps": [50]},
        "arms": {"a": {}, "b": {"step.size": 0.1}},
    },
    "queue": {
        "problem": {
            "kind": "queue",
            "arrival_rate": [1.0, 0.5],
            "rate_cost": 0.5,
            "customers": 5,
            "start": "stationary",
            "pilot": 2**20,
        },
        "sampling": {"batch": 4},
        "step": {"size": 0.1},
        "record": {"steps": [40]},
        "arms": {"a": {}, "b": {"step.size": 0.05}},
    },
    "portfolio": {
        "problem": {
            "kind": "portfolio",
            "smoothing": 0.5,
            "ridge": 0.5,
            "scenarios": {"generate": {"samples": 60, "assets": 3, "mean": [0.1, 0.2, 0.05], "deviation": 0.25}},
        },
        "sampling": {"batch": 8, "design": "without-replacement"},
        "step": {"size": 0.1},
        "record": {"steps": [120]},
        "arms": {"a": {}, "b": {"step.size": 0.05}},
    },
    "fresh": {
        "problem": {
            "kind": "glm",
            "family": "logistic",
            "ridge": 0.1,
            "data": {"generate": {"dimension": 2, "seed": 4}},
        },
        "sampling": {"batch": 6, "design": "fresh"},
        "step": {"size": 0.2},
        "record": {"steps": [80]},
        "arms": {"a": {}, "b": {"step.size": 0.1}},
    },
    "own": {
        "problem": {"kind": "own.py:gradient", "dimension": 2, "normals": 2, "guess": [0.1, -0.1], "pilot": 2**20},
        "sampling": {"batch": 4},
        "step": {"size": 0.2},
        "record": {"steps": [50]},
        "arms": {"a": {}, "b": {"step.size": 0.1}},
    },
    "averages": _QUADRATIC | {"record": {"steps": _SAMPLED, "average": _AVERAGE}},
    "averages of a decaying step": _QUADRATIC
    | {
        "step": {"schedule": "power", "size": 1.0, "offset": 10.0, "exponent": 0.75},
        "record": {"steps": _SAMPLED, "average": _AVERAGE},
    },
    "averages on a pool": _pool(
        "linear", record={"steps": _SAMPLED, "average": _AVERAGE}, start={"kind": "stationary"}
    ),
}
LONG = ("portfolio",)  # minutes: not in the tests
CONTROL = "step.size=0.11"
CONTROLS = {
    "decaying": "step.size=1.1",
    "linear": "sampling.batch=7",
    "logistic": "sampling.batch=7",
    "newsvendor": "sampling.batch=18",
    "queue": "sampling.batch=5",
    "portfolio": "sampling.batch=9",
    "fresh": "sampling.batch=7",
    "own": "sampling.batch=5",
    "averages of a decaying step": "step.size=1.1",
    "averages on a pool": "sampling.batch=7",
}
SIZES = {
    "arms": 256,
    "linear": 256,
    "logistic": 256,
    "newsvendor": 256,
    "queue": 256,
    "portfolio": 256,
    "fresh": 256,
    "own": 256,
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
        self._run, self.progress = run, run.progress

    def risk(self, arm: str) -> NDArray[np.float64]:
        return self._risks[arm][self._rows]

    def final(self, arm: str) -> NDArray[np.float64]:
        return self._paths[arm][self._rows, -1]

    def trajectories(self, arm: str, most: int) -> NDArray[np.float64]:
        return self._paths[arm][self._rows][:0]  # the runs that are judged keep none

    def diverged_at(self, arm: str) -> NDArray[np.int64]:
        return np.full(self.replicates, -1)

    def moments(self, arm: str) -> tuple[Any, Any, Any]:
        x = self._paths[arm][self._rows]
        apart = x - x.mean(axis=0)
        covariance = np.einsum("rsi,rsj->sij", apart, apart) / (len(x) - 1)
        return np.full(x.shape[1], len(x)), x.mean(axis=0), covariance

    def rows(self, name: str, arm: str) -> NDArray[Any]:
        return self._run.rows(name, arm, self._rows.start, self._rows.stop)

    def averages(self, arm: str) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        """Of the kept iterates: the recorded steps of these kinds are those that are sampled."""
        x = self._paths[arm][self._rows].reshape(-1, self._paths[arm].shape[-1])
        return len(x), x.mean(axis=0), x.T @ x / len(x)


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
    from fastsgd.analysis.time_averages import time_average_rows

    size = SIZES.get(kind, 64)
    spec = {**KINDS[kind], "name": kind, "seed": seed, "replicates": groups * size}
    spec["record"] = {**spec["record"], "trajectories": groups * size}
    (folder / "own.py").write_text(_OWN, encoding="utf-8")
    with contextlib.chdir(folder):
        run = fastsgd.run(spec, folder / f"{kind}-{groups}.h5".replace(" ", "-"))
    risks = {arm: run.risk(arm) for arm in run.arms}
    paths = {arm: run.trajectories(arm) for arm in run.arms}
    models, _ = assumed_models(run, list(assume))
    predictions = [Prediction.of(model, run.steps) for model in models]

    averaged = run.spec.record.average is not None
    if averaged:  # what the kept iterates give is what the run has summed
        everything = Part(run, 0, run.replicates, risks, paths)
        for arm in run.arms:
            count, mean, second = run.averages(arm)
            own = everything.averages(arm)
            assert own[0] == count
            assert np.allclose(own[1], mean, rtol=0, atol=1e-12) and np.allclose(own[2], second, rtol=1e-10)

    def rows(part: Part) -> Iterator[Any]:
        if averaged:
            yield from (row for row in time_average_rows(part, predictions) if row.in_verdict)
            return
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

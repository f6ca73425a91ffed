"""Risks that `plan --budget` promises against runs: the best step of several batches, and steps beside it.

Each cell is run with random numbers of its own through `fastsgd.run`. A cell that the plan trusts and that lies further from
its run than four of their joint errors is a failure, and so is a best pair that 0.7 or 1.4 times its step beats by more than
a tenth and four standard errors. Cells that the plan does not trust are shown.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HELP = "risks of `plan --budget` against runs, on problems of every kind"

FAR, WORSE = 4.0, 1.1


def _glm(family: str, samples: int, dimension: int, start: float, **data: Any) -> dict[str, Any]:
    generate = {"samples": samples, "dimension": dimension, "seed": 11, "correlation": 0.5} | data
    return {
        "problem": {"kind": "glm", "family": family, "ridge": 0.02, "data": {"generate": generate}},
        "sampling": {"design": "without-replacement", "batch": 1}, "start": {"kind": "point", "value": start},
    }  # fmt: skip


PROBLEMS: dict[str, tuple[int, dict[str, Any]]] = {
    "quadratic": (
        10_000,
        {
            "problem": {
                "kind": "quadratic", "hessian": {"eigenvalues": [0.2, 1.0, 3.0, 9.0]},
                "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
            },
            "start": {"kind": "point", "value": 1.0},
        },
    ),
    "linear": (8_000, _glm("linear", 300, 6, 0.6)),
    "logistic": (12_000, _glm("logistic", 400, 7, 0.7, scale=2.0)),
    "probit": (6_000, _glm("probit", 250, 4, 0.5)),
    "poisson": (8_000, _glm("poisson", 350, 5, 0.3, scale=0.5)),
    "huber": (6_000, _glm("huber", 300, 5, 0.8, contamination=0.1)),
    "newsvendor": (
        3_000,
        {
            "problem": {
                "kind": "newsvendor", "dimension": 3, "cost": [1.0, 1.4, 2.0], "price": [2.5, 3.0, 3.2],
                "salvage": [0.3, 0.5, 0.2],
                "demand": {"law": "lognormal", "mean": [4.0, 6.0, 5.0], "deviation": [1.0, 2.0, 1.5], "correlation": 0.3},
            },
            "start": {"kind": "point", "value": 1.0},
        },
    ),
    "queue": (
        2_000,
        {
            "problem": {
                "kind": "queue", "arrival_rate": [0.8, 1.3], "rate_cost": [0.6, 0.4], "customers": 12,
                "start": "stationary", "pilot": 2**20,
            },
            "start": {"kind": "point", "value": 0.5},
        },
    ),
}  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), help="default: all")
    parser.add_argument("--replicates", type=int, default=2048, help="of every run (default 2048)")


def main(options: argparse.Namespace) -> int:
    """A line for each problem, and for each cell that is far off; 1 if a trusted one is."""
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.problem or PROBLEMS:
            bad += _check(name, options.replicates, Path(folder))
    return 1 if bad else 0


def _check(name: str, replicates: int, folder: Path) -> int:
    from fastsgd.planning import plan_study

    calls, tables = PROBLEMS[name]
    spec = {
        "name": name,
        "seed": 1,
        "replicates": 500,
        "record": {"steps": [10]},
        "step": {"size": 0.01},
        "sampling": {"batch": 1},
    } | tables
    made = plan_study(spec, budget=calls).budget
    assert made is not None

    def run(batch: int, size: float) -> tuple[float, float]:
        """Mean risk at the end of the budget and its standard error."""
        return _run(spec, batch, size, calls, replicates, folder / "run.h5")

    scores, shares, bad = [], [], 0
    for i in sorted({0, len(made.batches) // 2, made.best}):
        risks, batch = made.risk[i], int(made.batches[i])
        known = np.flatnonzero(np.isfinite(risks))
        least = known[np.argmin(risks[known])]
        for j in sorted({max(known[0], least - 6), max(known[0], least - 3), least, min(known[-1], least + 3)}):
            mean, error = run(batch, float(made.sizes[j]))
            joint = math.hypot(error / mean, np.nan_to_num(made.error[i, j]))
            z = math.log(risks[j] / mean) / joint
            if made.trusted[i, j]:
                scores.append(z)
                shares.append(abs(risks[j] / mean - 1))
            if abs(z) > FAR or not math.isfinite(z):
                bad += bool(made.trusted[i, j])
                what = f"b = {batch}, step size {made.sizes[j]:.4g}: planned {risks[j]:.4g}, run {mean:.4g}"
                print(f"  {name} {what}, z {z:.1f}: {'FAR' if made.trusted[i, j] else 'far, not trusted'}")
    best = made.choices[made.best]
    here = run(best.batch, best.size)
    for factor in (0.7, 1.4):
        if best.size * factor < made.stable[made.best]:
            there = run(best.batch, best.size * factor)
            if here[0] > WORSE * there[0] and here[0] - there[0] > FAR * math.hypot(here[1], there[1]):
                bad += 1
                print(f"  {name}: {factor} times the best step has risk {there[0]:.4g}, not {here[0]:.4g}: WORSE")
    rms = math.sqrt(sum(z * z for z in scores) / max(len(scores), 1))
    print(
        f"{name}: {len(scores)} trusted cells within {100 * max(shares, default=0):.1f} % of their runs, "
        f"rms z {rms:.2f}; best pair b = {best.batch}, step size {best.size:.4g}{'' if not bad else f': {bad} FAILED'}",
        flush=True,
    )
    return bad


def _run(spec: dict[str, Any], batch: int, size: float, calls: int, replicates: int, path: Path) -> tuple[float, float]:
    import fastsgd

    changes = {
        "seed": 2, "replicates": replicates, "record": {"steps": [calls // batch]},
        "step": {"size": size}, "sampling": spec["sampling"] | {"batch": batch},
    }  # fmt: skip
    risk = fastsgd.run(spec | changes, path, force=True, allow_unstable=True).risk()[:, -1]
    return float(risk.mean()), float(risk.std(ddof=1) / math.sqrt(len(risk)))

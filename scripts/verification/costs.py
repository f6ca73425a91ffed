"""The time model behind `plan` over three orders of magnitude of work: what it predicts against what runs take.

The kernels are measured before and after each run, on a machine that others may use: the prediction is the geometric mean of
both, and its error is judged against what they and their repeats differ by (three standard deviations, at least 15 %),
and 30 ms of a single syncing of the file. On a busy machine it may fail; it is no test of correctness.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HELP = "the time model of `plan` over three orders of magnitude of work"

QUADRATIC: dict[str, Any] = {
    "kind": "quadratic",
    "hessian": {"eigenvalues": [0.5, 1.0, 4.0]},
    "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
}
LOGISTIC: dict[str, Any] = {
    "kind": "glm", "family": "logistic", "ridge": 0.1, "data": {"generate": {"samples": 1000, "dimension": 5}},
}  # fmt: skip
KINDS = {"quadratic": (QUADRATIC, 2 * 10**9), "logistic": (LOGISTIC, 10**8)}
REPLICATES = 1024


def add(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="default: all")


def main(options: argparse.Namespace) -> int:
    """A line for each amount of work; 1 if one is outside of its range."""
    import fastsgd
    from fastsgd.costs import cost_of_run, measure

    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kind or KINDS:
            problem, largest = KINDS[kind]
            for share in (1000, 100, 10, 1):
                steps = largest // share // REPLICATES
                spec = fastsgd.load_spec(
                    {
                        "name": kind, "seed": 1, "replicates": REPLICATES, "problem": problem, "sampling": {"batch": 8},
                        "step": {"size": 0.1}, "record": {"steps": [max(steps // 2, 1), steps]},
                    }
                )  # fmt: skip
                before = measure(spec)
                begun = time.perf_counter()
                fastsgd.run(spec, Path(folder) / f"{kind}-{share}.h5")
                seconds = time.perf_counter() - begun
                after = measure(spec)
                pair = [cost_of_run(spec, rates).seconds for rates in (before, after)]
                predicted = math.sqrt(pair[0] * pair[1])
                spread = np.hypot(np.hypot(before.spread, after.spread) / 2, abs(math.log(pair[0] / pair[1])) / 2)
                allowed = max(3 * float(spread), 0.15)
                low, high = predicted * math.exp(-allowed) - 0.03, predicted * math.exp(allowed) + 0.03
                bad += not low < seconds < high
                print(
                    f"{kind} {steps * REPLICATES:.3g} replicate-steps: {seconds:.3g} s, predicted {predicted:.3g} s, "
                    f"{low:.3g} to {high:.3g} allowed{'' if low < seconds < high else ': OUTSIDE'}",
                    flush=True,
                )
    return 1 if bad else 0

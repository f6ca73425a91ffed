"""Throughput of a sweep of small cells over that of the kernels alone, on all cores; everything from start to end counts.

    python scripts/benchmarks/sweep.py [cells]

Prints replicate-steps per second: of the kernels, one process a core and a cell at a time, and of `fastsgd.sweep` where cells
share their random numbers and where each has its own seed.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CELL = {
    "name": "cell",
    "seed": 5,
    "replicates": 256,
    "problem": {
        "kind": "quadratic",
        "dimension": 10,
        "hessian": {"spectrum": "logspace", "low": 1.0, "high": 10.0},
        "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.01},
    "record": {"steps": [100, 1000, 5000, 20000]},
}
WORK = 256 * 20000


def kernels(seconds=4.0):
    """Replicate-steps per second of this process, one thread, kernels loaded."""
    from fastsgd.plan import make_plan
    from fastsgd.spec import load_spec
    from fastsgd.threads import use_threads
    from fastsgd.wave import Wave, warm

    use_threads(1)
    plan = make_plan(load_spec(CELL))
    warm(plan)
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        wave = Wave(plan, 0, 256, 0)
        while not wave.done:
            wave.advance(2**40)
        done += WORK
    return done / (time.perf_counter() - begun)


def sweep(cells, vary, cores):
    """Replicate-steps per second of a whole sweep, from the call to its end."""
    import fastsgd

    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        fastsgd.sweep(CELL, Path(folder) / "sweep", vary=vary, threads=cores)
        return cells * WORK / (time.perf_counter() - begun)


def on_all(cores):
    """Replicate-steps per second of one process a core."""
    command = [sys.executable, __file__, "kernels"]
    alone = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(cores)]
    return sum(float(one.communicate()[0]) for one in alone)


def main():
    from fastsgd.threads import cores

    if sys.argv[1:] == ["kernels"]:
        print(kernels())
        return
    cells, count = int(sys.argv[1]) if len(sys.argv) > 1 else 200, cores()
    sizes = [round(0.001 + i * 1e-4, 6) for i in range(cells // 2)]
    kinds = {
        "common": {"step.size": sizes, "sampling.batch": [1, 4]},
        "independent": {"seed": list(range(cells))},
    }
    alone, found = [on_all(count)], {}
    for name, vary in kinds.items():
        found[name] = sweep(cells, vary, count)
        alone.append(on_all(count))
    best = max(alone)  # other work on the machine only slows down
    ratios = {f"{name} / kernels": value / best for name, value in found.items()}
    print(json.dumps({"cores": count, "cells": cells, "kernels": alone, **found, **ratios}, indent=1))


if __name__ == "__main__":
    main()

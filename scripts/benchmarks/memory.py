"""Peak memory of a whole run through `fastsgd.run`, against the number of steps T: it should stay the same."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

TITLE = "Peak memory of a run"

_PROGRAM = """
import json, resource, sys
import fastsgd
run = fastsgd.run(json.loads(sys.argv[1]), sys.argv[2])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"MiB": usage.ru_maxrss / 1024, "seconds": usage.ru_utime}))
"""


def spec(steps: int, replicates: int) -> dict:
    return {
        "name": "memory",
        "seed": 1,
        "replicates": replicates,
        "problem": {
            "kind": "quadratic",
            "dimension": 10,
            "hessian": {"spectrum": "linspace", "low": 1.0, "high": 2.0},
            "noise": {"spectrum": "linspace", "low": 1.0, "high": 2.0},
        },
        "sampling": {"design": "fresh", "batch": 8},
        "step": {"schedule": "constant", "size": 0.01},
        "record": {"steps": {"log": 20, "last": steps}},
    }


def table(rows: list[dict]) -> tuple[list[str], list[list[str]]]:
    return ["T", "peak memory", "processor time"], [
        [f"{row['T']:,}", f"{row['MiB']:.0f} MiB", f"{row['seconds']:.1f} s"] for row in rows if "T" in row
    ]


def measure(quick: bool) -> list[dict]:
    """One row a T: T, MiB, seconds of processor time; or a note where the run failed."""
    rows = []
    # The first run fills the cache of compiled code, so that no row holds the memory of a compiler.
    for steps in (1_000, 1_000, 100_000) if quick else (1_000, 1_000, 30_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", _PROGRAM, json.dumps(spec(steps, 64)), str(Path(folder) / "run.h5")]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()
            return [{"note": last[-1] if last else f"status {done.returncode}"}]
        rows.append({"T": steps, **json.loads(done.stdout.splitlines()[-1])})
    return rows[1:]

"""Where the time of a run by the command goes: in kernels, before the first of them, and outside otherwise.

The whole process counts, from its start to its end. Outside the kernels only its first thread has work.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TITLE = "Time of `fastsgd run` outside the kernels"
SECONDS, QUICK_SECONDS = 10.0, 1.0

# Kernels are what threads share, the parallel loop. The clock starts with the process.
_PROGRAM = """
import atexit, json, sys, time
begin = float(sys.argv[1])
from fastsgd.kernels import parallel
spent, busy, calls, first, inner = 0.0, 0.0, 0, 0.0, parallel._loop
def loop(*args):
    global spent, busy, calls, first
    start, used = time.time(), time.thread_time()
    first = first or start
    status = inner(*args)
    spent, busy, calls = spent + time.time() - start, busy + time.thread_time() - used, calls + 1
    return status
parallel._loop = loop
def tell():
    found = {"start": first - begin, "kernels": spent, "calls": calls, "outside": time.thread_time() - busy}
    print(json.dumps(found), flush=True)
atexit.register(tell)
from fastsgd.cli import main
main(sys.argv[2:])
"""

QUADRATIC = """
seed = 1
replicates = {replicates}

[problem]
kind = "quadratic"
dimension = 20
hessian = {{ spectrum = "logspace", low = 1.0, high = 10.0 }}
noise = {{ spectrum = "linspace", low = 1.0, high = 2.0, basis = "random", seed = 7 }}

[sampling]
batch = 8

[step]
size = 0.01

[record]
steps = {{ log = 20, last = {steps} }}
average = {{ burn_in = {burn_in}, thin = 10 }}
"""

LOGISTIC = """
seed = 1
replicates = {replicates}

[problem]
kind = "glm"
family = "logistic"
ridge = 0.01
data = {{ generate = {{ samples = 10000, dimension = 20, seed = 2 }} }}

[sampling]
design = "without-replacement"
batch = 32

[step]
size = 0.05

[start]
kind = "stationary"

[record]
steps = {{ log = 20, last = {steps} }}
average = {{ burn_in = {burn_in}, thin = 50 }}
"""

RUNS = {"quadratic, d = 20": (QUADRATIC, 4096, 2000), "logistic, n = 10,000, d = 20, b = 32": (LOGISTIC, 2048, 2000)}


def _run(spec: str, replicates: int, steps: int, folder: Path) -> dict[str, Any]:
    """What the program said of one run."""
    made = folder / f"{steps}.toml"
    made.write_text(spec.format(replicates=replicates, steps=steps, burn_in=steps // 10))
    begin, used = time.time(), _processor()
    command = [sys.executable, "-c", _PROGRAM, str(begin), "run", str(made), "-o", str(folder / f"{steps}.h5")]
    # Where the environment forbids it Python compiles its own modules at every start, which is not what is asked here.
    settings = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([*command, "--force"], capture_output=True, text=True, env=settings)
    seconds, processor = time.time() - begin, _processor() - used
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[-1] if said else f"status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": seconds, "processor": processor}


def _processor() -> float:
    """Processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a run of about ten seconds: seconds in all, before the first kernel, in kernels, calls, processor time."""
    rows: list[dict[str, Any]] = []
    for label, (spec, replicates, steps) in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                for _ in range(2):  # the first fills the cache of compiled code
                    found = _run(spec, replicates, steps, Path(folder))
                wanted = (QUICK_SECONDS if quick else SECONDS) / found["kernels"]
                rows.append({"run": label, **_run(spec, replicates, max(steps + 1, int(steps * wanted)), Path(folder))})
            except RuntimeError as error:
                rows.append({"note": f"{label}: {error}"})
    return rows


def table(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    head = ["", "seconds", "in kernels", "before the first", "outside otherwise", "processor time outside"]
    cells = []
    for row in rows:
        if "run" in row:
            whole, kernels, start = row["seconds"], row["kernels"], row["start"]
            rest = whole - kernels - start
            shares = [f"{100 * part / whole:.1f} %" for part in (kernels, start, rest)]
            used = 100 * row["outside"] / row["processor"]
            cells.append([row["run"], f"{whole:.1f}", *shares, f"{used:.1f} %"])
    return head, cells

"""The processes in which experiments are analysed and drawn, beside the simulation.

They work with one thread each: matrices of an experiment are small, and several BLAS threads would only stand in the way
of the simulation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

from fastsgd import errors
from fastsgd.sweeps.pool import environment

SINGLE = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1")


class Analysts:
    """Processes that each answer one request at a time; `ask` may be called from as many threads as there are of them."""

    def __init__(self, count: int):
        self._free: list[subprocess.Popen[str]] = []
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "fastsgd.experiments.analyst"]
        pipe, where = subprocess.PIPE, environment(1) | SINGLE
        for _ in range(count):
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=where, text=True, encoding="utf-8")
            self._free.append(process)
        self._all = list(self._free)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The result of an entry. Raises the error that its analysis ended with."""
        with self._lock:
            process = self._free.pop()
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (OSError, ValueError):
            line = ""
        finally:
            with self._lock:
                self._free.append(process)
        if not line:
            raise errors.RunError(f"the analysis of {request['name']} ended unexpectedly; its message stands above")
        answer = json.loads(line)
        if "error" in answer:
            kind = errors.InputError if answer["exit_code"] == 2 else errors.RunError
            raise kind("\n".join(answer["error"]))
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the processes; what they were asked and have not answered is lost."""
        for process in self._all:
            process.kill()
        for process in self._all:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

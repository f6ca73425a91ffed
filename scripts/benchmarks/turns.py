"""All peers of a case in turns, each in its process, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.core import OURS, Case, Peer

_PAUSE = 0.01  # threads of an OpenMP library spin for a while after their work


class Worker:
    """One process; `ask` sends a command and waits for the answer."""

    def __init__(self, python: str, environment: dict[str, str]) -> None:
        folder = str(Path(__file__).parent.parent)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environment},
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"failed": f"process ended with status {self.process.wait()}"}

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Result:
    """Times of one case: peer -> nanoseconds a unit, one a round; notes on peers that did not take part; same bits."""

    subject: str
    label: str
    case: Case
    times: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    same_bits: dict[str, bool] = field(default_factory=dict)

    def ratio(self, peer: str, base: str = OURS) -> tuple[float, float, float] | None:
        """Median and quartiles over rounds of (time of peer) / (time of base)."""
        if peer not in self.times or base not in self.times:
            return None
        return spread([p / o for p, o in zip(self.times[peer], self.times[base], strict=True)])

    def document(self) -> dict[str, Any]:
        ratios = {peer: self.ratio(peer) for peer in self.times if peer != OURS and OURS in self.times}
        return {
            "subject": self.subject,
            "case": self.case,
            "nanoseconds": self.times,
            "median": {peer: median(times) for peer, times in self.times.items()},
            "ratio_to_fastsgd": ratios,
            "same_bits": self.same_bits,
            "notes": self.notes,
        }


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return middle, low, high


class Machine:
    """The workers, one a group, started when first needed."""

    def __init__(self, peers_python: str | None = None) -> None:
        self.peers_python = peers_python or sys.executable
        self.workers: dict[str, Worker] = {}

    def worker(self, peer: Peer) -> Worker:
        if peer.group not in self.workers:
            python = sys.executable if peer.group in (OURS, "c") else self.peers_python
            self.workers[peer.group] = Worker(python, peer.environment)
        return self.workers[peer.group]

    def measure(self, subject: str, peers: Iterable[Peer], case: Case, rounds: int, seconds: float) -> Result:
        """`rounds` rounds in which every peer works for about `seconds` seconds."""
        result = Result(subject, case["label"], case)
        bits: dict[str, str] = {}
        ready: list[Peer] = []
        for peer in peers:
            answer = self.worker(peer).ask(do="start", subject=subject, peer=peer.name, case=case)
            if "bits" not in answer:
                result.notes[peer.name] = answer.get("skip") or answer["failed"]
                if self.worker(peer).process.poll() is not None:
                    self.workers.pop(peer.group).close()
                continue
            if answer["bits"] is not None:
                bits[peer.name] = answer["bits"]
            ready.append(peer)
        for turn in range(rounds):
            shift = turn % max(1, len(ready))
            for peer in ready[shift:] + ready[:shift]:
                time.sleep(_PAUSE)
                answer = self.worker(peer).ask(do="time", peer=peer.name, seconds=seconds)
                if "ns" not in answer:
                    raise RuntimeError(f"{subject}, {case['label']}, {peer.name}: {answer['failed']}")
                result.times.setdefault(peer.name, []).append(answer["ns"])
        for peer in ready:
            self.worker(peer).ask(do="drop", peer=peer.name)
        if OURS in bits:
            result.same_bits = {name: value == bits[OURS] for name, value in bits.items() if name != OURS}
        return result

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

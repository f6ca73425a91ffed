"""A process that works for the peers of one group: commands come in, times go out, one JSON value a line."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from benchmarks.core import Peer, Unavailable, Work, digest


def find(subject: str, name: str) -> Peer:
    module = importlib.import_module(f"benchmarks.{subject}")
    return next(peer for peer in module.PEERS if peer.name == name)


def start(work: dict[str, Work], command: dict[str, Any]) -> dict[str, Any]:
    """Make the work of a peer ready: data, compilation, one call that is not counted."""
    name = command["peer"]
    work.pop(name, None)
    try:
        made = find(command["subject"], name).make(command["case"])
        made.run()
    except Unavailable as reason:
        return {"skip": str(reason)}
    work[name] = made
    return {"bits": None if made.bits is None else digest(made.bits)}


def measure(work: Work, seconds: float) -> float:
    """Nanoseconds a unit, over about `seconds` seconds (at least one call)."""
    calls, spent = 0, 0.0
    begin = time.perf_counter()
    while calls == 0 or spent < seconds:
        work.run()
        calls += 1
        spent = time.perf_counter() - begin
    return spent / (calls * work.units) * 1e9


def main() -> None:
    # What a peer prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    work: dict[str, Work] = {}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "start":
                answer = start(work, command)
            elif command["do"] == "time":
                answer = {"ns": measure(work[command["peer"]], command["seconds"])}
            else:
                work.pop(command["peer"], None)
                answer = {}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

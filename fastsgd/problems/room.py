"""Whether this machine has the memory that a spec asks for, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastsgd.units import in_bytes

if TYPE_CHECKING:
    from fastsgd.spec import Spec

MATRICES = 12  # d x d at once, an arm: H, G, F, basis, factors, predictions and their temporaries


def check(spec: Spec) -> list[str]:
    """One line if the matrices, generated data and moments of a spec do not fit into the memory that is free."""
    need, free = needed(spec), available()
    if free is None or need <= free:
        return []
    return [
        f"the spec needs about {in_bytes(need)} of memory, {in_bytes(free)} are free; take fewer dimensions, arms, samples or "
        "recorded steps, or another machine"
    ]


def needed(spec: Spec) -> float:
    """Bytes, about: of the matrices of all arms, the data that is generated, and the moments at the recorded steps."""
    data = getattr(spec.problem, "data", None)
    generate = getattr(data, "generate", None)
    d = float(getattr(spec.problem, "dimension", None) or getattr(generate, "dimension", 0) or 0)
    arms, steps = len(spec.arms or ()) or 1, len(spec.record_steps())
    blocks = -(-spec.replicates // 64)
    nodes = min(blocks.bit_length() + 6, blocks + 1)
    pool = 3.0 * float(getattr(generate, "samples", 0) or 0) * (d + 1)
    return 8.0 * (arms * (MATRICES * d * d + nodes * steps * (1 + d + d * (d + 1) / 2)) + pool)


def available() -> float | None:
    """Bytes that can be had without swapping: of the machine, or of the control group if that is less; None if unknown."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(float(line.split()[1]) * 1024)
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit.isdigit():
            found.append(float(limit) - float((group / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass
    return min(found) if found else None

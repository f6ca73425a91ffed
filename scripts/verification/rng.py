"""The random words of neighbouring addresses, in the order of replicates, of steps or of draws, through public test batteries.

A battery reads the raw words on its standard input. dieharder (Debian package `dieharder`) runs its whole battery (-a);
PractRand's RNG_test is used too where it is installed. TestU01 has no program that reads a stream. The control is a stream
in which every second replicate (step, draw) repeats its neighbour, and must fail.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np

HELP = "the random numbers through dieharder and PractRand"

ORDERS = ("replicate", "step", "draw")
CHUNK = 1 << 16  # addresses made at once, 1 MiB of words
QUICK = (0, 2, 8, 15, 100, 101, 204)  # birthdays, ranks, count-the-1s, runs, monobit, sts runs, dct: minutes


def words(order: str, broken: bool = False, seed: int = 20261123) -> Callable[[int], bytes]:
    """chunk(i): the i-th `CHUNK` addresses, four words each, neighbours in `order`; broken: each address twice."""
    from fastsgd.kernels._jit import jit
    from fastsgd.kernels.philox import PURPOSE_NOISE, counter_high, philox4x32

    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)

    @jit
    def fill(first, shift, kind, seed, out):
        for i in range(np.uint64(0), np.uint64(len(out))):
            at = ((first + i) >> shift) << shift
            block, step, replicate = np.uint64(3), np.uint64(11), np.uint64(5)
            if kind == 0:
                replicate = at
            elif kind == 1:
                step = at
            else:
                block = at
            high = counter_high(PURPOSE_NOISE, replicate, step)
            w = philox4x32(block & low, step & low, replicate & low, high, seed & low, seed >> half)
            for k in range(4):
                out[i, k] = np.uint32(w[k] & low)

    out = np.empty((CHUNK, 4), dtype=np.uint32)
    kind, shift = ORDERS.index(order), np.uint64(broken)

    def chunk(i: int) -> bytes:
        fill(np.uint64(i * CHUNK), shift, kind, np.uint64(seed), out)
        return out.tobytes()

    return chunk


def run(command: Sequence[str], chunk: Callable[[int], bytes], show: bool = True) -> str:
    """What a program prints that reads the stream until it ends."""
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False)
    assert program.stdin is not None
    assert program.stdout is not None

    def feed(pipe=program.stdin) -> None:
        try:
            for i in range(2**40):
                pipe.write(chunk(i))
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=feed, daemon=True)
    writer.start()
    lines = []
    for raw in program.stdout:
        lines.append(raw.decode(errors="replace"))
        if show:
            sys.stdout.write(lines[-1])
            sys.stdout.flush()
    program.wait()
    writer.join(5)
    return "".join(lines)


def failures(printed: str) -> tuple[int, list[str]]:
    """(tests, those that failed) of a dieharder or PractRand report; dieharder resolves a WEAK result by itself (-Y 1)."""
    results = [line for line in printed.splitlines() if re.search(r"PASSED|WEAK|FAILED", line)]
    found = [line.strip() for line in results if "FAILED" in line]
    found += [line.strip() for line in printed.splitlines() if re.search(r"\bFAIL\b", line)]
    return len(results), found


def batteries(quick: bool) -> list[tuple[str, list[list[str]]]]:
    """(name, commands) of the batteries that are installed."""
    found = []
    if shutil.which("dieharder"):
        base = ["dieharder", "-g", "200", "-Y", "1", "-k", "2"]
        found.append(("dieharder", [[*base, "-d", str(test)] for test in QUICK] if quick else [[*base, "-a"]]))
    if shutil.which("RNG_test"):
        found.append(("PractRand", [["RNG_test", "stdin32", "-tlmax", "1GB" if quick else "64GB"]]))
    return found


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--order", action="append", choices=ORDERS, help="neighbours in the stream (default: all three)"
    )
    parser.add_argument("--quick", action="store_true", help="seven tests of dieharder, in minutes")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--control", action="store_true", help="only the broken stream; succeeds if a battery fails it")


def main(options: argparse.Namespace) -> int:
    installed = batteries(options.quick or options.control)
    if not installed:
        print("neither dieharder nor PractRand's RNG_test is installed; nothing was tested", file=sys.stderr)
        return 2
    bad = 0
    for order in options.order or ORDERS:
        for name, commands in installed:
            chunk = words(order, options.control, options.seed)
            print(f"# {name}, neighbouring numbers from successive {order}s", flush=True)
            tests, failed = failures("".join(run(command, chunk) for command in commands))
            print(f"# {name}, {order}: {tests} results, {len(failed)} failed", flush=True)
            wrong = not failed if options.control else bool(failed) or not tests
            bad += wrong
    return 1 if bad else 0

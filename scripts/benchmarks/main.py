"""The command: measure, print, and keep."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import RUNS, SUBJECTS, report
from benchmarks.core import cores
from benchmarks.turns import Machine, Result

README = Path(__file__).parent.parent.parent / "README.md"
EXPLANATION = (
    "Columns of peers: their time divided by ours, measured in turns (median and quartiles over rounds); "
    "above 1 fastsgd is faster."
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="fastsgd against NumPy, JAX, C and others, in turns on this machine.",
        epilog="example: scripts/bench --quick --only quadratic --json bench.json",
    )
    parser.add_argument("--quick", action="store_true", help="few cases, short turns: under a minute")
    parser.add_argument("--only", action="append", choices=SUBJECTS, metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of every peer a case (default 7, quick 3)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length of a turn (default 0.15, quick 0.02)")
    parser.add_argument("--threads", type=int, default=cores(), metavar="N", help="threads of the parallel subjects")
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("FASTSGD_BENCH_PEERS"),
        metavar="PYTHON",
        help="interpreter for JAX, torch, mkl_random and so on; default FASTSGD_BENCH_PEERS or this one",
    )
    parser.add_argument(
        "--no-readme", action="store_true", help="a full run writes its tables to README.md; this one not"
    )
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.02 if options.quick else 0.15)
    if options.rounds < 1 or options.seconds <= 0 or options.threads < 1:
        parser.error("--rounds, --seconds and --threads must be positive")
    return options


def run_subject(machine: Machine, name: str, options: argparse.Namespace) -> tuple[str, str, list[Result], Any]:
    """Text, markdown, results and document of one subject."""
    subject = importlib.import_module(f"benchmarks.{name}")
    results: list[Result] = []
    if name in RUNS:
        rows = subject.measure(options.quick)
        head, cells = subject.table(rows)
        remarks = [row["note"] for row in rows if "note" in row]
        document: Any = rows
    else:
        for case in subject.cases(options.quick, options.threads):
            print(f"  {name}: {case['label']}", file=sys.stderr, flush=True)
            results.append(machine.measure(name, subject.PEERS, case, options.rounds, options.seconds))
        make = report.scaling_table if name == "scaling" else report.table
        head, cells = make(subject, results)
        remarks = report.notes(results)
        document = [result.document() for result in results]
    text = "\n".join([subject.TITLE, report.as_text(head, cells), *remarks])
    markdown = f"**{subject.TITLE}**\n\n{report.as_markdown(head, cells)}"
    return text, markdown, results, document


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    begin = time.perf_counter()
    about = report.machine()
    texts, tables, everything, documents = [], [], [], {}
    with Machine(options.peers_python) as machine:
        for name in options.only or SUBJECTS:
            text, markdown, results, documents[name] = run_subject(machine, name, options)
            print(text + "\n", flush=True)
            texts.append(text)
            tables.append(markdown)
            everything += results
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    setting = f"{about['cpu']}, {options.threads} of {about['cores']} cores, {versions}, {options.rounds} rounds"
    print(EXPLANATION)
    print(f"{setting}; {time.perf_counter() - begin:.0f} s")
    print(report.bits_line(everything))
    if options.json:
        document = {"machine": about, "rounds": options.rounds, "threads": options.threads, "subjects": documents}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if not (options.quick or options.only or options.no_readme):
        body = "\n\n".join([f"{setting}. {EXPLANATION}", *tables, report.bits_line(everything).capitalize() + "."])
        if not report.write_readme(README, body):
            print(f"README.md has no markers {report.BEGIN} and {report.END}: nothing written there", file=sys.stderr)
    return 0 if all(all(result.same_bits.values()) for result in everything) else 1

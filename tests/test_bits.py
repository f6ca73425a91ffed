"""The same bits everywhere: threads, lane widths, instruction sets, and since the stream version began (golden hashes)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from fastsgd.kernels import SINGLE_VERSION, STREAM_VERSION
from fastsgd.kernels._jit import LANES, jit
from fastsgd.kernels.vector import fma

HERE = Path(__file__).parent
GOLDEN = HERE / "golden_bits.json"
AVX2 = "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt"
HOST = llvm.get_host_cpu_features()


def hashes(what, threads, **settings):
    """What bits_program.py prints in a process of its own: hashes of kernels or problems for each number of threads."""
    environment = os.environ | {"NUMBA_NUM_THREADS": "8"} | settings
    command = [sys.executable, str(HERE / "bits_program.py"), what, *map(str, threads)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def golden():
    stored = json.loads(GOLDEN.read_text())
    versions = stored["stream_version"], stored["single_version"]
    assert versions == (STREAM_VERSION, SINGLE_VERSION), "a new stream version needs new golden hashes"
    return {"kernels": stored["hashes"], "problems": stored["problems"], "both": stored["hashes"] | stored["problems"]}


def test_every_number_of_threads_gives_the_golden_hashes(golden):
    assert hashes("kernels", [1, 2, 3, 5, 8]) == 5 * [golden["kernels"]]


@pytest.mark.slow
def test_simulated_problems_have_the_golden_hashes(golden):
    """Optimum, H, G and steps of the built-in problems with kernels of their own."""
    assert hashes("problems", [3, 1]) == 2 * [golden["problems"]]


@pytest.mark.slow
@pytest.mark.parametrize("lanes", sorted({8, 16} - {LANES}))
def test_other_lane_widths_give_the_golden_hashes(golden, lanes):
    """Each width has a cache folder of its own; that of this machine is tested above."""
    assert hashes("both", [2], FASTSGD_LANES=str(lanes)) == [golden["both"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "cpu", "features"),
    [("kernels", "haswell", AVX2), ("both", "x86-64", "+sse,+sse2")],
    ids=["avx2", "sse2"],
)
def test_other_instruction_sets_give_the_golden_hashes(golden, what, cpu, features, tmp_path):
    missing = [f for f in features.replace("+", "").split(",") if not HOST.get(f, False)]
    if missing:
        pytest.skip(f"this CPU lacks {', '.join(missing)}")
    settings = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "FASTSGD_CACHE_DIR": str(tmp_path)}
    assert hashes(what, [2], **settings) == [golden[what]]


def test_control_a_multiply_and_an_add_are_not_a_fused_one():
    """What a contraction by the compiler would do to a sum; the hashes above would change."""

    @jit
    def both(a, b, c, out):
        out[0] = fma(a, b, c)
        out[1] = a * b + c

    out = np.empty(2)
    both(1.0 + 2.0**-30, 1.0 - 2.0**-30, -1.0, out)
    assert out.tolist() == [-(2.0**-60), 0.0]

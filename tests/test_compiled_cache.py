"""Compiled code that is kept on disk is told apart by all that it was made of, and found again by another process."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from fastsgd.kernels._jit import inline, jit, named_after

def made(number):
    @inline
    def inner(x):
        return x + number

    @inline
    def outer(x):
        return inner(x)

    def entry(x):
        return outer(x)

    return jit(named_after(outer, entry))

for number in (1, 2, 1):
    function = made(number)
    print(function(10), sum(function._cache_hits.values()))
"""


@pytest.mark.slow
def test_functions_that_differ_in_a_closure_of_a_closure_are_kept_apart_and_found_again(tmp_path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)

    def lines() -> list[str]:
        settings = os.environ | {"FASTSGD_CACHE_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, file], env=settings, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert lines() == ["11 0", "12 0", "11 1"]
    assert lines() == ["11 1", "12 1", "11 1"]

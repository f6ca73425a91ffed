"""theory takes arrays: it imports numpy and, in few functions, scipy; nothing else of the package but itself."""

import ast
import subprocess
import sys
from pathlib import Path

import fastsgd.theory

ROOT = Path(fastsgd.theory.__file__).parent
ALLOWED = {"numpy", "scipy", "fastsgd.theory"}


def test_theory_imports_only_numpy_scipy_and_itself():
    for path in ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                outside = name.split(".")[0] not in sys.stdlib_module_names
                allowed = name in ALLOWED or name.startswith(("numpy.", "scipy.", "fastsgd.theory."))
                assert allowed or not outside, f"{path.name} imports {name}"


def test_scipy_is_not_needed_at_start():
    modules = sorted(f"fastsgd.theory.{path.stem}" for path in ROOT.glob("*.py") if path.stem != "__init__")
    code = (
        f"import sys\nfor m in {modules!r}: __import__(m)\nassert not {{'scipy', 'numba', 'h5py'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""The rules of the house: who may import whom, one owner of the compile options, what start-up may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRONT = ROOT / "fastsgd"
KERNELS = ROOT / "kernels"

# Part of the package -> parts it may import. One way only: spec -> problems, designs, schedules -> engine -> store.
ALLOWED = {
    "errors": set(),
    "views": set(),
    "units": set(),
    "spec": {
        "errors",
        "installed",
        "views",
        "designs",
        "problems",
        "problems.checks",
    },  # problems: only to report what files have wrong
    "theory": set(),
    "installed": {"errors"},
    "designs": {"errors", "installed", "theory"},
    "schedules": {"theory"},
    "stream": {"kernels"},
    "problems": {"errors", "installed", "units", "spec", "designs", "kernels", "theory"},
    "store": {"errors", "units", "views", "spec"},
    "moments": {"store", "kernels"},
    "interrupts": {"errors"},
    "threads": {"errors", "kernels"},
    "shards": {"errors", "kernels"},
    "differences": set(),
    "averages": {"spec", "problems", "moments", "kernels"},
    "plan": {"errors", "spec", "problems", "averages", "designs", "schedules", "kernels"},
    "wave": {"errors", "plan", "problems", "averages", "moments", "kernels"},
    "engine": {
        "errors",
        "spec",
        "plan",
        "averages",
        "wave",
        "moments",
        "store",
        "kernels",
        "interrupts",
        "threads",
        "shards",
        "differences",
    },
    "replacing": {"errors", "store"},
    "merging": {
        "errors",
        "differences",
        "engine",
        "interrupts",
        "moments",
        "plan",
        "problems",
        "replacing",
        "spec",
        "store",
    },  # problems: of one's own, from the arrays of a shard
    "sources": {"errors", "spec", "problems", "store"},
    "extending": {
        "errors",
        "spec",
        "averages",
        "differences",
        "engine",
        "interrupts",
        "kernels",
        "moments",
        "plan",
        "replacing",
        "sources",
        "store",
        "threads",
        "wave",
    },
    "replaying": {"errors", "engine", "plan", "sources", "store", "threads", "wave"},
    "comparing": {"differences", "store"},
    "sweeps": {"errors", "spec", "plan", "wave", "averages", "engine", "store", "interrupts", "shards", "threads"},
    "analysis": {"errors", "units", "views", "spec", "problems", "designs", "schedules", "theory", "store"},
    "figures": {"errors", "analysis", "store", "theory"},
    "cluster": {
        "errors",
        "spec",
        "engine",
        "interrupts",
        "kernels",
        "merging",
        "shards",
        "store",
        "sweeps",
        "threads",
    },
    "exporting": {"errors", "analysis", "store"},
    "costs": {"spec", "averages", "engine", "plan", "wave", "threads"},
    "piloting": {"spec", "problems", "averages", "moments", "plan", "store", "wave", "threads"},
    "planning": {"errors", "spec", "analysis", "figures", "costs", "piloting"},
    "experiments": {
        "errors",
        "spec",
        "theory",
        "analysis",
        "problems",  # gradients of the samples of a stored pool
        "figures",
        "store",
        "sweeps",
        "costs",
        "interrupts",
        "threads",
        "kernels",
    },
    "cli": {
        "cluster",
        "exporting",
        "errors",
        "spec",
        "planning",
        "experiments",
        "engine",
        "sweeps",
        "merging",
        "extending",
        "replaying",
        "comparing",
        "sources",
        "store",
        "analysis",
        "figures",
    },
    "kernels": set(),
}
OUTSIDE = {"kernels": {"numpy", "numba", "llvmlite"}, "theory": {"numpy", "scipy"}}
NOT_EDITABLE = (
    "import sys; sys.meta_path[:] = [f for f in sys.meta_path if '__editable__' not in str(f) + f.__module__]"
)
STANDARD = set(sys.stdlib_module_names)


def sources():
    yield from ((path, "kernels") for path in sorted(KERNELS.glob("*.py")))
    for path in sorted(FRONT.rglob("*.py")):
        part = path.relative_to(FRONT).parts[0].removesuffix(".py")
        if not part.startswith("__"):
            yield path, part


def imports(path):
    """Full names of the modules that a file imports anywhere, type checking excepted."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from ([f"fastsgd.{a.name}" for a in node.names] if node.module == "fastsgd" else [node.module])


@pytest.mark.parametrize(("path", "part"), [pytest.param(*s, id=str(s[0].relative_to(ROOT))) for s in sources()])
def test_imports_go_one_way(path, part):
    assert part in ALLOWED, f"{part} is new: say in ALLOWED what it may import"
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "fastsgd":
            if rest and rest[0] != part and not rest[0].startswith("__"):
                assert rest[0] in ALLOWED[part], f"{path.name} ({part}) imports fastsgd.{rest[0]}"
        elif part in OUTSIDE and top not in STANDARD:
            assert top in OUTSIDE[part], f"{path.name} imports {top}"


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda p: p.name)
def test_kernels_take_their_compile_options_from_one_place(path):
    """No own njit, no fast-math, no random state, no BLAS, no raise in a compiled function."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if path.name != "_jit.py" and isinstance(node, ast.Attribute | ast.Name):
            name = ast.unparse(node)
            banned = ("njit", "numba.jit", "vectorize", "np.random", "np.dot", "np.linalg", "np.exp", "np.log", "math.")
            assert not name.startswith(banned), f"{path.name}:{node.lineno} uses {name}"
        if isinstance(node, ast.FunctionDef):
            decorators = {ast.unparse(d) for d in node.decorator_list}
            if decorators & {"jit", "pjit", "inline", "inner", "leaf", "body", "parallel"}:
                assert not any(isinstance(inner, ast.Raise | ast.MatMult) for inner in ast.walk(node)), node.name


def run(code, *flags):
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def test_importing_the_package_imports_nothing_heavy():
    loaded = run("import sys, fastsgd; print(*sys.modules)").split()
    assert not {"numba", "numpy", "scipy", "h5py", "matplotlib", "pydantic", "click"} & set(loaded)


def test_help_needs_click_alone():
    code = "import sys; from fastsgd.cli.group import app; app.get_help(__import__('click').Context(app)); print(*sys.modules)"
    loaded = run(code).split()
    assert not {"numba", "numpy", "scipy", "h5py", "matplotlib", "pydantic"} & set(loaded)


def test_analysis_of_a_stored_run_needs_no_numba():
    """What only reads must work where nothing was ever simulated."""
    loaded = run(
        "import sys, fastsgd.store, fastsgd.figures, fastsgd.theory; from fastsgd import predict, ratio; print(*sys.modules)"
    ).split()
    assert "numba" not in loaded


def test_a_checkout_finds_its_kernels_without_being_installed():
    code = f"{NOT_EDITABLE};sys.path.insert(0, '.'); import fastsgd.kernels as k; print(k.__file__)"
    assert Path(run(code).strip()) == KERNELS / "__init__.py"


def test_every_name_of_the_package_can_be_imported():
    import fastsgd

    assert all(getattr(fastsgd, name) is not None for name in fastsgd.__all__)


@pytest.mark.slow
def test_the_wheel_holds_the_kernels(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("fastsgd-*.whl")
    target = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
    )
    code = (
        f"{NOT_EDITABLE};sys.path.insert(0, {str(target)!r}); import fastsgd.kernels.quadratic as q; print(q.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert Path(done.stdout.strip()) == target / "fastsgd" / "kernels" / "quadratic.py"
    shipped = {path.name for path in (target / "fastsgd" / "runs").rglob("*") if path.is_file()}
    assert {path.name for path in (ROOT / "runs").glob("*.toml")} | {"wdbc.csv"} <= shipped
    listed = subprocess.run(
        [sys.executable, "-m", "fastsgd", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(target)},
    )
    assert "Usage" in listed.stdout, listed.stderr

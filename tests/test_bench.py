"""The benchmark runs: every subject once, smallest case, one round; README untouched; C with our bits where gcc is."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks import RUNS, SUBJECTS, native, report  # noqa: E402
from benchmarks.core import OURS, Unavailable, digest  # noqa: E402
from benchmarks.main import main  # noqa: E402
from benchmarks.turns import Machine, Result, spread  # noqa: E402

pytestmark = pytest.mark.slow

TURNS = [name for name in SUBJECTS if name not in RUNS]


@pytest.fixture(scope="module")
def machine():
    with Machine() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", TURNS)
def test_subject_runs(name: str, machine: Machine) -> None:
    subject = importlib.import_module(f"benchmarks.{name}")
    case = subject.cases(True, 1)[0]
    result = machine.measure(name, subject.PEERS, case, rounds=1, seconds=1e-4)
    assert result.times[OURS][0] > 0, result.notes
    assert all(result.same_bits.values())
    # Whoever did not take part is missing here, which is no failure of the benchmark.
    assert all(note.startswith("no ") for note in result.notes.values()), result.notes
    make = report.scaling_table if name == "scaling" else report.table
    head, rows = make(subject, [result])
    assert {len(row) for row in rows} == {len(head)}
    assert report.as_markdown(head, rows).count("\n") == len(rows) + 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None or not native.has_avx512(), reason="needs gcc and AVX-512")
@pytest.mark.parametrize(("n", "b"), [(1000, 1), (50, 5), (5000, 8), (40, 20), (10**6, 33), (200_000, 64), (300, 299)])
def test_c_draws_our_batches(n: int, b: int) -> None:
    from benchmarks.draws import PEERS

    case = {"n": n, "b": b, "total": 3000}
    ours, theirs = (peer.make(case).bits for peer in PEERS[:2])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None or not native.has_avx512(), reason="needs gcc and AVX-512")
@pytest.mark.parametrize("d", [1, 3, 7, 13, 25])
def test_c_makes_our_iterates(d: int) -> None:
    from benchmarks.quadratic import PEERS

    case = {"d": d, "dense": False, "replicates": 40, "steps": 9, "threads": 1}
    ours, theirs = (peer.make(case).bits for peer in PEERS[:2])
    np.testing.assert_array_equal(ours, theirs)
    # Negative control: one bit of one number.
    other = theirs.copy()
    other.flat[-1] = np.nextafter(other.flat[-1], 9.0)
    assert digest(other) != digest(ours)


def test_every_file_is_imported() -> None:
    for source in (ROOT / "scripts" / "benchmarks").glob("*.py"):
        importlib.import_module(f"benchmarks.{source.stem}")


def test_shares_of_a_run_outside_the_kernels() -> None:
    from benchmarks import outside

    run = {"run": "x", "seconds": 10.0, "start": 1.0, "kernels": 8.5, "calls": 3, "processor": 20.0}
    run |= {"outside": 1.2}
    assert outside.table([run, {"note": "y"}])[1] == [["x", "10.0", "85.0 %", "10.0 %", "5.0 %", "6.0 %"]]


def test_no_compiler_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Unavailable, match="no gcc"):
        native.library("normals")


def test_ratio_is_a_median_over_rounds() -> None:
    result = Result("x", "case", {}, times={OURS: [1.0, 2.0, 4.0], "peer": [2.0, 8.0, 4.0]})
    assert result.ratio("peer") == (2.0, 1.5, 3.0)
    assert spread([5.0]) == (5.0, 5.0, 5.0)


def test_readme_between_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    assert report.write_readme(readme, "new")
    assert readme.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    readme.write_text("no markers\n")
    assert not report.write_readme(readme, "new")
    assert readme.read_text() == "no markers\n"


@pytest.mark.slow
def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ROOT / "README.md").read_bytes()
    kept = tmp_path / "out.json"
    assert main(["--quick", "--only", "diffusion", "--rounds", "1", "--seconds", "1e-4", "--json", str(kept)]) == 0
    assert "same bits" in capsys.readouterr().out
    assert json.loads(kept.read_text())["subjects"]["diffusion"][0]["nanoseconds"][OURS][0] > 0
    assert (ROOT / "README.md").read_bytes() == before


def test_bad_option() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--rounds", "-1"])
    assert stopped.value.code == 2

"""The machinery of the reproduction: registry, seeds, verdicts, power, reuse of what is stored, exit codes."""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import fastsgd
from fastsgd.cli.group import app
from fastsgd.errors import CheckFailed, InputError, SpecError
from fastsgd.experiments import registry
from fastsgd.experiments.base import Part, Row
from fastsgd.experiments.judge import judge, power
from fastsgd.experiments.scale import planned, runs_of, spec_folder


def row(name, value, expected=1.0, error=0.01):
    return Row(name, "", value, error, expected, (value - expected) / error)


def test_every_entry_has_specs_and_controls():
    for entry in registry.entries():
        assert entry.parts and entry.controls and entry.claim and entry.ran, entry.name
        for part in entry.parts:
            assert (spec_folder() / f"{part.spec}.toml").is_file(), part.spec
    assert len(set(registry.names())) == len(registry.names())


def test_an_unknown_entry_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'plateau'"):
        registry.entry("plateu")


def test_verdict_is_simultaneous_and_power_is_that_of_the_normal():
    rows = [row(str(i), 1.0) for i in range(20)]
    assert judge(rows).verdict == "consistent"
    assert judge([*rows, row("bad", 1.06)]).verdict == "inconsistent"
    assert judge([*rows, row("bad", float("nan"))]).verdict == "inconsistent"
    assert judge([]).verdict == "inconsistent"
    truth, shifted = judge([row("a", 1.002)]), judge([row("a", 1.002, expected=1.05)])
    rng = np.random.default_rng(1)
    z = (rng.normal(1.0, 0.01, 200_000) - 1.05) / 0.01
    share = float(np.mean(np.abs(z) > shifted.threshold))
    assert abs(power(truth, shifted) - share) < 4 * np.sqrt(share / 200_000)


def test_split_arms_have_seeds_of_their_own_and_a_seed_replaces_all(tmp_path):
    part = Part("ou-batch", split=True)
    runs = runs_of(part, "paper", None, spec_folder(), tmp_path)
    assert len({run.spec.seed for run in runs}) == len(runs) > 5
    again = runs_of(part, "quick", 5, spec_folder(), tmp_path)
    assert not {run.spec.seed for run in runs} & {run.spec.seed for run in again}
    assert {run.spec.replicates for run in again} == {runs[0].spec.replicates // 10}
    assert len({run.path for run in runs + again}) == 2 * len(runs)


@pytest.fixture(scope="module")
def small_specs(tmp_path_factory):
    """The catalogue's specs, the plateau in 6 dimensions."""
    folder = tmp_path_factory.mktemp("specs")
    for source in spec_folder().glob("*.toml"):
        shutil.copy(source, folder)
    text = (folder / "plateau.toml").read_text().replace("dimension = 50", "dimension = 6")
    (folder / "plateau.toml").write_text(text.replace("10000]", "4000]").replace("5000,", "3000,"))
    return folder


@pytest.mark.slow
def test_a_changed_spec_is_consistent_and_a_second_time_only_reads(small_specs, tmp_path):
    first = fastsgd.reproduce(["plateau"], "quick", tmp_path, specs=small_specs, seed=3)
    assert first.consistent, first.failures
    assert all(c["rejected"] for c in first.entries[0]["controls"])
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    notes = []
    second = fastsgd.reproduce(["plateau"], "quick", tmp_path, specs=small_specs, seed=3, note=notes.append)
    assert second.content == first.content and "nothing is simulated" in notes[0]
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    for suffix in ("png", "pdf", "csv"):
        assert (tmp_path / "plateau" / f"figure.{suffix}").stat().st_size > 100
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64," in page and "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
def test_a_failed_check_is_exit_code_3_and_named(small_specs, tmp_path):
    """So few and short runs that a step off by 3 % cannot be told: that is said, and is no success."""
    weak = tmp_path / "specs"
    shutil.copytree(small_specs, weak)
    text = (weak / "collapse-0.003.toml").read_text()
    for stem in ("0.0001", "0.0003", "0.001", "0.003"):
        (weak / f"collapse-{stem}.toml").write_text(
            re.sub(r"(?m)^average.*$", "", re.sub(r"(?m)^steps = .*$", "steps = [1, 2]", text)).replace("= 50", "= 4")
        )
    arguments = ["reproduce", "collapse", "--scale", "quick", "-o", str(tmp_path / "out"), "--specs", str(weak)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, CheckFailed) and done.exception.exit_code == 3
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert content["verdict"] == "inconsistent" and content["entries"][0]["verdict"] == "consistent"
    assert "'step off by 3 %' was not rejected" in content["failed"][0] and "power" in content["failed"][0]


def test_a_wrong_spec_is_named_by_its_file(small_specs, tmp_path):
    shutil.copytree(small_specs, tmp_path / "specs")
    wrong = tmp_path / "specs" / "plateau.toml"
    wrong.write_text(wrong.read_text().replace("batch = 8", "batch = 0"))
    with pytest.raises(SpecError, match=r"plateau.toml: sampling.batch must be >= 1, got 0") as caught:
        fastsgd.reproduce(["plateau"], "quick", tmp_path / "out", specs=wrong.parent)
    assert len(caught.value.lines) == 1


def test_bad_usage_is_one_line():
    for arguments in (["reproduce"], ["reproduce", "plateu"], ["reproduce", "plateau", "--specs", "/nowhere"]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code != 0 and "Traceback" not in done.output
    plans = planned(registry.entry("plateau"), "large", None, spec_folder(), spec_folder())
    assert plans[0].spec.replicates == 200_000

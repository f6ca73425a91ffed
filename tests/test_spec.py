"""Loading a spec: defaults, overrides, arms, seeds, recorded steps, TOML in and out."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastsgd.errors import SpecError
from fastsgd.spec import Spec, load_spec
from fastsgd.spec import toml as spec_toml
from fastsgd.spec.identity import log_steps

PLATEAU = """
seed = 20261123
replicates = 2000
[problem]
kind = "quadratic"
dimension = 50
hessian = { spectrum = "logspace", low = 1, high = 100.0 }
noise = { spectrum = "loguniform", low = 0.2, high = 5.0, basis = "random", seed = 7 }
[sampling]
batch = 8
[step]
schedule = "constant"
size = 0.01
[record]
steps = [300, 800, 2000]
[arms.paper]
[arms.isotropic]
"problem.noise.kind" = "isotropic"
"""


@pytest.fixture
def plateau(tmp_path: Path) -> Path:
    path = tmp_path / "plateau.toml"
    path.write_text(PLATEAU)
    return path


def quadratic(**changes):
    tables = {
        "seed": 1,
        "replicates": 100,
        "problem": {
            "kind": "quadratic",
            "dimension": 2,
            "hessian": {"eigenvalues": [1, 2]},
            "noise": {"kind": "isotropic"},
        },
        "sampling": {"batch": 4},
        "step": {"size": 0.1},
        "record": {"steps": [1, 10]},
    }
    return {**tables, **changes}


def test_defaults_are_filled_and_ints_become_floats(plateau):
    spec = load_spec(plateau)
    assert spec.name == "plateau"
    assert spec.sampling.design == "fresh"
    assert spec.problem.metric == "hessian"
    assert spec.start.kind == "point" and spec.start.value == 0.0
    assert isinstance(spec.problem.hessian.low, float)
    assert spec.record.trajectories == 0
    assert spec.record_steps() == [300, 800, 2000] and spec.horizon == 2000


def test_a_spec_is_frozen(plateau):
    spec = load_spec(plateau)
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3


def test_a_pool_is_sampled_without_replacement_by_default():
    problem = {"kind": "glm", "family": "logistic", "data": {"generate": {"samples": 50, "dimension": 3}}}
    spec = load_spec(quadratic(problem=problem))
    assert spec.sampling.design == "without-replacement"
    assert spec.problem.metric == "fisher" and spec.problem.ridge == 0.0
    assert spec.problem.data.standardize and spec.problem.data.intercept


def test_dimension_comes_from_eigenvalues_or_a_file(tmp_path):
    tables = quadratic()
    del tables["problem"]["dimension"]
    assert load_spec(tables).problem.dimension == 2
    np.save(tmp_path / "H.npy", np.diag([1.0, 2.0, 3.0]))
    assert load_spec(tables, ["problem.hessian={ file = 'H.npy' }"], base=tmp_path).problem.dimension == 3


def test_arms_differ_in_their_overrides_and_share_the_rest(plateau):
    spec = load_spec(plateau)
    arms = spec.arm_specs()
    assert list(arms) == ["paper", "isotropic"]
    assert arms["paper"].problem == spec.problem
    assert arms["isotropic"].problem.noise.kind == "isotropic"
    assert arms["isotropic"].problem.noise.spectrum == "loguniform"
    assert arms["isotropic"].step == spec.step and arms["isotropic"].seed == spec.seed
    assert all(arm.arms is None for arm in arms.values())


def test_without_arms_the_one_arm_is_main():
    spec = load_spec(quadratic())
    assert spec.arm_specs() == {"main": spec}


@pytest.mark.parametrize(
    "written",
    [
        '"problem.noise.kind" = "isotropic"',
        "problem.noise.kind = 'isotropic'",
        "problem = { noise.kind = 'isotropic' }",
    ],
)
def test_an_arm_may_quote_its_keys_or_not(plateau, written):
    plateau.write_text(PLATEAU.replace('"problem.noise.kind" = "isotropic"', written))
    assert load_spec(plateau).arms == {"paper": {}, "isotropic": {"problem.noise.kind": "isotropic"}}


def test_a_quoted_table_of_an_arm_replaces_the_table(plateau):
    plateau.write_text(
        PLATEAU.replace('"problem.noise.kind" = "isotropic"', '"problem.noise" = { kind = "isotropic" }')
    )
    noise = load_spec(plateau).arm_specs()["isotropic"].problem.noise
    assert noise.kind == "isotropic" and noise.spectrum is None


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("step.size=0.02", lambda s: s.step.size == 0.02),
        ("step.size = 2e-2", lambda s: s.step.size == 0.02),
        ("name=other", lambda s: s.name == "other"),
        ('name="quoted = sign"', lambda s: s.name == "quoted = sign"),
        ("problem.metric=noise", lambda s: s.problem.metric == "noise"),
        ("record.steps=[1, 2]", lambda s: s.record_steps() == [1, 2]),
        ("record.steps={log=3,last=100}", lambda s: s.record_steps() == [1, 10, 100]),
        ("start.kind=gaussian start.scale=1.5", lambda s: s.start.scale == 1.5),
        (
            "problem.hessian={eigenvalues=[1,2]} problem.dimension=2",
            lambda s: s.problem.hessian.eigenvalues == (1.0, 2.0),
        ),
        ('arms.isotropic."sampling.batch"=3', lambda s: s.arm_specs()["isotropic"].sampling.batch == 3),
        ("seed=18446744073709551615", lambda s: s.seed == 2**64 - 1),
    ],
)
def test_overrides(plateau, override, read):
    overrides = override.split(" ") if override.startswith(("start.kind", "problem.hessian")) else [override]
    assert read(load_spec(plateau, overrides))


def test_overrides_of_a_spec_are_checked_alike(plateau):
    spec = load_spec(plateau)
    assert spec.with_overrides(["step.size=0.0103"]).step.size == 0.0103
    assert spec.with_overrides({"sampling.batch": 9}).sampling.batch == 9
    assert spec.with_overrides([]) == spec
    with pytest.raises(SpecError, match=r"^step.size must be > 0, got -1; give a positive number"):
        spec.with_overrides(["step.size=-1"])


def test_seeds(plateau):
    plateau.write_text(PLATEAU.replace("seed = 20261123", ""))
    spec = load_spec(plateau)
    assert spec.seed is None
    with pytest.raises(ValueError, match="no identity"):
        spec.identity()
    drawn = {spec.draw_seed().seed for _ in range(4)}
    assert len(drawn) == 4 and all(0 <= seed < 2**64 for seed in drawn)
    seeded = spec.with_seed(5)
    assert seeded.seed == 5 and seeded.draw_seed() is seeded
    with pytest.raises(ValueError, match="greater than or equal"):
        spec.with_seed(-1)


@pytest.mark.parametrize(
    ("points", "last"), [(60, 100_000), (10, 1000), (2, 7), (1, 7), (5, 1), (300, 20), (200, 2**48)]
)
def test_log_steps_are_the_unique_rounded_points(points, last):
    steps = log_steps(points, last)
    exact = np.unique(np.round(np.geomspace(1, last, points) if points > 1 else [last]).astype(np.int64))
    assert steps[-1] == last and all(a < b for a, b in itertools.pairwise(steps))
    assert len(steps) == len(exact)
    # geomspace itself is rounded: a relative error of a few ulp moves a large point by a step.
    assert np.all(np.abs(np.array(steps) - exact) <= np.ceil(exact * 1e-14))


def test_python_values_stand_for_toml_values(tmp_path):
    np.save(tmp_path / "G.npy", np.eye(2))
    tables = quadratic(seed=np.int64(3), start={"kind": "point", "value": np.array([1.0, 2.0])}, sweep=None)
    tables["problem"]["noise"] = {"file": tmp_path / "G.npy"}
    spec = load_spec(tables)
    assert spec.seed == 3 and spec.start.value == (1.0, 2.0)
    assert load_spec(spec, ["seed=4"]).seed == 4


def test_a_sweep_is_parsed_and_kept(plateau):
    plateau.write_text(PLATEAU + '[sweep]\n"step.size" = [0.01, 0.005]\nsampling.batch = [1, 2]\n')
    assert load_spec(plateau).sweep == {"step.size": [0.01, 0.005], "sampling.batch": [1, 2]}


def test_a_sweep_is_checked_cell_by_cell():
    tables = quadratic(sweep={"problem.hessian.low": [200.0], "problem.hessian.high": [1000.0, 2000.0]})
    tables["problem"]["hessian"] = {"spectrum": "linspace", "low": 1.0, "high": 2.0}
    assert load_spec(tables).sweep
    tables["sweep"]["problem.hessian.high"].append(100.0)
    with pytest.raises(SpecError, match=r"sweep: problem.hessian.low must be <= high, got 200.0 > 100.0"):
        load_spec(tables)


def test_toml_out_has_the_given_keys(plateau):
    spec = load_spec(plateau)
    out = spec.to_toml()
    assert "metric" not in out and "[arms.paper]" in out and '"problem.noise.kind" = "isotropic"' in out
    again = plateau.with_name("again.toml")
    again.write_text(out)
    assert load_spec(again) == spec


def test_toml_out_finds_its_files_from_anywhere(tmp_path):
    home, away = tmp_path / "a home", tmp_path / "away"
    home.mkdir(), away.mkdir()
    np.save(home / "H.npy", np.diag([1.0, 2.0]))
    (home / "a.toml").write_text(spec_toml.dumps(quadratic()))
    spec = load_spec(home / "a.toml", ["problem.hessian={file='H.npy'}"])
    (away / "b.toml").write_text(spec.to_toml())
    assert load_spec(away / "b.toml").identity() == spec.identity()
    assert 'file = "H.npy"' in spec.to_toml(home)


def test_toml_values_survive_writing():
    value = {
        "text": 'a "b" \\ é \x7f \t',
        "list": [1, 2.5, True],
        "empty": [],
        "k.e y": {"x": 1e-300},
        "big": 2**64 - 1,
    }
    assert spec_toml.parse(spec_toml.dumps(value), "x") == value


def test_a_byte_order_mark_is_no_problem(plateau):
    plateau.write_bytes(b"\xef\xbb\xbf" + PLATEAU.encode())
    assert load_spec(plateau).name == "plateau"


def test_a_spec_comes_back_from_its_document(plateau):
    spec = load_spec(plateau, ["record.trajectories=3"])
    stored = json.loads(json.dumps(spec.document(), sort_keys=True))
    again = Spec.from_document(stored, spec.arrays())
    assert again.identity() == spec.identity()
    assert again.document() == spec.document()
    assert (again.name, again.replicates, again.record.trajectories) == ("plateau", 2000, 3)
    assert list(again.arm_specs()) == ["paper", "isotropic"]


def test_a_document_with_an_impossible_value_is_refused(plateau):
    spec = load_spec(plateau)
    with pytest.raises(SpecError, match=r"step.size must be > 0, got -1"):
        Spec.from_document(spec.document() | {"step": {"schedule": "constant", "size": -1}}, {})
    with pytest.raises(SpecError.__base__, match="version 99"):
        Spec.from_document(spec.document() | {"version": 99}, {})


def test_importing_the_spec_loads_no_array_library():
    code = "import sys, fastsgd.spec; print([m for m in ('numpy', 'scipy', 'numba', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

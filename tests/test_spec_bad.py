"""Bad specs: every problem is one line that names the key, the value and a remedy; all of them at once."""

import datetime
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.spec import Spec, load_spec
from fastsgd.spec import toml as spec_toml
from fastsgd.spec.schema import all_keys

GLM = {"kind": "glm", "family": "logistic", "data": {"generate": {"samples": 40, "dimension": 2}}}


def quadratic():
    return {
        "seed": 1,
        "replicates": 100,
        "problem": {
            "kind": "quadratic",
            "dimension": 2,
            "hessian": {"spectrum": "logspace", "low": 1.0, "high": 2.0},
            "noise": {"kind": "isotropic"},
        },
        "sampling": {"batch": 4},
        "step": {"size": 0.1},
        "record": {"steps": [1, 10]},
    }


def lines_of(overrides=(), tables=None, **kwargs):
    with pytest.raises(SpecError) as caught:
        load_spec(quadratic() if tables is None else tables, overrides, **kwargs)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "\n".join(caught.value.lines)
    for line in caught.value.lines:
        assert "\n" not in line and ";" in line, line
        assert not re.search(r"pydantic|Input should|validation error|Traceback|<\w+>", line), line
    return list(caught.value.lines)


def bad_specs(section):
    """(overrides, lines) of a section of bad_specs.txt."""
    text = Path(__file__).with_name("bad_specs.txt").read_text(encoding="utf-8")
    for case in text.partition(f"[{section}]\n$ ")[2].partition("\n\n")[0].split("\n$ "):
        overrides, *lines = case.strip().split("\n")
        yield overrides.split("  "), lines


@pytest.mark.parametrize(("overrides", "lines"), list(bad_specs("quadratic")))
def test_one_problem_gives_its_line(overrides, lines):
    assert lines_of(overrides) == lines


@pytest.mark.parametrize(("overrides", "lines"), list(bad_specs("glm")))
def test_one_problem_of_a_pool_gives_its_line(overrides, lines, monkeypatch):
    monkeypatch.setattr(problems, "check", lambda spec: [])
    assert lines_of(overrides, quadratic() | {"problem": GLM}) == lines


def test_there_are_enough_bad_specs():
    """An unreadable table of cases must not pass for a table without failures."""
    assert len(list(bad_specs("quadratic"))) > 80 and len(list(bad_specs("glm"))) > 10


@pytest.mark.parametrize("key", ["replicates", "problem", "sampling", "step", "record"])
def test_a_missing_table_is_named(key):
    tables = quadratic()
    del tables[key]
    (line,) = lines_of(tables=tables)
    assert line.startswith(f"{key} is required, got nothing; give a")


@pytest.mark.parametrize("key", ["hessian", "noise", "kind", "dimension"])
def test_a_missing_key_of_the_problem_is_named(key):
    tables = quadratic()
    del tables["problem"][key]
    (line,) = lines_of(tables=tables)
    assert line.startswith(f"problem.{key} is required, got nothing; ")


def test_all_problems_are_reported_at_once_in_the_order_of_the_tables(tmp_path):
    np.save(tmp_path / "G.npy", np.array([[1.0, 2.0], [0.0, 1.0]]))
    overrides = [
        "record.steps=[3, 2]",
        "step.size=-1",
        "sampling.batch=0",
        "problem.noise={ file = 'G.npy' }",
        "problem.hessian.low=-1",
        "seed=-1",
        "nonsense",
        "arms.a.step.size=0",
        "sweep.replicates=[1, 0]",
        "colour=red",
    ]
    keys = [line.split(" ")[0].rstrip(":") for line in lines_of(overrides, base=tmp_path)]
    assert keys == [
        "seed",
        "problem.hessian.low",
        "problem.noise.file",
        "sampling.batch",
        "step.size",
        "record.steps",
        "sweep",
        "arms.a",
        '"nonsense"',
        "colour",
    ]


@pytest.mark.parametrize(
    "broken", ["step.size=-1", "problem.hessian={}", "problem.metric=x", "record={}", "sampling={}"]
)
def test_files_are_checked_although_other_tables_have_problems(broken, tmp_path):
    np.save(tmp_path / "G.npy", np.diag([1.0, -1.0]))
    found = lines_of([broken, "problem.noise={file='G.npy'}"], base=tmp_path)
    assert len(found) == 2
    assert any(line.startswith("problem.noise.file must be positive semidefinite") for line in found)


def test_problems_of_files_and_of_arms_come_together(tmp_path):
    np.save(tmp_path / "G.npy", np.diag([1.0, -1.0]))
    changes = ["problem.hessian={file='H.npy'}", "arms.a={}", "arms.b={'problem.noise'={file='G.npy'}}"]
    found = lines_of(changes, base=tmp_path)
    assert len(found) == 2
    assert found[0].startswith('problem.hessian.file = "H.npy" cannot be used: ') and "is not there" in found[0]
    assert found[1].startswith("arms.b: problem.noise.file must be positive semidefinite, got smallest eigenvalue -1")


def test_a_misspelt_key_is_not_also_reported_as_missing():
    tables = quadratic()
    tables["step"] = {"sise": 0.1}
    tables["problem"]["hesian"] = tables["problem"].pop("hessian")
    assert [line.split(" ")[0] for line in lines_of(tables=tables)] == ["problem.hesian", "step.sise"]


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"a": {"b": [[[{}]]]}},
        {"problem": []},
        {"problem": {"kind": []}},
        {"problem": {"kind": {"a": 1}, "hessian": 3, "noise": [1], "metric": [1]}},
        {
            "problem": {
                "kind": "quadratic",
                "hessian": {"eigenvalues": "12", "file": 3},
                "noise": {"eigenvalues": [[1]]},
            }
        },
        {"problem": {"kind": "glm", "data": {"file": 3, "target": [], "generate": 1}, "metric": {"file": 7}}},
        {"problem": {"kind": "glm", "data": {"file": "a\0b.csv", "target": "y"}}},
        {"record": {"steps": [[1], "2", None, {}]}, "arms": [], "sweep": 7},
        {"record": {"steps": {"log": "a", "last": []}}, "arms": {"a": {"problem": 3}}, "sweep": {"a": {"b": {}}}},
        {"start": {"kind": 7, "value": {"a": 1}}, "step": {"schedule": None, "size": []}},
        {"arms": {"": {"": 1}, "a": {"problem.noise.": 1, "problem.noise.x.y": 2, "step.size": {}}}},
        {"seed": 10**5000, "replicates": -(10**300), "step": {"size": 10**400}},
        {1: 2, None: 3, "x" * 5000: "y" * 5000, "a\nb": 1},
        {"step": {"size": datetime.time(1, 2)}, "sampling": {"design": 1, "batch": "x\ny"}},
        {"sweep": {"step.size": [{}, []], "problem.hessian.low": list(range(300))}},
    ],
)
def test_any_tables_give_lines_and_no_traceback(tables):
    for base in ({}, quadratic()) if tables else ({},):
        for line in lines_of(tables=base | tables):
            assert len(line) < 6000


words = st.sampled_from(
    ["kind", "problem", "hessian", "step", "size", "steps", "spectrum", "logspace", "file", "a.b", "", "é"]
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=3) | st.dates()
junk = st.recursive(leaves, lambda x: st.lists(x, max_size=3) | st.dictionaries(words, x, max_size=3), max_leaves=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(all_keys(Spec)), junk, min_size=1, max_size=4), kind=st.booleans())
def test_junk_at_any_key_gives_a_spec_or_lines(changes, kind, monkeypatch):
    """Nothing but a Spec or a SpecError comes out, whatever stands at a key."""
    monkeypatch.setattr(problems, "check", lambda spec: [])
    tables = quadratic() | ({"problem": dict(GLM)} if kind else {})
    for key, value in sorted(changes.items()):
        *above, last = key.split(".")
        node = tables
        for part in above:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[last] = value
    try:
        spec = load_spec(tables)
    except SpecError as error:
        assert error.lines and all("\n" not in line and ";" in line for line in error.lines)
        assert not re.search(r"pydantic|Input should|<(one|list|table|glm|point)>", str(error))
    else:
        assert spec.arm_specs() and spec.to_toml()


FILES = {
    "syntax": (b"seed = 1\nstep = = 3\n", r"is not TOML at line 2, column 8 \(invalid value\); mend the line$"),
    "duplicate": (
        b"seed = 1\nseed = 2\n",
        r"is not TOML at line 2, column 9 \(cannot overwrite a value\); mend the line$",
    ),
    "unclosed": (b'name = "abc', r"is not TOML at .* \(.*\); mend the line$"),
    "binary": (
        b"\x89HDF\r\n\x1a\n\0\0",
        r"is not UTF-8 text \(byte 0x89 at line 1, byte 1\); give a TOML file saved as UTF-8$",
    ),
    "latin-1": ("seed = 1\n# caf\xe9\n".encode("latin-1"), r"is not UTF-8 text \(byte 0xe9 at line 2, byte 6\); "),
    "utf-16": ("seed = 1".encode("utf-16"), r"is not UTF-8 text \(byte 0xff at line 1, byte 1\); "),
    "nul": (b"seed = 1\0\n", r"is not TOML at line 1, column 9 \(.*\); mend the line$"),
    "deep": (b"a = " + b"[" * 5000, r"is not a spec \(nested too deeply\); give a TOML file$"),
    "digits": (b"seed = " + b"9" * 5000, r"is not TOML \(Exceeds the limit.*\); mend the value$"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_spec_gives_one_line_with_the_place(name, tmp_path):
    content, pattern = FILES[name]
    path = tmp_path / "a spec.toml"
    path.write_bytes(content)
    (line,) = lines_of(tables=path)
    assert line.startswith(str(path)) and re.search(pattern, line.removeprefix(f"{path} ")), line


def test_a_file_that_cannot_be_opened_gives_one_line(tmp_path):
    (tmp_path / "plateau.toml").write_text("")
    assert lines_of(tables=tmp_path / "plateu.toml") == [
        f"{tmp_path / 'plateu.toml'} is not there; did you mean plateau.toml?"
    ]
    assert lines_of(tables=tmp_path / "x") == [f"{tmp_path / 'x'} is not there; give a TOML file"]
    assert lines_of(tables=tmp_path / "x" / "y") == [
        f"{tmp_path / 'x' / 'y'} is not there; nor is the folder {tmp_path / 'x'}"
    ]
    assert lines_of(tables=tmp_path) == [f"{tmp_path} is a folder; give a file"]
    assert "cannot be read" in lines_of(tables="a\0b")[0]
    assert "cannot be read (file name too long)" in lines_of(tables="a" * 5000)[0]


def test_an_empty_file_names_all_that_is_missing(tmp_path):
    (tmp_path / "a.toml").write_text("")
    found = lines_of(tables=tmp_path / "a.toml")
    assert [line.split(" ")[0] for line in found] == ["replicates", "problem", "sampling", "step", "record"]


def test_non_finite_numbers_of_toml_are_refused(tmp_path):
    text = spec_toml.dumps(quadratic()).replace("low = 1.0, high = 2.0", "low = nan, high = inf")
    (tmp_path / "a.toml").write_text(text)
    found = lines_of(tables=tmp_path / "a.toml")
    assert [line.split(";")[0] for line in found] == [
        "problem.hessian.low must be finite, got nan",
        "problem.hessian.high must be finite, got inf",
    ]

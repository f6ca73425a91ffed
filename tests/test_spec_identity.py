"""What the identity of a spec depends on, and that it survives TOML and the document of a run."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastsgd import problems
from fastsgd.spec import Spec, load_spec
from fastsgd.spec.files import digest

BASE = {
    "seed": 1,
    "replicates": 100,
    "problem": {
        "kind": "quadratic",
        "dimension": 2,
        "hessian": {"spectrum": "logspace", "low": 1.0, "high": 2.0},
        "noise": {"eigenvalues": [1.0, 0.0]},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.5},
    "record": {"steps": [1, 10, 100]},
}


def identity(*overrides: str, base: Path | None = None) -> str:
    return load_spec(BASE, overrides, base).identity()


def test_the_identity_of_a_spec_never_changes():
    """A stored run is found again by this hash: a change here needs a new document version."""
    assert identity() == "925e92d65ab657e6a34e826ba9052a5acd43a5ac22f8bd3f48733ae10718dda8"


SAME = [
    "name=other",
    "replicates=7",
    "record.trajectories=5",
    "problem.hessian.low=1",
    "step.schedule=constant",
    "start.value=-0.0",
    "start={kind='point', value=0}",
    "record.steps={log=3,last=100}",
    "problem.hessian.seed=9",
    "problem.noise.basis=identity",
    "problem.metric=hessian",
    "sampling.design=fresh",
    "sweep={step.size=[0.1]}",
]
OTHER = [
    "seed=2",
    "sampling.batch=5",
    "step.size=0.25",
    "step={schedule='power',size=0.5,offset=1.0,exponent=1}",
    "record.steps=[1,10,101]",
    "record.steps=[1,100]",
    "problem.hessian.low=1.5",
    "problem.hessian.spectrum=linspace",
    "problem.hessian.basis=random",
    "problem.noise.kind=isotropic",
    "problem.noise.eigenvalues=[0.0,1.0]",
    "problem.metric=identity",
    "start.value=1.0",
    "start={kind='stationary'}",
    "arms.a={}",
    "arms.a={sampling.batch=5}",
    "record.average={burn_in=10}",
    "record.average={burn_in=20}",
    "record.average={burn_in=10,thin=2}",
    "record.average={burn_in=10,batches=31}",
    "problem.noise={eigenvalues=[1.0,0.0],basis='rotation',angle=30}",
    "problem.noise={eigenvalues=[1.0,0.0],basis='rotation',angle=31}",
    "problem.kind='ou'",
]


@pytest.mark.parametrize("override", SAME)
def test_not_in_the_identity(override):
    assert identity(override) == identity()


def test_in_the_identity():
    """Every one of these differs from the base and from all others."""
    assert len({identity(), *(identity(override) for override in OTHER)}) == len(OTHER) + 1


def test_a_seed_of_a_matrix_counts_where_it_is_used():
    random = "problem.hessian.basis=random"
    assert identity(random, "problem.hessian.seed=9") != identity(random)
    assert identity(random, "problem.hessian.seed=0") == identity(random)


def test_an_override_of_an_arm_that_changes_nothing_is_none():
    same = ["arms.a={sampling.batch=4}", "arms.a={step.size=0.5}", "arms.a={problem.noise.basis='identity'}"]
    assert {identity(override) for override in same} == {identity("arms.a={}")}
    assert identity("arms.a={step.size=1}") == identity("arms.a={step.size=1.0}")


def test_defaults_of_averages_and_of_the_ou_process_count_as_given():
    full = "record.average={burn_in=10,thin=1,batches=32}"
    assert identity("record.average={burn_in=10}") == identity(full)
    assert identity("problem.kind='ou'") == identity("problem.kind='ou'", "problem.scheme=exact", "problem.time_step=1")
    ou = [["problem.kind=ou", *more] for more in ([], ["problem.scheme=euler"], ["problem.time_step=0.5"])]
    assert len({identity(*overrides) for overrides in ou}) == 3
    turned = "problem.noise={eigenvalues=[1.0,0.0],basis='rotation',angle=30}"
    assert identity(turned) == identity(turned, "problem.noise.angle=30.0")


@pytest.mark.parametrize(
    "overrides",
    [
        ["record.average={burn_in=10,thin=2,batches=5}"],
        ["problem.kind=ou", "problem.scheme=euler", "problem.time_step=0.25", "arms.a.sampling.batch=2"],
        ["problem.noise={eigenvalues=[1.0,2.0],basis='rotation',angle=30}", "arms.b.problem.noise.angle=60"],
    ],
)
def test_averages_processes_and_angles_survive_toml_and_the_document(overrides, tmp_path):
    spec = load_spec(BASE, overrides)
    (tmp_path / "a.toml").write_text(spec.to_toml())
    assert load_spec(tmp_path / "a.toml").identity() == spec.identity()
    again = Spec.from_document(json.loads(json.dumps(spec.document())), spec.arrays())
    assert again.identity() == spec.identity() and again.record == spec.record
    assert list(again.arm_specs()) == list(spec.arm_specs())


def test_a_file_counts_by_its_numbers(tmp_path):
    np.save(tmp_path / "a.npy", np.diag([1.0, 2.0]))
    np.save(tmp_path / "b.npy", np.asfortranarray(np.diag([1, 2]).astype(np.float32)))
    np.save(tmp_path / "c.npy", np.diag([1.0, 2.0 + 2**-50]))
    a, b, c = (identity(f"problem.hessian={{file='{x}.npy'}}", base=tmp_path) for x in "abc")
    assert a == b and a != c


def test_a_table_counts_by_its_numbers_and_not_by_names(tmp_path):
    (tmp_path / "a.csv").write_text("u,v,y\n1,2,0\n3,5,1\n4,4,1\n2,1,0\n")
    (tmp_path / "b.csv").write_text('# origin\np,"z z",q\r\n1.0,0,2e0\r\n3,1,5\r\n4,1,4\r\n2,0,1\r\n')
    (tmp_path / "c.csv").write_text("u,v,y\n1,2,0\n3,5,1\n4,4,1\n2,1,1\n")
    found = []
    for name, target in (("a", "y"), ("b", "z z"), ("c", "y")):
        problem = {"kind": "glm", "family": "linear", "data": {"file": f"{name}.csv", "target": target}}
        found.append(load_spec(BASE | {"problem": problem}, base=tmp_path))
    a, b, c = (spec.identity() for spec in found)
    assert a == b and a != c
    assert found[1].table().names == ["p", "q"]
    again = Spec.from_document(json.loads(json.dumps(found[1].document())), found[1].arrays())
    assert again.identity() == b and again.table().names == ["p", "q"]
    assert np.array_equal(again.table().features, found[0].table().features)


def test_a_digest_depends_on_shape_and_values_only():
    a = np.arange(6.0)
    assert digest(a) != digest(a.reshape(2, 3)) != digest(a.reshape(3, 2))
    assert digest(a) == digest(np.arange(12.0)[::2] / 2) == digest(np.arange(6))
    assert digest(np.array([0.0])) == digest(np.array([-0.0]))


def test_a_run_keeps_what_a_spec_said_although_the_file_changes(tmp_path):
    np.save(tmp_path / "a.npy", np.diag([1.0, 2.0]))
    spec = load_spec(BASE, ["problem.hessian={file='a.npy'}"], tmp_path)
    before = spec.identity()
    np.save(tmp_path / "a.npy", np.diag([1.0, 3.0]))
    assert spec.identity() == before and spec.arm_specs()["main"].identity() == before
    assert not spec.array("a.npy").flags.writeable


positive = st.floats(1e-300, 1e300)
count = st.integers(1, 10**6)


def two(draw, values):
    low, high = sorted((draw(values), draw(values)))
    return {"low": low, "high": high}


@st.composite
def matrices(draw, noise: bool):
    matrix = {}
    source = draw(st.sampled_from(["spectrum", "eigenvalues", "file", *(["none"] if noise else [])]))
    if source == "spectrum":
        matrix = {"spectrum": draw(st.sampled_from(["logspace", "linspace", "loguniform"])), **two(draw, positive)}
    elif source == "eigenvalues":
        matrix = {"eigenvalues": draw(st.lists(positive | st.integers(1, 9), min_size=2, max_size=2))}
    elif source == "file":
        matrix = {"file": draw(st.sampled_from(["H.npy", "I.npy"]))}
    if source in ("spectrum", "eigenvalues"):
        matrix |= draw(
            st.fixed_dictionaries({}, optional={"basis": st.sampled_from(["identity", "random"]), "seed": count})
        )
    if noise and (source == "none" or draw(st.booleans())):
        matrix["kind"] = "isotropic"
    return matrix


@st.composite
def quadratics(draw):
    metric = st.sampled_from(["hessian", "noise", "identity", {"file": "I.npy"}])
    return {
        "kind": "quadratic",
        "dimension": 2,
        "hessian": draw(matrices(noise=False)),
        "noise": draw(matrices(noise=True)),
        **draw(st.fixed_dictionaries({}, optional={"metric": metric})),
    }


@st.composite
def glms(draw):
    optional = {"seed": count, "correlation": st.floats(-0.99, 0.99), "scale": st.just(1), "noise": positive}
    generated = st.fixed_dictionaries({"samples": st.just(9), "dimension": st.just(2)}, optional=optional)
    data = draw(st.sampled_from([{"file": "x.csv", "target": "y"}, {"generate": draw(generated)}]))
    data = data | draw(st.fixed_dictionaries({}, optional={"standardize": st.booleans(), "intercept": st.booleans()}))
    return {
        "kind": "glm",
        "family": "linear",
        "data": data,
        **draw(st.fixed_dictionaries({}, optional={"ridge": positive | st.just(0), "metric": st.just("noise")})),
    }


steps = st.one_of(
    st.fixed_dictionaries({"size": positive}, optional={"schedule": st.just("constant")}),
    st.fixed_dictionaries(
        {"schedule": st.just("power"), "size": positive, "offset": positive, "exponent": st.floats(0.01, 1.0)}
    ),
)
starts = st.one_of(
    st.fixed_dictionaries({}, optional={"kind": st.just("point"), "value": st.floats(-9, 9) | st.integers(-9, 9)}),
    st.fixed_dictionaries({"kind": st.just("point"), "value": st.lists(st.floats(-9, 9), min_size=2, max_size=2)}),
    st.fixed_dictionaries({"kind": st.just("gaussian"), "scale": positive}),
    st.just({"kind": "stationary"}),
)
recorded = st.one_of(
    st.sets(st.integers(0, 2**48), min_size=1, max_size=9).map(sorted),
    st.fixed_dictionaries({"log": st.integers(1, 40), "last": st.integers(1, 2**48)}),
)


@st.composite
def specs(draw):
    problem = draw(quadratics() | glms())
    overrides = {"step.size": positive}
    if problem["kind"] == "quadratic":
        overrides |= {
            "sampling.batch": count,
            "problem.noise": matrices(noise=True),
            "problem.noise.kind": st.just("isotropic"),
        }
        del problem["dimension"]
        if not any(key in problem["hessian"] for key in ("eigenvalues", "file")):
            problem["dimension"] = 2
    arm = st.fixed_dictionaries({}, optional=overrides)
    names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,5}", fullmatch=True)
    optional = {
        "name": st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8),
        "start": starts,
        "arms": st.dictionaries(names, arm, min_size=1, max_size=3),
    }
    return {
        "seed": draw(st.integers(0, 2**64 - 1)),
        "replicates": draw(count),
        "problem": problem,
        "sampling": {"batch": draw(count)},
        "step": draw(steps),
        "record": {"steps": draw(recorded)},
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with a space")
    np.save(folder / "H.npy", np.array([[2.0, 0.5], [0.5, 1.0]]))
    np.save(folder / "I.npy", np.eye(2))
    (folder / "x.csv").write_text("a,y,b\n1,0.5,2\n3,1,5\n4,2.5,-4\n0,1,1\n")
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables=specs())
def test_a_spec_survives_toml_and_the_document_of_a_run(tables, folder, tmp_path, monkeypatch):
    """Numbers beyond what a problem can use (a step of 1e300) are fine here: only the spec is under test."""
    monkeypatch.setattr(problems, "check", lambda spec: [])
    spec = load_spec(tables, base=folder)
    path = tmp_path / "again.toml"
    path.write_text(spec.to_toml(), encoding="utf-8")
    assert load_spec(path).identity() == spec.identity()
    assert load_spec(path).document() == spec.document()
    stored = Spec.from_document(json.loads(json.dumps(spec.document(), sort_keys=True)), spec.arrays())
    assert stored.identity() == spec.identity()
    assert stored.document() == spec.document()
    assert {key: a.tobytes() for key, a in stored.arrays().items()} == {
        k: a.tobytes() for k, a in spec.arrays().items()
    }
    assert [arm.identity() for arm in stored.arm_specs().values()] == [a.identity() for a in spec.arm_specs().values()]

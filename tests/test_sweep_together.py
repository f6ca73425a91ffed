"""Small cells simulated together: each file has the bytes of its own run, and nothing of a stopped one is lost."""

import numpy as np
import pytest
from small_runs import datasets, tables

import fastsgd
from fastsgd import engine
from fastsgd.errors import InputError, StoppedEarly
from fastsgd.store import skeleton
from fastsgd.sweeps import together

STATIONARY = tables(start__kind="stationary", record__trajectories=5)
AVERAGED = tables(record__average={"burn_in": 8, "thin": 2, "batches": 4})
POOL = {
    "name": "pool",
    "seed": 3,
    "replicates": 100,
    "problem": {
        "kind": "glm",
        "family": "logistic",
        "data": {"generate": {"dimension": 3, "samples": 200, "seed": 1}},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.05},
    "record": {"steps": [5, 30]},
}
OU = {
    "name": "ou",
    "seed": 3,
    "replicates": 100,
    "problem": {
        "kind": "ou",
        "hessian": {"eigenvalues": [1.0, 2.0]},
        "noise": {"eigenvalues": [1.0, 3.0], "basis": "rotation", "angle": 0.4},
        "scheme": "exact",
        "time_step": 1.0,
    },
    "sampling": {"batch": 1},
    "step": {"size": 0.05},
    "record": {"steps": [5, 30]},
}


def cells(folder, base, changes):
    """(number, spec, path) of cells, as a sweep gives them."""
    spec = fastsgd.load_spec(base)
    made = [spec.with_overrides(change) for change in changes]
    assert len({together.alike(one) for one in made}) == 1
    return [(i, one, folder / f"{i}.h5") for i, one in enumerate(made)]


def simulate(some, **options):
    """Errors by number, and the numbers left over."""
    ended = {}
    job = together.Together(some, options, lambda *seen: None, ended.__setitem__)
    return ended, job.run(1)


def bytes_of(path):
    return {name: data for name, data in datasets(path).items() if "provenance" not in name}


@pytest.mark.parametrize(
    "base", [tables(), STATIONARY, AVERAGED, OU, POOL], ids=["start", "stationary", "averages", "ou", "pool"]
)
@pytest.mark.slow
def test_cells_have_the_bytes_of_their_own_runs(base, tmp_path):
    keys = ("step.size",) if base is POOL else ("step.size", "sampling.batch")
    values = ((0.1, 4), (0.05, 4), (0.05, 1), (0.0125, 7))
    changes = [dict(zip(keys, value, strict=False)) for value in (values if len(keys) == 2 else values[:2])]
    some = cells(tmp_path, base, changes)
    ended, left = simulate(some)
    assert (ended, left) == (dict.fromkeys(range(len(some))), [])
    for number, spec, path in some:
        alone = fastsgd.run(spec, tmp_path / f"alone-{number}.h5", threads=2)
        assert bytes_of(path) == bytes_of(alone.path)
        assert path.stat().st_size == alone.path.stat().st_size
    first, second = (fastsgd.open_run(path).risk() for _, _, path in some[:2])
    assert not np.array_equal(first, second)


def test_a_broken_cell_does_not_hold_up_the_others(tmp_path):
    some = cells(tmp_path, tables(), [{"step.size": 0.1}, {"step.size": 0.9}, {"step.size": 0.05}])
    ended, left = simulate(some)
    assert (ended[0], ended[2], left) == (None, None, [])
    assert isinstance(ended[1], InputError)
    assert "step.size must be below" in str(ended[1])
    assert [path.exists() for _, _, path in some] == [True, False, True]


def test_what_takes_too_long_goes_on_as_ordinary_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "COMMIT_SECONDS", 0.0)
    some = cells(tmp_path, tables(), [{"step.size": 0.1}, {"step.size": 0.05}])
    ended, left = simulate(some)
    assert (ended, sorted(left)) == ({}, [0, 1])
    for number, spec, path in some:
        assert 0 < fastsgd.open_run(path).progress.wave_step < 40
        fastsgd.run(spec, path)
        assert bytes_of(path) == bytes_of(fastsgd.run(spec, tmp_path / f"alone-{number}.h5").path)


def test_stopped_cells_are_stored_where_they_are(tmp_path, monkeypatch):
    class Stop(engine.StopRequest):
        def __enter__(self):
            self.reason = "terminated"
            return self

    some = cells(tmp_path, tables(), [{"step.size": 0.1}, {"step.size": 0.05}])
    with monkeypatch.context() as patch, pytest.raises(StoppedEarly):
        patch.setattr(together, "StopRequest", Stop)
        simulate(some)
    for number, spec, path in some:
        assert not fastsgd.open_run(path).finished
        fastsgd.run(spec, path)
        assert bytes_of(path) == bytes_of(fastsgd.run(spec, tmp_path / f"alone-{number}.h5").path)


def test_only_step_and_batch_may_differ():
    spec = fastsgd.load_spec(tables())
    for change in ({"seed": 6}, {"replicates": 64}, {"problem.noise.seed": 8}, {"record.steps": [3, 10]}):
        assert together.alike(spec.with_overrides(change)) != together.alike(spec)
    pool = fastsgd.load_spec(POOL)
    assert together.alike(pool.with_overrides({"sampling.batch": 2})) != together.alike(pool)
    assert together.alike(pool.with_overrides({"step.size": 0.01})) == together.alike(pool)
    assert together.alike(fastsgd.load_spec(tables(arms={"a": {"step.size": 0.05}}))) is None


def test_a_structure_made_before_has_the_bytes_of_a_new_one(tmp_path, monkeypatch):
    """Same lengths of all texts, other texts: copied; another length: made anew."""
    made, copied = [], []

    def build(variables, attrs, documents):
        memory, extents = original(variables, attrs, documents)
        fresh, places, _ = skeleton._built(variables, attrs, documents)
        assert extents == places
        assert memory.size == fresh.size
        assert {n: bytes(p) for n, p in memory.pages.items()} == {n: bytes(p) for n, p in fresh.pages.items()}
        made.append(attrs["identity"])
        return memory, extents

    def copy(*given):
        copied.append(1)
        return patched(*given)

    original, patched = skeleton.build, skeleton._copied
    monkeypatch.setattr(skeleton, "build", build)
    monkeypatch.setattr(skeleton, "_copied", copy)
    for number, size in enumerate((0.11, 0.12, 0.125)):
        fastsgd.run(tables(step__size=size), tmp_path / f"{number}.h5")
    assert len(set(made)) == 3
    assert 1 <= len(copied) <= 2

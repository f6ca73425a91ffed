"""The limit of step size zero over runs of their own: the same as over arms, and for independent seeds."""

import pytest

import fastsgd
from fastsgd.analysis.limits import step_size_limits

SPEC = {
    "name": "logistic",
    "seed": 2,
    "replicates": 512,
    "problem": {
        "kind": "glm",
        "family": "logistic",
        "ridge": 0.05,
        "data": {"generate": {"samples": 80, "dimension": 2, "seed": 4}},
    },
    "sampling": {"batch": 8},
    "step": {"size": 1.0},
    "start": {"kind": "stationary"},
    "record": {"steps": [60, 120]},
}
SIZES = {"full": 1.0, "half": 0.5, "quarter": 0.25}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cells")


@pytest.fixture(scope="module")
def cells(folder):
    return [
        fastsgd.run(SPEC, folder / f"{name}.h5", overrides=[f"step.size={size}"])
        for name, size in reversed(SIZES.items())
    ]


def test_cells_with_one_seed_give_the_rows_of_arms(cells, folder):
    arms = {name: {"step.size": size} for name, size in SIZES.items()}
    report = fastsgd.ratio(fastsgd.run(SPEC | {"arms": arms}, folder / "arms.h5"))
    (limit,) = step_size_limits(cells)
    assert limit.paired and limit.sizes == (1.0, 0.5, 0.25)
    expected = [row for row in report.rows if row.quantity.endswith("(step size -> 0)")]
    assert [(r.quantity, r.step, r.empirical, r.z) for r in limit.rows] == [
        (r.quantity, r.step, r.empirical, r.z) for r in expected
    ]


def test_cells_of_different_seeds_have_a_larger_error(cells, folder):
    other = fastsgd.run(SPEC, folder / "other.h5", overrides=["step.size=0.125", "seed=9"])
    (limit,) = step_size_limits([*cells, other])
    (row,) = limit.rows
    assert not limit.paired
    assert abs(row.z) < 4.5
    assert row.standard_error > next(r for r in step_size_limits(cells)[0].rows).standard_error


def test_what_differs_in_more_is_no_group(cells, folder):
    other = fastsgd.run(SPEC, folder / "batch.h5", overrides=["step.size=0.125", "sampling.batch=4"])
    assert step_size_limits([cells[0], other]) == []
    assert step_size_limits(cells[:1]) == []

"""Cells of a sweep: values, names, seeds, and what is refused."""

import pytest
from small_runs import tables

from fastsgd.errors import InputError
from fastsgd.spec import load_spec
from fastsgd.sweeps import grid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("step.size=0.1,0.05", {"step.size": [0.1, 0.05]}),
        ("sampling.batch = 1, 2", {"sampling.batch": [1, 2]}),
        ("problem.noise.kind=isotropic", {"problem.noise.kind": ["isotropic"]}),
        ("sampling.design=fresh,with-replacement", {"sampling.design": ["fresh", "with-replacement"]}),
        ("start.value=[[0.0, 1.0], [1.0, 0.0]]", {"start.value": [[0.0, 1.0], [1.0, 0.0]]}),
    ],
)
def test_vary_is_read_as_toml_or_bare_words(text, expected):
    assert grid.parse_vary([text]) == expected


@pytest.mark.parametrize("text", ["step.size", "=1", "step.size=", "a b=1"])
def test_what_is_no_vary_is_named(text):
    with pytest.raises(InputError, match="KEY=V1,V2"):
        grid.parse_vary([text])


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        ({}, "nothing is swept"),
        ({"step.size": []}, "must have values"),
        ({"step.size": [0.1, 0.2, 0.1]}, "0.1 twice"),
        ({"arms.a": [1]}, "cannot vary arms.a"),
    ],
)
def test_axes_that_cannot_be_are_refused(vary, words):
    with pytest.raises(InputError, match=words):
        grid.axes_of(load_spec(tables()), vary)


def test_vary_takes_the_place_of_the_spec_values_and_adds_to_them():
    spec = load_spec(tables(sweep={"step.size": [0.1, 0.2]}))
    assert grid.axes_of(spec, {"step.size": [0.3], "sampling.batch": [1]}) == {
        "step.size": [0.3],
        "sampling.batch": [1],
    }


def test_names_are_readable_and_differ():
    axes = {"step.size": [0.1, 0.05], "sampling.batch": [1, 4]}
    cells = grid.cells_of(load_spec(tables()), axes, independent=False)
    assert [cell.name for cell in cells] == [
        "size=0.1,batch=1",
        "size=0.1,batch=4",
        "size=0.05,batch=1",
        "size=0.05,batch=4",
    ]
    alike = grid.cells_of(load_spec(tables()), {"name": ["a b", "a-b", "A-B"]}, independent=False)
    assert len({cell.file.lower() for cell in alike}) == 3
    same_word = grid.cells_of(load_spec(tables()), {"problem.noise.seed": [1], "seed": [2]}, independent=False)
    assert [cell.name for cell in same_word] == ["problem.noise.seed=1,seed=2"]


def test_a_cell_is_the_spec_with_its_values():
    (cell,) = grid.cells_of(load_spec(tables()), {"step.size": [0.05]}, independent=False)
    assert cell.identity == load_spec(tables(step__size=0.05)).identity()


def test_seeds_are_common_or_each_cell_has_its_own_whatever_the_grid():
    spec = load_spec(tables())
    common = grid.cells_of(spec, {"step.size": [0.1, 0.05]}, independent=False)
    assert [cell.spec.seed for cell in common] == [5, 5]
    own = grid.cells_of(spec, {"step.size": [0.1, 0.05]}, independent=True)
    assert own[0].spec.seed != own[1].spec.seed
    (alone,) = grid.cells_of(spec, {"step.size": [0.05]}, independent=True)
    assert alone.identity == own[1].identity


def test_a_cell_without_a_valid_spec_carries_its_error():
    good, bad = grid.cells_of(load_spec(tables()), {"step.size": [0.1, -1.0]}, independent=False)
    assert good.error is None
    assert bad.spec is None and "step.size must be > 0" in bad.error


def test_cost_orders_cells_by_their_work():
    few, many = (load_spec(tables(replicates=n)) for n in (10, 1000))
    assert grid.cost(few) < grid.cost(many)

"""A spec that needs more memory than there is: refused before anything is made, with how much."""

import re

import pytest
from small_runs import tables

from fastsgd.errors import SpecError
from fastsgd.problems import room
from fastsgd.spec import load_spec

LARGE = {"kind": "isotropic"}


def test_what_does_not_fit_is_refused_with_its_size(monkeypatch):
    monkeypatch.setattr(room, "available", lambda: 8e9)
    spec = tables(problem__dimension=60000, problem__hessian={"spectrum": "linspace", "low": 1.0, "high": 2.0})
    spec["problem"]["noise"] = LARGE
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    (line,) = caught.value.lines
    assert re.search(r"about 5\d\d GB of memory, 8 GB are free; take fewer dimensions", line)
    assert load_spec(tables()).problem.dimension == 3


def test_generated_data_and_recorded_steps_count(monkeypatch):
    monkeypatch.setattr(room, "available", lambda: 1e8)
    generate = {"samples": 10**9, "dimension": 20}
    pool = tables(problem={"kind": "glm", "family": "linear", "data": {"generate": generate}})
    pool["sampling"] = {"batch": 2}
    many = tables(record__steps=list(range(1, 200_001)), replicates=10**6, problem__dimension=3)
    for spec in (pool, many):
        with pytest.raises(SpecError, match="of memory"):
            load_spec(spec)


def test_this_machine_says_what_it_has():
    found = room.available()
    assert found is None or 1e6 < found < 1e15

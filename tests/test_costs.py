"""Costs of runs and studies: file size and memory of real runs, arithmetic of machines, the time model."""

import json
from dataclasses import replace

import pytest
from small_runs import tables

import fastsgd
from fastsgd.cli.entry import exit_code
from fastsgd.costs import Rates, cost_of_run, study
from fastsgd.costs.model import cells_of

pytestmark = pytest.mark.slow

RATES = Rates(2, 512, 1.0, 0.02, 1e-6, 1e-5, 0.05, 1e-9, 10**8, 0.5)
LOGISTIC = {
    "kind": "glm",
    "family": "logistic",
    "ridge": 0.05,
    "data": {"generate": {"samples": 500, "dimension": 20, "seed": 4}},
}
RUNS = {
    "small": tables(),
    "many": tables(replicates=5000),
    "rotated": tables(problem__hessian__basis="random", replicates=300),
    "arms": tables(arms={"a": {}, "b": {"step.size": 0.05}}, replicates=700, record__trajectories=40),
    "wide": tables(problem__hessian={"spectrum": "linspace", "low": 1.0, "high": 2.0}, problem__dimension=60),
    "logistic": tables(problem=LOGISTIC, sampling={"batch": 8}),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_file_has_the_predicted_size(tmp_path, name):
    spec = fastsgd.load_spec(RUNS[name])
    run = fastsgd.run(spec, tmp_path / "run.h5")
    size = run.path.stat().st_size
    assert cost_of_run(spec, RATES).disk == pytest.approx(size, rel=0.03, abs=64 * 1024)


def test_time_is_linear_in_replicates_and_steps():
    base = fastsgd.load_spec(tables(record={"steps": [1000]}))
    still = replace(RATES, disk=0.0)
    one = cost_of_run(base, still)
    assert one.seconds == pytest.approx(0.02 + 150 * (1000 * 1e-6 + 1e-5))
    assert one.replicate_steps == 150_000
    more = cost_of_run(base.with_overrides(["replicates=1500000", "record.steps=[10000000]"]), still)
    assert more.seconds == pytest.approx(0.02 + 1_500_000 * (1e7 * 1e-6 + 1e-5))
    assert one.memory < more.memory < 2**30


def test_cells_that_cost_the_same_are_measured_once():
    sweep = {"step.size": [0.1, 0.05, 0.02], "sampling.batch": [1, 2], "start.value": [0.0, 1.0]}
    spec = fastsgd.load_spec(tables(sweep=sweep))
    total, kinds = cells_of(spec)
    assert total == 12
    assert {name: count for name, (_, count) in kinds.items()} == {"sampling.batch = 1": 6, "sampling.batch = 2": 6}
    asked = []

    def measured(one):
        asked.append(one.sampling.batch)
        return RATES

    found = study(spec, 4, measured=measured)
    assert asked == [1, 2]
    assert found.cells == 12 and found.blocks == 36
    work = 12 * cost_of_run(spec, RATES).seconds
    assert found.seconds == pytest.approx(work / 4 + RATES.start)
    assert study(spec, 1, measured=measured).seconds == pytest.approx(work + RATES.start)


def test_a_study_of_the_largest_size():
    """1e6 replicates x 1e7 steps x 1000 cells on 100 machines."""
    spec = fastsgd.load_spec(tables(replicates=10**6, record={"steps": [10**5, 10**7]}))
    found = study(spec, 100, cells=1000, measured=lambda one: RATES)
    assert found.replicate_steps == 1e16
    assert found.seconds == pytest.approx(1e16 * 1e-6 / 100, rel=1e-3)
    assert found.core_hours == pytest.approx(found.seconds * 100 * 2 / 3600)
    assert found.disk == pytest.approx(1000 * 8e6 * (1 + 2 + 3 + 1), rel=0.05)
    assert found.memory < 2**30
    few = study(fastsgd.load_spec(tables()), 1000, measured=lambda one: RATES)
    assert any("no more than as many machines" in note for note in few.notes)


def test_a_measurement_is_short_and_told(tmp_path, capsys):
    path = tmp_path / "small.toml"
    path.write_text(fastsgd.load_spec(tables(sweep={"step.size": [0.1, 0.2]})).to_toml())
    assert (
        exit_code(["plan", str(path), "--json", "--machines", "2", "--budget", "600", "--set", "start.value=1.0"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["rates"]["measured"] < 5
    assert found["study"]["cells"] == 2 and found["study"]["machines"] == 2
    assert found["best_cost"]["seconds"] > 0
    assert exit_code(["plan", str(path), "--machines", "2"]) == 0
    out = capsys.readouterr().out
    assert "measured here just now" in out and "2 cells of 150 replicates on 2 machines" in out

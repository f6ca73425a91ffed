"""Plans of a budget: the grid against `predict`, the best pair against a simulation, Corollary 7.8, flatness."""

import json
import math

import numpy as np
import pytest

import fastsgd
from fastsgd.analysis.budget import Surface, budget
from fastsgd.analysis.budget_errors import expected_errors
from fastsgd.analysis.model import from_spec
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError
from fastsgd.theory import complexity

pytestmark = pytest.mark.slow

SPEC = {
    "name": "small",
    "seed": 3,
    "replicates": 2000,
    "problem": {
        "kind": "quadratic",
        "dimension": 4,
        "hessian": {"spectrum": "logspace", "low": 0.5, "high": 4.0, "basis": "random", "seed": 1},
        "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
    },
    "sampling": {"batch": 3},
    "step": {"size": 0.1},
    "start": {"kind": "point", "value": [1.0, -2.0, 0.5, 0.0]},
    "record": {"steps": [10, 100]},
}
LINEAR = {
    "name": "linear",
    "seed": 12,
    "replicates": 2000,
    "problem": {
        "kind": "glm",
        "family": "linear",
        "ridge": 0.05,
        "data": {"generate": {"samples": 60, "dimension": 3, "seed": 4, "correlation": 0.5}},
    },
    "sampling": {"batch": 4},
    "step": {"size": 0.1},
    "start": {"kind": "point", "value": [1.0, -1.0, 0.5, 0.0]},
    "record": {"steps": [10, 60]},
}
POWER = {"schedule": "power", "size": 1.0, "offset": 5.0, "exponent": 0.75}


def spec_of(tables, **changes):
    return fastsgd.load_spec(tables | changes)


def predicted(spec, batch, size, calls):
    changes = [f"sampling.batch={batch}", f"step.size={size!r}", f"record.steps=[{calls // batch}]"]
    return fastsgd.predict(spec, changes)["risk"][0]


@pytest.mark.parametrize(
    "tables", [SPEC, LINEAR, SPEC | {"step": POWER}, SPEC | {"start": {"kind": "gaussian", "scale": 2.0}}]
)
def test_the_grid_is_what_predict_says_of_each_cell(tables):
    spec = spec_of(tables)
    found, surface = budget(spec, 240, batches=[1, 6, 60], sizes=[0.02, 0.2, 5.0]), Surface(from_spec(spec)[0], 240)
    for i, b in enumerate(found.batches):
        for j, eta in enumerate(found.sizes):
            risk = found.risk[i, j]
            at = predicted(spec, int(b), float(eta), 240)
            if math.isnan(risk):
                assert eta == 5.0
            else:
                assert risk == pytest.approx(at["value"], rel=1e-9)
                frozen = surface.risk(int(b), float(eta))
                assert frozen == pytest.approx(at.get("frozen_noise", risk), rel=1e-9)
    assert np.isnan(found.risk[:, 2]).all() == (tables.get("step") != POWER)


def test_the_best_step_is_a_minimum_and_its_range_within_ten_percent():
    spec = spec_of(SPEC)
    surface = Surface(from_spec(spec)[0], 20_000)
    found = budget(spec, 20_000)
    assert found.choices[found.best].risk == min(c.risk for c in found.choices)
    inner = [c for c in found.choices if c.high < 0.97 * found.sizes[-1] and c.low > found.sizes[0]]
    assert len(inner) > 5
    for c in inner:
        assert c.steps == 20_000 // c.batch
        assert c.low < c.size < c.high
        assert surface.risk(c.batch, c.size) == c.risk
        assert all(surface.risk(c.batch, factor * c.size) > c.risk for factor in (0.97, 1.03))
        assert surface.risk(c.batch, c.low) == pytest.approx(1.1 * c.risk, rel=1e-3)
        assert surface.risk(c.batch, c.high) == pytest.approx(1.1 * c.risk, rel=1e-3)
        assert 0 < c.plateau < c.risk
    best = found.choices[found.best].risk
    assert set(found.close) == {c.batch for c in found.choices if c.risk <= 1.1 * best}


def test_corollary_7_8():
    spec = spec_of(SPEC)
    model = from_spec(spec)[0]
    start = np.array(SPEC["start"]["value"])
    found = budget(spec, 5000)
    setting = complexity.setting(
        model.noise, np.linalg.eigvalsh(model.hessian)[-1], 0.5 * start @ model.hessian @ start
    )
    assert found.largest_feasible == pytest.approx(complexity.largest_feasible_batch(setting, 5000), rel=1e-9)
    for c in found.choices:
        assert c.balanced == pytest.approx(complexity.balanced_step(setting, 5000, c.batch), rel=1e-9)
        assert c.feasible == (c.batch <= found.largest_feasible) == (c.balanced <= 1 / found.smoothness)


def test_the_plan_is_what_the_simulation_gives(tmp_path):
    """Best pair, and a pair the plan says is far worse: R = 2000, |z| < 4.5; the wrong pair's risk is rejected."""
    spec = spec_of(SPEC)
    found = budget(spec, 2000, batches=[2, 16])
    best = found.choices[found.best]
    changes = [f"sampling.batch={best.batch}", f"step.size={best.size!r}", f"record.steps=[{best.steps}]"]
    run = fastsgd.run(SPEC, tmp_path / "best.h5", overrides=changes)
    risk = run.risk("main")[:, 0]
    error = risk.std() / math.sqrt(len(risk))
    assert abs(risk.mean() - best.risk) < 4.5 * error
    worse = predicted(spec, best.batch, 1.5 * best.size, 2000)["value"]
    assert worse > best.risk + 4.5 * error


def test_least_squares_is_planned_with_its_state_dependent_risk():
    spec = spec_of(LINEAR)
    found = budget(spec, 400, batches=[1, 4])
    surface = Surface(from_spec(spec)[0], 400)
    for c in found.choices:
        at = predicted(spec, c.batch, c.size, 400)
        assert c.risk == c.risk_exact == pytest.approx(at["value"], rel=1e-8)
        assert c.frozen == pytest.approx(at["frozen_noise"], rel=1e-8) and c.frozen < c.risk
        beside = [surface.exact(c.batch, factor * c.size) for factor in (0.97, 1.03)]
        assert min(beside) > c.risk * (1 - 1e-5)  # the best step is that of the exact risk
    for i, j in [(0, 0), (1, 20), (1, 35)]:
        assert found.risk[i, j] == surface.exact(int(found.batches[i]), float(found.sizes[j]))
        assert found.error[i, j] == 0 and found.trusted[i, j]
    assert found.stable[0] < found.stable[1] < surface.edge


LOGISTIC = LINEAR | {
    "name": "logistic",
    "problem": LINEAR["problem"] | {"family": "logistic"},
    "start": {"kind": "point", "value": [1.0, -1.0, 0.5, 0.0]},
}


def test_a_pilot_corrects_what_frozen_noise_lacks():
    """Cells of the grid against 4096 fresh replicates: |z| < 4.5 with the stated error; frozen noise fails the same."""
    from fastsgd.piloting import Pilot

    spec = spec_of(LOGISTIC)
    found = budget(spec, 600, [1, 4], pilot=lambda surface: Pilot(spec), replicates=256)
    assert found.cells >= 10 and found.replicates == 256
    fresh, surface = Pilot(spec.with_seed(99)), Surface(from_spec(spec)[0], 600)
    z, plain = [], []
    for i, b in enumerate(found.batches.tolist()):
        for j in (20, 30, 36):
            assert found.trusted[i, j] == (found.error[i, j] <= 0.1 and found.sizes[j] <= 0.5 * surface.edge)
            risks = fresh(b, float(found.sizes[j]), 600 // b, 4096)
            mean, error = risks.mean(), risks.std() / risks.mean() / 64
            z.append(math.log(found.risk[i, j] / mean) / math.hypot(error, found.error[i, j]))
            plain.append(math.log(surface.risk(b, float(found.sizes[j])) / mean) / error)
    assert max(map(abs, z)) < 4.5
    assert max(map(abs, plain)) > 10
    best = found.choices[found.best]
    mean, error = found.simulated
    assert abs(best.risk - mean) < 4.5 * math.hypot(error, best.error * best.risk)
    again = budget(spec, 600, [1, 4], pilot=lambda surface: Pilot(spec), replicates=256)
    assert np.array_equal(again.risk, found.risk, equal_nan=True)


def test_errors_of_a_smooth_surface_hold_where_it_was_not_seen():
    """60 noisy values of a smooth function, 8 times, and 300 other places each: z has a root mean square of about 1."""
    from fastsgd.analysis.budget_kriging import Surface as Kriging

    def truth(b, v):
        return np.log1p(3 * v / b) + 0.2 * v

    squares = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        (b, c), v, w = 2.0 ** rng.integers(0, 8, (2, 300)), 10 ** rng.uniform(-3, 0, 300), 10 ** rng.uniform(-3, 0, 300)
        b, v, y = b[:60], v[:60], truth(b[:60], v[:60]) + 0.05 * rng.standard_normal(60)
        mean, error = Kriging.fit(b, v, y, np.full(60, 0.05**2))(c, w)
        squares.append(np.mean(((mean - truth(c, w)) / error) ** 2))
    assert 0.25 < np.mean(squares) < 2
    assert np.median(error) < 0.03  # less than one value has
    told = Kriging.fit(b, v, y, np.full(60, 0.01**2))  # a fifth of the noise there is
    assert told.inflation > 1.3 or np.median(told(c, w)[1]) > 0.03


def test_starts_without_anything_to_learn_are_told():
    found = budget(spec_of(SPEC, start={"kind": "point", "value": 0.0}), 1000)
    assert any("nothing has to be learnt" in note for note in found.notes)
    assert all(c.feasible and c.balanced == 0 for c in found.choices)
    found = budget(spec_of(LINEAR, start={"kind": "stationary"}), 1000)
    assert any("starts at theta = 0" in note for note in found.notes)
    assert found.gap0 > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batches": [0]}, "between 1 and the budget of 100"),
        ({"batches": [101]}, "between 1 and the budget of 100"),
        ({"sizes": [-1.0]}, "step sizes must be > 0"),
        ({"sizes": [7.0]}, "no step size of the grid is stable"),
    ],
)
def test_impossible_grids(arguments, said):
    with pytest.raises(InputError, match=said):
        budget(spec_of(SPEC), 100, **arguments)
    with pytest.raises(InputError, match="the pool of 60"):
        budget(spec_of(LINEAR), 100, batches=[61])


@pytest.mark.parametrize("tables", [SPEC, SPEC | {"arms": {"a": {}, "b": {"step.size": 0.05}}}])
def test_expected_errors_are_those_of_the_run(tmp_path, tables):
    spec = spec_of(tables)
    rows = expected_errors(spec)
    report = fastsgd.ratio(fastsgd.run(spec, tmp_path / "run.h5"))
    assert len([r for r in rows if r.quantity in ("risk", "covariance")]) == 4 * len(spec.arms or [0])
    assert all(row.known_to == (None if "at most" in row.quantity else 0) for row in rows)
    for row in rows:
        same = [r for r in report.rows if (r.arm, r.step) == (row.arm, row.step) and r.quantity == row.quantity]
        if row.quantity.startswith("risk ratio"):
            (same,) = [r for r in report.rows if (r.arm, r.step) == (row.arm, row.step)]
            assert same.standard_error / same.predicted < row.standard_error
            continue
        (same,) = same
        slack = 0 if row.quantity.startswith("risk") else 1e-3  # R - 1 against R
        assert same.standard_error / same.predicted == pytest.approx(row.standard_error, rel=1e-9 + slack)
        assert row.for_one_percent == math.ceil((row.standard_error * math.sqrt(2000) / 0.01) ** 2)


def test_errors_of_other_laws_come_from_a_rehearsal(tmp_path):
    """Huber losses have heavier tails than the Gaussian: forecasts against the scatter of 4096 replicates, |z| < 4.5."""
    from fastsgd.piloting import rehearse

    tables = LINEAR | {
        "problem": LINEAR["problem"] | {"family": "huber", "threshold": 0.5},
        "sampling": {"batch": 1},
        "step": {"size": 0.3},
        "replicates": 4096,
        "start": {"kind": "stationary"},
        "record": {"steps": [60, 200], "average": {"burn_in": 40, "thin": 5}},
        "arms": {"a": {}, "b": {"step.size": 0.15}},
    }
    spec = spec_of(tables)
    run, worst = fastsgd.run(spec, tmp_path / "run.h5"), 0.0
    rows = {(r.arm, r.quantity, r.step): r for r in fastsgd.ratio(run).rows}
    gaussian = {(r.arm, r.quantity, r.step): r for r in expected_errors(spec)}
    seen = 0
    for row in expected_errors(spec, rehearsal=rehearse(spec)):
        place = row.arm, row.quantity, row.step
        said = rows[place].standard_error / rows[place].predicted
        known = row.known_to * math.sqrt(1 + 2048 / 4096)
        assert abs(row.standard_error / said - 1) < 4.5 * known
        seen += 1
        if row.arm != "all":
            worst = max(worst, abs(gaussian[place].standard_error / said - 1) / known)
            assert gaussian[place].known_to is None
        else:
            assert row.standard_error < gaussian["all", f"{row.quantity} (at most)", row.step].standard_error
    assert seen == 13
    assert worst > 6


@pytest.mark.parametrize("trajectories", [0, 512])
def test_covariances_that_the_run_will_not_test_are_said_to_be(tmp_path, trajectories):
    """Far from the optimum the risk scatters by the mean that has still to go: only kept trajectories tell."""
    from fastsgd.piloting import rehearse

    tables = LINEAR | {
        "problem": LINEAR["problem"] | {"family": "probit", "ridge": 0.1},
        "sampling": {"batch": 2},
        "step": {"size": 0.3},
        "start": {"kind": "point", "value": 1.0},
        "record": {"steps": [1, 40], "trajectories": trajectories},
    }
    spec = spec_of(tables | {"replicates": 1024})
    rows = {r.step: r for r in fastsgd.ratio(fastsgd.run(spec, tmp_path / "run.h5")).rows if r.quantity == "covariance"}
    said = {r.step: r for r in expected_errors(spec, rehearsal=rehearse(spec)) if r.quantity == "covariance"}
    assert [said[k].tested for k in (1, 40)] == [rows[k].in_verdict for k in (1, 40)] == [trajectories > 0, True]
    assert (said[1].known_to is None) == (trajectories == 0)
    n, rehearsed = trajectories or 1024, trajectories or 2048
    known = said[40].known_to
    assert abs(said[40].standard_error / rows[40].standard_error - 1) < 4.5 * known * math.sqrt(1 + rehearsed / n)
    gaussian = next(r for r in expected_errors(spec) if (r.quantity, r.step) == ("covariance", 1))
    assert said[1].standard_error > 1.5 * gaussian.standard_error and gaussian.tested


def test_the_command_line(tmp_path, capsys):
    path = tmp_path / "small.toml"
    path.write_text(fastsgd.load_spec(SPEC).to_toml())
    arguments = ["plan", str(path), "--budget", "1e3", "--batches", "1,4", "--steps", "0.01,0.1", "--no-measure"]
    assert exit_code([*arguments, "--json", "-o", str(tmp_path / "plan")]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["budget"]["batches"] == [1, 4] and found["budget"]["step_sizes"] == [0.01, 0.1]
    assert found["cost"] is None
    assert found["budget"]["trusted"] == [[True, True]] * 2 and found["budget"]["relative_error"] == [[0, 0]] * 2
    assert err.split() == [str(tmp_path / "plan.png"), str(tmp_path / "plan.pdf")]
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    averaged = ["--set", "record.average={burn_in=0,thin=1,batches=4}", "--set", "replicates=64"]
    assert exit_code(["plan", str(path), "--budget", "40", *averaged]) == 0  # a budget that ends before the averages
    assert exit_code([*arguments, "--full"]) == 0
    assert "best: batch" in capsys.readouterr().out
    for wrong in (
        ["--budget", "x"],
        ["--batches", "1,x"],
        ["--budget", "0.5"],
        ["-o", "x.png"],
        ["--budget", "9", "--pilot", "1"],
    ):
        assert exit_code(["plan", str(path), "--no-measure", *wrong]) == 2
    capsys.readouterr()


def test_the_mean_of_a_surface_alone_is_that_of_all_of_it():
    from fastsgd.analysis.budget_kriging import Surface as Kriging

    rng = np.random.default_rng(5)
    b, v = 2.0 ** rng.integers(0, 6, 30), rng.uniform(0.01, 0.9, 30)
    found = Kriging.fit(b, v, 0.3 * v + 0.02 * rng.normal(size=30), np.full(30, 4e-4))
    at = 2.0 ** rng.integers(0, 8, 50), rng.uniform(0.005, 1.0, 50)
    np.testing.assert_allclose(found.mean(*at), found(*at)[0], rtol=1e-10, atol=1e-13)
    assert np.ptp(found.mean(*at)) > 0.1

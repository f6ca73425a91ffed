"""Ratios and verdicts on runs simulated with NumPy, each with a negative control that must be rejected."""

import csv
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from front_standin import arm_spec, matrices, simulate
from scipy import stats

import fastsgd
from fastsgd.analysis.report import joint_csv, joint_dict
from fastsgd.analysis.zscores import Z_LIMIT
from fastsgd.errors import InputError

HESSIAN, NOISE = matrices(3)
STEPS = [0, 1, 5, 40, 160]


@pytest.fixture(scope="module")
def run():
    """Two arms with a common stream: d = 3, 3000 replicates, eta = 0.05."""
    arms = {"one": arm_spec(), "large": arm_spec(batch=8)}
    return simulate(arms, HESSIAN, {"one": NOISE, "large": NOISE}, 3000, STEPS, seed=5)


def claimed(run, **changes):
    """The same data with another claim of what was run."""
    return replace(run, specs={arm: arm_spec(**({"batch": 4 * (1 + i)} | changes)) for i, arm in enumerate(run.arms)})


def by_quantity(report, quantity, arm="one"):
    return {row.step: row for row in report.rows if row.quantity == quantity and row.arm == arm}


def test_a_faithful_run_is_consistent(run):
    report = fastsgd.ratio(run)
    assert report.verdict == "consistent"
    assert report.tests == sum(row.in_verdict for row in report.rows)
    risk = by_quantity(report, "risk")
    assert list(risk) == [1, 5, 40, 160]  # step 0 of a point start is not random
    for row in risk.values():
        assert row.standard_error == pytest.approx(row.standard_error_sample, rel=0.15)
    for quantity in ("covariance", "covariance shape", "mean", "risk (all steps)", "covariance (all steps)"):
        assert by_quantity(report, quantity)


@pytest.mark.parametrize(
    "wrong", [{"size": 0.05 * 1.06}, {"start": SimpleNamespace(kind="point", value=0.02)}, {"schedule": "power"}]
)
def test_a_wrong_claim_is_inconsistent(run, wrong):
    wrong = wrong if wrong.get("schedule") is None else wrong | {"offset": 1.0, "exponent": 0.01}
    assert fastsgd.ratio(claimed(run, **wrong)).verdict == "inconsistent"


def test_isotropic_noise_of_the_same_trace_is_told_apart(run):
    isotropic = np.trace(NOISE) / 3 * np.eye(3)
    problems = {arm: run.problems[arm] | {"noise": isotropic} for arm in run.arms}
    report = fastsgd.ratio(replace(run, problems=problems))
    assert report.verdict == "inconsistent"
    assert all(row.z > 10 for row in by_quantity(report, "covariance shape").values())


def test_three_per_cent_of_the_step_size_show_when_all_steps_are_taken_together():
    steps = [100 * i for i in range(1, 9)]
    noises = {"main": NOISE}
    run = simulate({"main": arm_spec(size=0.1)}, HESSIAN, noises, 4000, steps, seed=6)
    assert fastsgd.ratio(run).verdict == "consistent"
    report = fastsgd.ratio(replace(run, specs={"main": arm_spec(size=0.103)}))
    assert report.verdict == "inconsistent"
    combined = by_quantity(report, "covariance (all steps)", "main")[None]
    assert combined.standard_error < min(r.standard_error for r in by_quantity(report, "covariance", "main").values())


@pytest.mark.slow
def test_the_standard_error_of_all_steps_is_the_scatter_between_runs():
    """200 small runs: the scatter of the combined rows agrees with the stated error, and their z is standard normal."""
    rows = {"risk (all steps)": [], "covariance (all steps)": []}
    for seed in range(200):
        run = simulate({"main": arm_spec(size=0.2)}, HESSIAN, {"main": NOISE}, 60, [2, 4, 8, 30], seed)
        for quantity, found in rows.items():
            found += by_quantity(fastsgd.ratio(run), quantity, "main").values()
    for found in rows.values():
        scatter = np.std([row.empirical for row in found], ddof=1)
        assert abs(scatter / found[0].standard_error - 1) < 4 / np.sqrt(2 * 199)
        assert stats.kstest([row.z for row in found], "norm").pvalue > 1e-4


@pytest.mark.slow
def test_false_alarms_with_fifty_replicates_in_two_dimensions():
    """300 runs tested at 5 %: at most 15 + 4 sqrt(15) alarms (tests of a run are correlated, so fewer are expected)."""
    hessian, noise = matrices(2)
    alarms = 0
    for seed in range(300):
        run = simulate({"main": arm_spec(size=0.2)}, hessian, {"main": noise}, 50, [1, 5, 30], seed)
        alarms += not fastsgd.ratio(run, false_alarm=0.05).consistent
    assert 1 <= alarms <= 15 + 4 * np.sqrt(15)


def test_ratio_of_arms_has_the_small_error_of_common_draws(run):
    rows = [row for row in fastsgd.ratio(run).rows if row.quantity == "risk ratio one/large"]
    assert [row.step for row in rows] == [1, 5, 40, 160]
    assert all(row.predicted == pytest.approx(2.0, rel=1e-12) for row in rows)
    # The arms differ by a factor only: their paired difference has no error left.
    assert all(abs(row.z) < 5 for row in rows)
    isotropic = np.trace(NOISE) / 3 * np.eye(3)
    pair = {"one": arm_spec(), "isotropic": arm_spec()}
    other = simulate(pair, HESSIAN, {"one": NOISE, "isotropic": isotropic}, 2000, [40], seed=8)
    (row,) = [row for row in fastsgd.ratio(other).rows if row.quantity.startswith("risk ratio")]
    risks = [other.risk(arm)[:, 0] for arm in pair]
    unpaired = row.empirical * np.sqrt(sum((r.std() / r.mean()) ** 2 for r in risks) / 2000)
    assert row.standard_error < 0.8 * unpaired
    assert abs(row.z) < 4


def test_a_gaussian_start_counts_at_step_zero():
    start = SimpleNamespace(kind="gaussian", scale=0.5)
    run = simulate({"main": arm_spec(start=start)}, HESSIAN, {"main": NOISE}, 500, [0, 3], seed=9)
    report = fastsgd.ratio(run)
    assert report.consistent
    assert list(by_quantity(report, "risk", "main")) == [0, 3]
    other = SimpleNamespace(kind="gaussian", scale=0.6)
    assert not fastsgd.ratio(replace(run, specs={"main": arm_spec(start=other)})).consistent


def test_one_replicate_is_judged_by_the_model():
    run = simulate({"main": arm_spec()}, HESSIAN, {"main": NOISE}, 1, STEPS, seed=10)
    report = fastsgd.ratio(run)
    assert report.consistent
    assert {row.quantity for row in report.rows} == {"risk", "mean", "risk (all steps)"}
    assert all(row.standard_error_sample is None for row in report.rows)
    far = replace(run, risks={"main": 40 * run.risks["main"]})
    assert not fastsgd.ratio(far).consistent


def test_one_replicate_of_a_nonlinear_problem_is_refused():
    run = simulate({"main": arm_spec()}, HESSIAN, {"main": NOISE}, 1, STEPS, seed=10)
    with pytest.raises(InputError, match="1 replicate of a problem on data"):
        fastsgd.ratio(replace(run, specs={"main": arm_spec(kind="glm")}))


def test_divergence_is_counted_said_and_inconsistent(run):
    risks = {arm: values.copy() for arm, values in run.risks.items()}
    risks["one"][7, 3:] = np.nan
    diverged = {"one": np.where(np.arange(3000) == 7, 30, -1), "large": run.diverged["large"]}
    counts = {"one": np.array([3000, 3000, 3000, 2999, 2999]), "large": run.counts["large"]}
    report = fastsgd.ratio(replace(run, risks=risks, diverged=diverged, counts=counts))
    assert not report.consistent
    (note,) = [note for note in report.notes if "diverged" in note]
    assert "1 of 3000 replicates diverged (first at step 30)" in note
    assert "2999 at step 40" in note
    risk = by_quantity(report, "risk")
    assert (risk[40].replicates, risk[40].in_verdict, risk[5].in_verdict) == (2999, False, True)


def test_divergence_of_an_unstable_step_is_as_predicted(run):
    unstable = {arm: arm_spec(size=0.6, batch=b) for arm, b in (("one", 4), ("large", 8))}
    made = simulate(unstable, HESSIAN, {"one": NOISE, "large": NOISE}, 200, [1, 5, 20], seed=3)
    risks = {arm: np.where(np.arange(3) == 2, np.nan, values) for arm, values in made.risks.items()}
    diverged = dict.fromkeys(made.arms, np.full(200, 19))
    counts = dict.fromkeys(made.arms, np.array([200, 200, 0]))
    report = fastsgd.ratio(replace(made, risks=risks, diverged=diverged, counts=counts))
    assert report.consistent
    assert list(by_quantity(report, "risk")) == [1, 5]


def test_a_finite_run_contradicts_a_prediction_that_overflows(run):
    far = replace(run, steps=np.array([0, 1, 5, 40, 10**7]))
    report = fastsgd.ratio(claimed(far, size=1.0))
    row = by_quantity(report, "risk")[10**7]
    assert (row.z, report.verdict) == (-Z_LIMIT, "inconsistent")
    json.loads(report.to_json())


def test_an_unfinished_run_says_how_much_there_is(run):
    part = {arm: values[:1000] for arm, values in run.risks.items()}
    moments = simulate(run.specs, HESSIAN, {"one": NOISE, "large": NOISE}, 3000, STEPS, seed=5)
    report = fastsgd.ratio(replace(moments, risks=part, finished=False))
    assert report.replicates == 1000
    assert report.planned == 3000
    assert any("unfinished: 1000 of 3000" in note for note in report.notes)
    empty = {arm: values[:0] for arm, values in run.risks.items()}
    with pytest.raises(InputError, match="no finished replicates yet"):
        fastsgd.ratio(replace(run, risks=empty, finished=False))


def test_no_noise_at_all_is_compared_exactly():
    start = SimpleNamespace(kind="point", value=1.0)
    tiny = {"main": 1e-300 * np.eye(3)}
    run = simulate({"main": arm_spec(start=start)}, HESSIAN, tiny, 3, [1, 10], seed=1)
    silent = replace(run, problems={"main": run.problems["main"] | {"noise": np.zeros((3, 3))}})
    assert fastsgd.ratio(silent).consistent
    shifted = replace(silent, risks={"main": run.risks["main"] * (1 + 1e-7)})
    assert not fastsgd.ratio(shifted).consistent


def test_json_csv_and_text_say_the_same(run):
    report = fastsgd.ratio(run)
    content = json.loads(report.to_json())
    assert content.keys() >= {"run", "identity", "rows", "verdict", "threshold", "tests", "errors", "notes"}
    assert content["rows"][0].keys() >= {
        "arm", "quantity", "step", "empirical", "standard_error", "standard_error_sample", "predicted", "ratio", "z",
    }  # fmt: skip
    table = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [float(row["z"]) for row in table] == [row["z"] for row in content["rows"]]
    text = report.to_text()
    assert text.splitlines()[-1].startswith(f"verdict: consistent ({report.tests} two-sided tests, |z| <= ")
    assert max(map(len, text.split("\n\n")[1].splitlines())) < 130


def test_several_runs_are_one_list(run):
    first, second = fastsgd.ratio(run), fastsgd.ratio(claimed(run, size=0.08))
    assert joint_dict([first]) == first.as_dict()
    both = joint_dict([first, second])
    assert both["verdict"] == "inconsistent"
    assert len(both["runs"]) == 2
    assert len(joint_csv([first, second]).splitlines()) == 1 + len(first.rows) + len(second.rows)


def test_rounding_around_an_optimum_is_no_noise():
    """A predicted risk of 0 allows what rounding of theta leaves, relative to theta*, and not more."""
    run = simulate({"main": arm_spec()}, HESSIAN, {"main": NOISE}, 3, [1, 10], seed=1)
    problem = {"main": run.problems["main"] | {"noise": np.zeros((3, 3)), "optimum": np.array([3.0, 0.0, 0.0])}}
    rounding = replace(run, problems=problem, risks={"main": np.full((3, 2), 1e-30)})
    assert fastsgd.ratio(rounding).consistent
    assert not fastsgd.ratio(replace(rounding, risks={"main": np.full((3, 2), 1e-18)})).consistent

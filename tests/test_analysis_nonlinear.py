"""Frozen-noise predictions: biased at every step size, right in the limit. Least squares with multiplicative noise."""

from dataclasses import replace

import numpy as np
import pytest
from front_standin import arm_spec, stored

import fastsgd
import fastsgd.analysis
from fastsgd.analysis.scatter import sizes

STEPS = np.array([100, 400, 700, 1000])
REPLICATES = 4000


def multiplicative(sizes, seed=4):
    """delta' = delta - eta (h delta + xi + zeta delta), Var zeta = v: the variance is above the frozen-noise one.

    Per coordinate S = eta^2 s / (1 - (1 - eta h)^2 - eta^2 v); frozen noise is v = 0.
    """
    rng = np.random.default_rng(seed)
    hessian, noise, extra = np.diag([1.0, 2.0]), np.diag([1.0, 0.5]), 0.6
    delta = {name: np.zeros((REPLICATES, 2)) for name in sizes}
    paths = {name: [] for name in sizes}
    for k in range(STEPS[-1] + 1):
        if k in STEPS:
            for name in sizes:
                paths[name].append(delta[name])
        xi = rng.standard_normal((REPLICATES, 2)) * np.sqrt(np.diag(noise))
        zeta = np.sqrt(extra) * rng.standard_normal((REPLICATES, 2))
        for name, eta in sizes.items():
            delta[name] = delta[name] - eta * (delta[name] @ hessian + xi + zeta * delta[name])
    arms = {name: arm_spec(kind="glm", batch=1, size=eta) for name, eta in sizes.items()}
    noises = dict.fromkeys(sizes, noise)
    return stored(arms, hessian, noises, hessian, STEPS, {name: np.stack(path, 1) for name, path in paths.items()})


@pytest.fixture(scope="module")
def run():
    return multiplicative({"full": 0.4, "half": 0.2, "quarter": 0.1})


def test_the_limit_is_consistent_and_single_steps_are_not(run):
    report = fastsgd.ratio(run)
    limits = [(row.quantity, row.step) for row in report.rows if row.quantity.endswith("(step size -> 0)")]
    risk, covariance = "risk (step size -> 0)", "covariance (step size -> 0)"
    assert limits == [(risk, 1000), (covariance, 1000), (risk, None)]
    assert report.consistent
    assert report.tests == 3
    full = [row for row in report.rows if (row.arm, row.quantity) == ("full", "risk")]
    assert all(row.z > 5 and not row.in_verdict for row in full)
    assert any("extrapolated to step size 0" in note for note in report.notes)


def test_the_correction_shrinks_with_the_step_size(run):
    corrections = fastsgd.ratio(run).corrections
    assert [c["step_size"] for c in corrections] == [0.4, 0.2, 0.1]
    values = [c["correction"] for c in corrections]
    assert values[0] > values[1] > values[2]
    for c in corrections:
        eta, h, s = c["step_size"], np.array([1.0, 2.0]), np.array([1.0, 0.5])
        frozen = eta**2 * s / (1 - (1 - eta * h) ** 2)
        true = eta**2 * s / (1 - (1 - eta * h) ** 2 - 0.6 * eta**2)
        assert abs(c["correction"] - (h @ true / (h @ frozen) - 1)) < 4 * c["standard_error"]


def test_sizes_average_to_the_covariance_row(run):
    report = fastsgd.ratio(run)
    evaluation = fastsgd.analysis.evaluate(run)
    for prediction, seen in zip(evaluation.predictions, evaluation.observed, strict=True):
        key = (prediction.model.arm, "covariance", 1000)
        (row,) = [row for row in report.rows if (row.arm, row.quantity, row.step) == key]
        assert sizes(prediction, seen, -1, seen.final).mean() == pytest.approx(row.empirical, rel=1e-12)


def test_a_wrong_design_is_rejected_in_the_limit(run):
    """A batch of 1 predicted as 1.1: noise 10 % too small in the prediction."""
    noisy = {arm: run.problems[arm] | {"noise": run.problems[arm]["noise"] / 1.1} for arm in run.arms}
    report = fastsgd.ratio(replace(run, problems=noisy))
    assert not report.consistent


def test_a_single_arm_is_judged_by_its_steps_and_told_how_to_do_better(run):
    single = replace(run, specs={"full": run.specs["full"]})
    report = fastsgd.ratio(single)
    assert not report.consistent
    assert any('[arms.half] "step.size" = 0.2' in note for note in report.notes)


def test_two_arms_cancel_the_first_order():
    run = multiplicative({"half": 0.1, "quarter": 0.05})
    report = fastsgd.ratio(run)
    (last,) = [row for row in report.rows if row.quantity == "risk (step size -> 0)" and row.step == 1000]
    assert abs(last.z) < 4

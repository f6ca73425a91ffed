"""The fluid limit at all times at once against closed forms, stiff ones too, and in the plan of a budget."""

import numpy as np
import pytest

from fastsgd.theory.relaxation import _phi, relax


def poisson(t, start):
    """Delta' = -(e^Delta - 1): e^-Delta goes to 1 as e^-t."""
    return -np.log1p(np.expm1(-start) * np.exp(-t))


@pytest.mark.parametrize("start", [-3.0, 0.5, 2.0])
def test_closed_form(start):
    flow = relax(np.ones(1), np.expm1, np.array([start]), 50.0)
    assert flow is not None
    for t in (0.0, 0.01, 0.3, 1.0, 2.7, 8.0, 50.0):
        assert abs(flow(t)[0] - poisson(t, start)) < 5e-3 * abs(poisson(t, start)) + 3e-6 * abs(start)
    linear = start * np.exp(-2.7)
    assert abs(linear - poisson(2.7, start)) > 0.1 * abs(poisson(2.7, start))  # control: the recursion (36) alone


def test_stiff_directions_cost_no_more():
    values, rates = np.array([1e-6, 1.0, 1e6]), np.array([1e-6, 1.0, 1e6])
    calls = []

    def gradient(delta):
        calls.append(1)
        return rates * np.expm1(delta)

    flow = relax(values, gradient, np.array([0.5, 0.5, 0.5]), 1e8)
    assert flow is not None and len(calls) < 1000
    for t in (1e-7, 1e-6, 0.3, 2.0, 3e5, 2e6):
        exact = [poisson(rate * t, 0.5) for rate in rates]
        assert np.allclose(flow(t), exact, rtol=2e-2, atol=1e-4)


def test_a_path_that_leads_away_has_none():
    assert relax(np.ones(1), lambda d: d - d**3, np.array([2.0]), 50.0) is None


@pytest.mark.slow
def test_a_plan_follows_the_mean_from_a_far_start():
    from fastsgd import problems
    from fastsgd.analysis import budget
    from fastsgd.analysis.model import from_spec
    from fastsgd.spec import load_spec
    from fastsgd.theory import transient

    data = {"generate": {"samples": 400, "dimension": 3, "scale": 2.0, "seed": 1}}
    spec = load_spec(
        {
            "name": "far", "seed": 1, "replicates": 4,
            "problem": {"kind": "glm", "family": "logistic", "ridge": 0.01, "data": data},
            "sampling": {"batch": 8}, "step": {"size": 0.1}, "start": {"value": 1.5}, "record": {"steps": [1]},
        }
    )  # fmt: skip
    surface = budget.Surface(from_spec(spec)[0], 4000)
    problem = problems.build(spec)
    gradient, T, size = problem.slope(), 400, 0.1
    delta = np.full(4, 1.5)
    for _ in range(T):
        delta = delta - size * gradient(problem.optimum + delta)
    zero = np.zeros((4, 4))
    linear = transient.moments(surface.hessian, zero, size, [T], surface.mean0, zero)[0][0]
    bent = surface.basis.back_vector(surface.bend(size, T, linear))
    assert np.linalg.norm(bent - delta) < 0.02 * np.linalg.norm(delta)
    assert np.linalg.norm(surface.basis.back_vector(linear) - delta) > 0.2 * np.linalg.norm(delta)  # control


def test_functions_of_the_integrator_in_30_digits():
    import mpmath as mp

    z = np.concatenate([[0.0], np.logspace(-12, 3, 200)])
    with mp.workdps(50):
        exact = [(mp.mpf(1), mp.mpf("0.5"))] + [
            ((1 - mp.exp(-x)) / x, (x - 1 + mp.exp(-x)) / x**2) for x in map(mp.mpf, z[1:])
        ]
    found = _phi(z)
    for k in range(2):
        assert found[k] == pytest.approx([float(pair[k]) for pair in exact], rel=3e-15)

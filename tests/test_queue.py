"""Queues: means against Spitzer's identity and M/M/1, the pilot against closed forms, the kernel, runs and refusals."""

from pathlib import Path

import numpy as np
import pytest
from fastsgd.kernels import queue as kernel
from reference_normal import log
from reference_simulator import recursion
from scipy import special

import fastsgd
from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.problems.queue import means
from fastsgd.spec import load_spec
from fastsgd.spec.simulated import Queue

RUNS = Path(__file__).resolve().parent.parent / "runs"


def section(**changes):
    table = {"kind": "queue", "arrival_rate": 1.0, "rate_cost": 0.5, "customers": 12, "start": "empty"}
    return Queue(**(table | changes))


def tables(**changes):
    return {
        "name": "queue",
        "seed": 3,
        "replicates": 40,
        "problem": section(pilot=2**16).model_dump(exclude_none=True) | changes,
        "sampling": {"batch": 5},
        "step": {"size": 0.05},
        "record": {"steps": [0, 7]},
    }


def built(**changes):
    return problems.build(load_spec(tables(**changes)))


def spitzer(rate, mu, customers, phases):
    """E T over a block that starts empty: E W_{i+1} = sum over m <= i of E (S_1 + .. + S_m - A_1 - .. - A_m)^+ / m."""

    def exceeds(a, alpha, b, beta):
        """P(X > Y) of gamma variables X(a, rate alpha), Y(b, rate beta)."""
        return special.betainc(b, a, beta / (alpha + beta))

    waits = [0.0]
    for m in range(1, customers):
        a, alpha = m * phases, phases * mu
        part = m / mu * exceeds(a + 1, alpha, m, rate) - m / rate * exceeds(a, alpha, m + 1, rate)
        waits.append(waits[-1] + part / m)
    return np.mean(waits) + 1 / mu


@pytest.mark.parametrize(("customers", "phases"), [(1, 1), (2, 1), (12, 1), (60, 1), (12, 3), (200, 2)])
def test_means_of_a_block_that_starts_empty_are_spitzers(customers, phases):
    of = section(customers=customers, phases=phases)
    for rate, mu in ((1.0, 1.3), (2.0, 5.0), (1.0, 0.8)):
        found = means(of, rate, mu)
        assert abs(found.sojourn / spitzer(rate, mu, customers, phases) - 1) < 1e-11
        h = 1e-4 * mu
        ahead, behind = means(of, rate, mu + h), means(of, rate, mu - h)
        assert abs((ahead.sojourn - behind.sojourn) / (2 * h) / found.slope - 1) < 1e-6
        assert abs((ahead.slope - behind.slope) / (2 * h) / found.curvature - 1) < 1e-6
    assert abs(means(of, 1.0, 1.31).sojourn / spitzer(1.0, 1.3, customers, phases) - 1) > 1e-4  # control


def test_long_blocks_approach_pollaczek_khinchine():
    for phases in (1, 4):
        rate, mu = 1.0, 2.0
        stationary = 1 / mu + rate * (1 + 1 / phases) / (2 * mu * (mu - rate))
        short, long = (means(section(customers=n, phases=phases), rate, mu).sojourn for n in (500, 1000))
        # The deficit of a block is a constant over n once the start is forgotten.
        assert abs(2 * long - short - stationary) < 1e-9
        assert abs(long - stationary) > 1e-4


def test_optimum_of_the_stationary_queue_is_that_of_mm1():
    problem = built(start="stationary", arrival_rate=[1.0, 3.0], rate_cost=[0.25, 1.0], largest_load=0.9)
    np.testing.assert_allclose(problem.optimum, [3.0, 4.0], rtol=1e-15)
    np.testing.assert_allclose(problem.hessian, np.diag([0.25, 2.0]), rtol=1e-14)


@pytest.mark.parametrize(("start", "phases"), [("stationary", 1), ("empty", 1), ("empty", 3)])
def test_pathwise_gradients_have_the_exact_mean(start, phases):
    """Mean of 1.6e7 customers' gradients at the optimum and away from it; a start from the other law is told."""
    problem, of = built(start=start, phases=phases), section(start=start, phases=phases)
    for factor in (1.0, 1.3):
        theta = problem.optimum * factor
        sums, _ = problem.simulator.moments(theta, 1024, 1)
        each = sums[:, 0] / 1024
        error = each.std(ddof=1) / 32
        expected = 0.5 + means(of, 1.0, theta[0]).slope
        assert abs(each.mean() - expected) < 5 * error
        other = section(start="empty" if start == "stationary" else "stationary", phases=1)
        assert abs(each.mean() - 0.5 - means(other, 1.0, theta[0]).slope) > 5 * error


def block(rng, rate, mu, customers, count, stationary):
    """Mean time in the system and its pathwise derivative, of `count` blocks, by NumPy."""
    wait, slope = np.zeros(count), np.zeros(count)
    if stationary:
        wait = (np.log(rate / mu) + rng.exponential(size=count)) / (mu - rate)
        slope = np.where(wait > 0, -(1 / mu + wait) / (mu - rate), 0.0)
        wait = np.maximum(wait, 0.0)
    times, slopes = np.zeros(count), np.zeros(count)
    for i in range(customers):
        if i:
            wait = wait - rng.exponential(size=count) / rate
            slope, wait = np.where(wait > 0, slope, 0.0), np.maximum(wait, 0.0)
        service = rng.exponential(size=count) / mu
        wait, slope = wait + service, slope - service / mu
        times, slopes = times + wait, slopes + slope
    return times / customers, slopes / customers


@pytest.mark.parametrize("start", ["stationary", "empty"])
def test_noise_against_an_independent_simulation(start):
    problem, n = built(start=start, pilot=2**19), 300_000
    mu = problem.optimum[0]
    times, slopes = block(np.random.default_rng(1), 1.0, mu, 12, n, start == "stationary")
    sojourn = means(section(start=start), 1.0, mu).sojourn
    assert abs(times.mean() - sojourn) < 5 * times.std() / np.sqrt(n)
    squares = (slopes + 0.5) ** 2
    error = np.hypot(squares.std() / np.sqrt(n), problem.arrays["noise_error"][0, 0])
    assert abs(squares.mean() - problem.noise[0, 0]) < 5 * error
    assert abs(squares.mean() - 1.1 * problem.noise[0, 0]) > 5 * error


def test_noise_of_a_single_customer_is_that_of_his_service():
    """g = c - V/mu^2 with Var V = 1/k, theta* = 1/sqrt(c); two queues are independent."""
    problem = built(customers=1, phases=3, arrival_rate=[1.0, 0.5], rate_cost=[0.25, 0.5], pilot=2**20)
    assert np.abs(problem.optimum / [2.0, np.sqrt(2.0)] - 1).max() < 1e-14
    exact = 1 / (3 * problem.optimum**4)
    z = (np.diagonal(problem.noise) - exact) / np.diagonal(problem.arrays["noise_error"])
    assert np.abs(z).max() < 5
    assert np.abs(z - 0.03 * exact / np.diagonal(problem.arrays["noise_error"])).max() > 5  # control: 3 % off
    assert problem.noise[0, 1] == 0.0


def plain_gradient(of, rates, costs):
    n, k = of.customers, of.phases

    def gradient(theta, z, u, e, total):
        source = 0
        for j, (rate, cost) in enumerate(zip(rates, costs, strict=True)):
            lowest = rate / of.largest_load
            mu = theta[j] if theta[j] > lowest else lowest
            arrivals, phases = e[source : source + n], e[source + n : source + n + n * k]
            source += n + n * k
            wait, slope, slopes = 0.0, 0.0, 0.0
            if of.start == "stationary":
                apart = 1.0 / (mu - rate)
                wait = (log(rate * (1.0 / mu)) + arrivals[0]) * apart
                slope = -(1.0 / mu + wait) * apart if wait > 0 else 0.0
                wait = max(wait, 0.0)
            for i in range(n):
                if i:
                    wait = wait - arrivals[i] * (1.0 / rate)
                    slope = slope if wait > 0 else 0.0
                    wait = max(wait, 0.0)
                unit = phases[i * k]
                for extra in phases[i * k + 1 : (i + 1) * k]:
                    unit += extra
                service = unit * (1.0 / k) * (1.0 / mu)
                wait, slope = wait + service, slope - service * (1.0 / mu)
                slopes += slope
            total[j] += cost + slopes * (1.0 / n)

    return gradient


@pytest.mark.parametrize(
    ("start", "phases", "load", "size"),
    [("stationary", 1, 0.95, 0.3), ("empty", 3, 0.95, 0.3), ("stationary", 1, 0.5, 20.0)],
)
def test_the_kernel_is_the_plain_recursion_to_the_bit(start, phases, load, size):
    """The last case takes steps so long that rates fall below the one from which the loss is continued."""
    of = section(start=start, phases=phases, largest_load=load, rate_cost=0.4)
    changes = {"arrival_rate": [1.0, 3.0], "rate_cost": [0.4, 0.1], "phases": phases, "largest_load": load}
    problem = built(start=start, **changes)
    stepper = problem.stepper([problems.Arm(problem=problem, batch=3, design="fresh", covariance=problem.noise)])
    delta, lowest = np.zeros((1, 17, 2)), np.array([1.0, 3.0]) / load
    stepper.advance(delta, np.full((1, 8), size), 9, 50, 0)
    counts = problem.simulator.counts.tolist()
    plain = plain_gradient(of, [1.0, 3.0], [0.4, 0.1])
    for row in (0, 5, 16):
        assert delta[0, row].tolist() == recursion(plain, problem.optimum.tolist(), counts, 9, 50 + row, 8, 3, size)
    if size > 1:
        assert (problem.optimum + delta[0] < lowest).any() and np.isfinite(delta).all()


def test_the_chain_of_phases_keeps_its_mass_and_starts_empty():
    out = np.empty(3)
    kernel.phases_found(0.5, 1, 1, out)
    assert out.tolist() == [0.0, 0.0, 0.0]
    kernel.phases_found(0.25, 2, 1, out)  # one phase, finished before the next arrival with probability q
    assert out.tolist() == [0.75, -1.0, 0.0]


@pytest.mark.slow
def test_runs_meet_the_prediction_and_controls_do_not(tmp_path):
    run = fastsgd.run(RUNS / "queue.toml", tmp_path / "run.h5", overrides=["replicates=16000", "record.steps=[60,100]"])
    assert fastsgd.ratio(run).verdict == "consistent"
    for wrong in ("sampling.batch=18", "problem.arrival_rate=1.1", "problem.customers=16"):
        assert fastsgd.ratio(run, [wrong]).verdict == "inconsistent", wrong
    assert run.problem("eta")["noise_error"][0, 0] < 0.005 * run.problem("eta")["noise"][0, 0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate_cost": -1.0}, "problem.rate_cost must be > 0, got -1.0"),
        ({"arrival_rate": [1.0, 0.0]}, "problem.arrival_rate[1] must be > 0, got 0.0"),
        ({"arrival_rate": [1.0, 2.0], "rate_cost": [1.0] * 3}, "must have as many numbers as problem.arrival_rate = 2"),
        ({"start": "stationary", "phases": 2}, 'problem.phases must be 1 with problem.start = "stationary", got 2'),
        ({"start": "stationary", "largest_load": 1.5}, "problem.largest_load must be < 1"),
        ({"start": "stationry"}, 'problem.start must be "stationary" or "empty", got "stationry"'),
        ({"rate_cost": 1e4}, "problem.rate_cost must make a rate above arrival_rate / largest_load"),
        ({"customers": 4096, "phases": 32}, "problem.customers times problem.phases must be <= 65536"),
        ({"customer": 3}, "did you mean problem.customers?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes, said):
    with pytest.raises(SpecError) as caught:
        load_spec(tables(**changes))
    assert said in caught.value.lines[0] and len(caught.value.lines) == 1, caught.value.lines


def test_identity_keeps_what_matters_and_survives_a_run():
    spec = load_spec(tables())
    assert spec.identity() != load_spec(tables(customers=13)).identity()
    assert type(spec).from_document(spec.document(), spec.arrays()).identity() == spec.identity()

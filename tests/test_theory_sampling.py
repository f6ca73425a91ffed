"""Design covariances beyond simple random sampling, by enumeration of every draw."""

import itertools

import numpy as np
import pytest
from reference_theory import random_covariance

from fastsgd.theory import comparison, conditioning, sampling

G = np.random.default_rng(50).normal([1.0, 0.0], 1.0, (6, 2))


def weighted_covariance(values, weights):
    values, weights = np.array(values), np.array(weights)
    mean = weights @ values
    return ((values - mean).T * weights) @ (values - mean), mean


def test_poisson_by_enumeration():
    p = np.array([0.2, 0.5, 0.9, 1.0, 0.3, 0.6])
    draws = list(itertools.product([0, 1], repeat=6))
    weights = [np.prod(np.where(np.array(drawn) == 1, p, 1 - p)) for drawn in draws]
    values = [(np.array(drawn) / p) @ G / 6 for drawn in draws]
    exact, mean = weighted_covariance(values, weights)
    assert mean == pytest.approx(G.mean(0)) and sampling.poisson(G, p) == pytest.approx(exact, rel=1e-12)


def test_bernoulli_mean_by_enumeration():
    p = 0.4
    draws = [np.array(drawn) for drawn in itertools.product([0, 1], repeat=6) if any(drawn)]
    weights = np.array([p ** drawn.sum() * (1 - p) ** (6 - drawn.sum()) for drawn in draws])
    exact, mean = weighted_covariance([drawn @ G / drawn.sum() for drawn in draws], weights / weights.sum())
    got = sampling.bernoulli_mean_factor(p, 6) * conditioning.pool_covariance(G)
    assert mean == pytest.approx(G.mean(0)) and got == pytest.approx(exact, rel=1e-12)
    assert not np.allclose(sampling.poisson(G, p), exact, rtol=0.05)  # control: the other estimator
    assert sampling.bernoulli_mean_factor(1.0, 6) == 0


def test_stratified_by_enumeration():
    parts, sizes = (G[:2], G[2:]), (1, 2)
    draws = [
        2 / 6 * parts[0][list(i)].mean(0) + 4 / 6 * parts[1][list(j)].mean(0)
        for i in itertools.combinations(range(2), 1)
        for j in itertools.combinations(range(4), 2)
    ]
    exact, mean = weighted_covariance(draws, np.full(len(draws), 1 / len(draws)))
    assert mean == pytest.approx(G.mean(0)) and sampling.stratified(parts, sizes) == pytest.approx(exact, rel=1e-12)
    assert np.all(np.abs(sampling.stratified(parts, (2, 4))) < 1e-30)


def test_importance_by_enumeration():
    p = np.array([0.1, 0.3, 0.05, 0.15, 0.25, 0.15])
    draws = list(itertools.product(range(6), repeat=2))
    values = [(G[i] / p[i] + G[j] / p[j]) / 12 for i, j in draws]
    exact, mean = weighted_covariance(values, [p[i] * p[j] for i, j in draws])
    assert mean == pytest.approx(G.mean(0)) and sampling.importance(G, p, 2) == pytest.approx(exact, rel=1e-12)
    uniform = sampling.importance(G, np.full(6, 1 / 6), 2)
    assert uniform == pytest.approx(conditioning.pool_covariance(G) / 2, rel=1e-12)
    best = np.linalg.norm(G, axis=1)
    assert np.trace(sampling.importance(G, best / best.sum(), 2)) <= min(np.trace(uniform), np.trace(exact))


def test_allocations():
    sizes = np.array([100, 300, 50])
    assert sampling.proportional_allocation(sizes, 45).tolist() == [10, 30, 5]
    assert sampling.neyman_allocation(sizes, [3.0, 1.0, 0.0], 41).tolist() == [20, 20, 1]
    assert sampling.proportional_allocation([2, 3], 5).tolist() == [2, 3]
    with pytest.raises(ValueError, match="batch must be between 2"):
        sampling.proportional_allocation([2, 3], 6)
    rng = np.random.default_rng(1)
    strata = [rng.standard_normal((n, 1)) * s for n, s in ((8, 1.0), (9, 5.0), (10, 0.2))]
    spreads = [float(np.sqrt(conditioning.pool_covariance(g, "1/(n-1)").item())) for g in strata]
    best = sampling.stratified(strata, sampling.neyman_allocation([8, 9, 10], spreads, 9)).item()
    for allocation in itertools.product(range(1, 8), repeat=3):
        if sum(allocation) == 9:
            assert sampling.stratified(strata, allocation).item() >= best * (1 - 1e-12)


def test_simulator_designs_on_gaussians():
    joint = random_covariance(np.random.default_rng(2), 5)
    C = joint[:3, 3:]
    A, K = joint[:3, :3], joint[3:, 3:]
    schur = sampling.control_variate(A, C, K, 4)
    assert schur == pytest.approx(np.linalg.inv(np.linalg.inv(joint)[:3, :3]) / 4, rel=1e-9)
    assert sampling.control_variate_fixed(A, C, K, C @ np.linalg.inv(K), 4) == pytest.approx(schur, rel=1e-9)
    assert sampling.control_variate_fixed(A, C, K, 0 * C, 4) == pytest.approx(A / 4)
    assert comparison.loewner_below(schur, A / 4)
    pair = np.block([[A, -0.5 * A], [-0.5 * A, A]])
    half = np.vstack([np.eye(3), np.eye(3)]) / 2
    assert sampling.antithetic(A, -0.5 * A, 2) == pytest.approx(half.T @ pair @ half)
    assert sampling.common_variates(A, A, A) == pytest.approx(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="batch must be even"):
        sampling.antithetic(A, A, 3)


def test_impossible_arguments():
    for call, message in [
        (lambda: sampling.poisson(G, 0.0), "inclusion must be in"),
        (lambda: sampling.importance(G, np.ones(6), 1), "sum to 1"),
        (lambda: sampling.stratified([G], [1, 2]), "one size a stratum"),
        (lambda: sampling.stratified([G], [7]), "batch must be <= pool_size"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()

"""Dense problems of condition 1e10 whose H and G do not commute, and still are known exactly: 12 digits, or the test fails.

With W a Hadamard matrix, W B W'/d holds B exactly in float64 where B has whole numbers below 2^34 over a power of two. H has B
diagonal, G in 2 x 2 blocks: every function of them is one of the blocks, which mpmath takes with 40 digits.
"""

from functools import cached_property

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from reference_theory import exact, random_hessian

from fastsgd.theory import (
    bounds,
    comparison,
    complexity,
    extreme,
    fluid,
    geometry,
    lyapunov,
    mean_shift,
    ou,
    projection,
    rates,
    reshuffling,
    risk,
    time_averages,
    transient,
)

D = 64
TOPS = [1e-10, 1e-3, 1.0, 2 - 1e-6]
WIDE = np.longdouble


class Problem:
    """H, G, F float64[D, D] and, in the basis W, lam and metric [D] and G's blocks as mpmath numbers."""

    def __init__(self, coupling=0.6):
        rng = np.random.default_rng(0)
        self.W = scipy.linalg.hadamard(D).astype(float)
        whole = [rng.permutation(np.rint(2.0**33 * np.logspace(-10, 0, D))) for _ in range(2)]
        lam, g = whole[0] / 2.0**33, np.diag(whole[1])
        for i in range(0, D, 2):
            g[i, i + 1] = g[i + 1, i] = np.rint(coupling * rng.uniform(-1, 1) * np.sqrt(g[i, i] * g[i + 1, i + 1]))
        self.inner = g / 2.0**33
        metric = rng.permutation(np.rint(2.0**20 * np.logspace(-5, 0, D))) / 2.0**20
        self.H, self.G, self.F = (self.dense(B) for B in (np.diag(lam), self.inner, np.diag(metric)))
        self.lam, self.metric = ([mp.mpf(float(x)) for x in v] for v in (lam, metric))
        self.entries = [(i, i) for i in range(D)] + [(i, i + 1) for i in range(0, D, 2)]
        self.g = {at: mp.mpf(float(self.inner[at])) for at in self.entries}
        self.blocks = [exact(self.inner[i : i + 2, i : i + 2]) for i in range(0, D, 2)]
        self.inverses = [block**-1 for block in self.blocks]
        self.start = self.W @ rng.integers(1, 9, D).astype(float) / D
        self.turned = [x / mp.sqrt(D) for x in exact(self.W @ self.start)]

    def dense(self, B):
        return self.W @ B @ self.W / D

    def back(self, entry):
        """W N W'/D of N_ij = entry(i, j) in the blocks, to 19 digits."""
        N = np.zeros((D, D), WIDE)
        for i, j in self.entries:
            N[i, j] = N[j, i] = wide(entry(i, j))
        return self.W.astype(WIDE) @ N @ self.W.astype(WIDE) / D

    def back_vector(self, entries):
        return self.W.astype(WIDE) @ np.array([wide(x) for x in entries]) / np.sqrt(WIDE(D))

    def inverse(self, i, j):
        return self.inverses[i // 2][i % 2, j % 2]

    @cached_property
    def g_values(self):
        return [x for block in self.blocks for x in mp.eigsy(block, eigvals_only=True)]


@pytest.fixture(scope="module")
def at():
    with mp.workdps(40):
        yield Problem()


def wide(x):
    """To 19 digits; 0 where float64 underflows."""
    return WIDE(mp.nstr(x, 25)) if abs(x) > 1e-300 else WIDE(0)


def off(got, want):
    if np.ndim(got) == 0:
        return abs(float((mp.mpf(float(got)) - want) / want))
    return float(np.linalg.norm((got - want).astype(float)) / np.linalg.norm(want.astype(float)))


def rate_of(block, lam):
    values, V = mp.eigsy(block)
    A = mp.diag([mp.sqrt(x) for x in values]) * V.T * mp.diag(lam) * V * mp.diag([1 / mp.sqrt(x) for x in values])
    return min(mp.eigsy((A + A.T) / 2, eigvals_only=True))


def test_geometry(at):
    lam, G, H = at.lam, at.G, at.H
    assert off(geometry.sandwich(H, G), at.back(lambda i, j: at.g[i, j] / (lam[i] * lam[j]))) < 1e-12
    assert off(geometry.godambe(H, G), at.back(lambda i, j: lam[i] * lam[j] * at.inverse(i, j))) < 1e-12
    assert off(geometry.pseudo_inverse(G), at.back(at.inverse)) < 1e-12
    assert np.linalg.norm(np.linalg.pinv(G) - geometry.pseudo_inverse(G)) > 1e-9 * np.linalg.norm(np.linalg.pinv(G))
    trace = mp.fsum(at.g[i, i] for i in range(D))
    assert off(geometry.condition_number(G), max(at.g_values) / min(at.g_values)) < 1e-12
    assert off(geometry.effective_dimension(G), trace / max(at.g_values)) < 1e-12
    for problem in (at, Problem(1e-5)):  # of the second mu_F is 1e-5 of the largest eigenvalue and positive
        pairs = zip(problem.blocks, range(0, D, 2), strict=True)
        want = min(rate_of(block, problem.lam[i : i + 2]) for block, i in pairs)
        found = geometry.contraction_rate(problem.G, problem.H)
        assert off(found.mu_F, want) < 1e-12 and found.holds == (want > 0)
        assert off(found.smallest_curvature, min(problem.lam)) < 1e-12
    whitened = [
        x
        for k, block in enumerate(at.blocks)
        for x in mp.eigsy(
            mp.diag([1 / mp.sqrt(v) for v in lam[2 * k : 2 * k + 2]])
            * block
            * mp.diag([1 / mp.sqrt(v) for v in lam[2 * k : 2 * k + 2]]),
            eigvals_only=True,
        )
    ]
    assert off(geometry.generalised_condition_number(H, G), max(whitened) / min(whitened)) < 1e-12
    gradient = H @ at.start
    q = [mp.fsum(mp.mpf(w) * mp.mpf(x) for w, x in zip(row, gradient, strict=True)) / mp.sqrt(D) for row in at.W]
    norm = mp.fsum((1 if i == j else 2) * q[i] * q[j] * at.inverse(i, j) for i, j in at.entries)
    assert off(geometry.dual_norm_squared(gradient, G), norm) < 1e-12
    extra = mp.fsum(at.inverse(i, i) * lam[i] for i in range(D))
    assert off(bounds.van_trees(G, 10.0, H), mp.mpf(D) ** 2 / (10 * D + extra)) < 1e-12
    change = geometry.frozen_metric_change(np.stack([G + 2 * H, G - H]), G)
    assert max(off(x, c * max(lam) / max(at.g_values)) for x, c in zip(change, (2, 1), strict=True)) < 1e-12
    shift = mean_shift.mean_shift(H, lambda S: gradient, G)
    assert off(shift, at.back_vector([-x / lam[i] / 2 for i, x in enumerate(q)])) < 1e-12


def test_half_rank_and_order(at):
    inside = np.arange(D) < D // 2
    half = at.dense(at.inner * np.multiply.outer(inside, inside))
    kept = lambda entry: at.back(lambda i, j: entry(i, j) if i < D // 2 else mp.mpf(0))  # noqa: E731
    assert projection.rank(half) == D // 2
    assert off(projection.range_projector(half), kept(lambda i, j: mp.mpf(i == j))) < 1e-12
    assert off(projection.projected(at.H, half), kept(lambda i, j: at.lam[i] * (i == j))) < 1e-12
    assert off(projection.pseudo_inverse(half), kept(at.inverse)) < 1e-12
    assert off(comparison.loewner_gap(2 * at.G, 3 * at.G), min(at.g_values)) < 1e-12
    found, e, smallest = comparison.reduction(at.F, at.H, at.G, 0.25 * at.G, 0.5), mp.mpf(0.5), []
    for k in range(0, D, 2):
        S = mp.matrix(2, 2)
        for i in range(2):
            for j in range(2):
                a, b = at.lam[k + i], at.lam[k + j]
                S[i, j] = 3 * e * at.blocks[k // 2][i, j] / (a + b - e * a * b) / 4
        smallest.append(min(mp.eigsy(S, eigvals_only=True)))
    assert off(found.covariance_smallest, min(smallest)) < 1e-12
    assert off(found.noise_smallest, 3 * min(at.g_values) / 4) < 1e-12
    assert found.risk_ratio == pytest.approx(0.25, rel=1e-14)


def test_bounds_and_complexity(at):
    lam, H, G, F = at.lam, at.H, at.G, at.F
    risk_, smooth, gap = 0.37, float(max(lam)), 0.7
    bound = geometry.gradient_bound(H, smooth, [risk_])[0]
    assert off(bound, mp.mpf(smooth) / min(lam) * mp.sqrt(mp.mpf(risk_))) < 1e-12
    gradient = H @ at.start
    assert geometry.dual_norm_squared(gradient, H) <= geometry.gradient_bound(H, smooth, at.start @ gradient) ** 2
    with pytest.raises(ValueError, match="F must have full rank"):
        geometry.gradient_bound(np.diag([1.0, 0.0]), 1.0, 1.0)
    found = geometry.step_products(H, G, 0.3, 7)
    assert off(found[0], mp.mpf(0.3) * max(lam)) < 1e-12
    assert off(found[1], mp.mpf(0.3) / 7 * max(at.g_values)) < 1e-12
    trace, small = mp.fsum(at.g[i, i] for i in range(D)), min(at.g_values)
    traced, margin = mp.fsum(lam[i] * at.g[i, i] for i in range(D)), 2 * mp.mpf(7e9) * min(lam) - 1
    assert off(bounds.upper_bound(H, H, G, 3, 7e9, [500.0])[0], mp.mpf(7e9) ** 2 * traced / (3 * margin * 500)) < 1e-12
    effective = mp.mpf(7e9) ** 2 * max(lam) * mp.fsum(lam) / (3 * margin * 500)
    assert off(bounds.upper_bound_effective(H, H, 3, 7e9, [500.0])[0], effective) < 1e-12
    V = mp.mpf(3)
    r, gained = 1 - 2 * mp.mpf(1e-4) * min(lam) + mp.mpf(1e-4) ** 2 * max(lam) ** 2, mp.mpf(1e-4) ** 2
    metric = mp.fsum(at.metric[i] * at.g[i, i] for i in range(D))
    V = r**1000 * V + gained * metric * (1 - r**1000) / (1 - r)
    assert off(bounds.drift_bound(F, H, G, 1e-4, [1000], 3.0)[0], V) < 1e-12
    setting, top, gap0 = complexity.setting(G, smooth, gap), mp.mpf(smooth), mp.mpf(gap)
    eta, T, b, N = mp.mpf(0.1), 1000, 4, 10**9
    stationary = (2 * gap0 / (eta * T) + eta * top * trace / b) / small
    assert off(complexity.stationarity_bound(setting, 0.1, T, b), stationary) < 1e-12
    likely = stationary + eta * top * trace / b / small * mp.log(1 / mp.mpf(0.05))
    assert off(complexity.high_probability_bound(setting, 0.1, T, b, 0.05, 2.0), 2 * likely) < 1e-12
    assert off(complexity.balanced_step(setting, N, b), b * mp.sqrt(2 * gap0 / (N * top * trace))) < 1e-12
    assert off(complexity.largest_feasible_batch(setting, N), mp.sqrt(N * trace / (2 * gap0 * top))) < 1e-12
    assert off(complexity.budget_bound(setting, N, b), 2 * mp.sqrt(2 * gap0 * top * trace / N) / small) < 1e-12
    calls = complexity.oracle_complexity(setting, 1e3).calls
    assert abs(calls - 8 * gap0 * top * trace / (small * mp.mpf(1e3) ** 2) ** 2) <= 1 + 1e-12 * calls


@pytest.mark.parametrize("top", TOPS)
def test_constant_step(at, top):
    lam, H, G, F, e = at.lam, at.H, at.G, at.F, mp.mpf(top)
    S = {(i, j): e * at.g[i, j] / (lam[i] + lam[j] - e * lam[i] * lam[j]) for i, j in at.entries}
    assert off(lyapunov.discrete_stationary(H, G, top), at.back(lambda i, j: S[i, j])) < 1e-12
    plateau = mp.fsum(at.metric[i] * S[i, i] for i in range(D))
    assert off(lyapunov.stationary_risk(F, H, G, top), plateau) < 1e-12
    for k in (1, 1000, 10**9):
        ratio = {(i, j): ((1 - e * lam[i]) * (1 - e * lam[j])) ** k for i, j in at.entries}
        C = {(i, j): r * (at.metric[i] / 2 if i == j else 0) + S[i, j] * (1 - r) for (i, j), r in ratio.items()}
        m = [(1 - e * lam[i]) ** k * at.turned[i] for i in range(D)]
        means, covs = transient.moments(H, G, top, [k], at.start, 0.5 * F)
        assert off(covs[0], at.back(lambda i, j, C=C: C[i, j])) < 1e-12
        assert off(means[0], at.back_vector(m)) < 1e-12
        value = mp.fsum(at.metric[i] * (C[i, i] + m[i] ** 2) for i in range(D))
        assert off(transient.risks(F, H, G, top, [k], at.start, 0.5 * F)[0], value) < 1e-12
        variance = mp.fsum(
            (1 if i == j else 2) * at.metric[i] * at.metric[j] * (2 * C[i, j] ** 2 + 4 * m[i] * m[j] * C[i, j])
            for i, j in at.entries
        )
        assert off(risk.risk_covariance(F, H, top, [k], means, covs)[0, 0], variance) < 1e-12
    for K in (7, 10**7):
        with mp.workdps(100):
            one, two = ([_lags(a**p, K) for a in (1 - e * x for x in lam)] for p in (1, 2))
        mean = at.back(lambda i, j, K=K, one=one: S[i, j] * (one[i] + one[j]) / 2 / K**2)
        assert off(risk.time_average_covariance(H, G, top, K), mean) < 1e-12
        variance = mp.fsum(
            (1 if i == j else 2) * at.metric[i] * at.metric[j] * S[i, j] ** 2 * (two[i] + two[j]) for i, j in at.entries
        )
        assert off(risk.time_average_variance(F, H, G, top, K), variance / K**2) < 1e-12
    start = lyapunov.discrete_stationary(H, G, top)
    found = time_averages.averages(H, G, top, time_averages.Sampling(0, 1, 10**7), np.zeros(D), start, F[None])
    assert off(found.mean_covariance, mean) < 1e-12
    assert off(found.value[0], plateau) < 1e-12
    euler = at.back(lambda i, j: at.g[i, j] / 4 / (lam[i] + lam[j] - e * lam[i] * lam[j]))
    assert off(ou.euler_stationary(H, G, 4, top), euler) < 1e-12


def _lags(r, K):
    return K + 2 * r * (K * (1 - r) - (1 - r**K)) / (1 - r) ** 2


@pytest.mark.parametrize("top", TOPS)
def test_epochs(at, top):
    n, b, K, k = 40, 4, 10, 1003

    def gained(i, j, u, t):
        ends = mp.mpf(n) / b * mp.fdot(u[i][:t], u[j][:t]) - mp.fsum(u[i][:t]) * mp.fsum(u[j][:t])
        return ends * at.g[i, j] / (n - 1)

    with mp.workdps(130):
        a = [1 - mp.mpf(top) * x for x in at.lam]
        u = [[mp.mpf(top) * x**t for t in range(K)] for x in a]
        far, here = {}, {}
        for i, j in at.entries:
            r, last = a[i] * a[j], k % K
            far[i, j] = gained(i, j, u, K) / (1 - r**K)
            whole = r ** (k - last) * (at.metric[i] / 2 if i == j else 0) + far[i, j] * (1 - r ** (k - last))
            here[i, j] = r**last * whole + gained(i, j, u, last)
        stationary, moved = at.back(lambda i, j: far[i, j]), at.back(lambda i, j: here[i, j])
    assert off(reshuffling.stationary(at.H, at.G, top, b, n), stationary) < 1e-12
    assert off(reshuffling.moments(at.H, at.G, top, [k], at.start, 0.5 * at.F, b, n)[1][0], moved) < 1e-12


def test_decaying_steps_and_continuous_time(at):
    lam, H, G = at.lam, at.H, at.G
    for c in (6e9, 0.5 / float(min(lam)) * (1 + 1e-6)):
        m = mp.mpf(c)
        want = at.back(lambda i, j, m=m: m * m * at.g[i, j] / (m * (lam[i] + lam[j]) - 1))
        assert off(rates.decaying_covariance(H, G, c), want) < 1e-12
    m = mp.mpf(6e9)
    limit = mp.fsum(at.metric[i] * m * m * at.g[i, i] / (2 * m * lam[i] - 1) for i in range(D))
    assert off(rates.scaled_risk_limit(at.F, H, G, 6e9, 4), limit) < 1e-12
    assert off(rates.slow_covariance(H, G, 0.7), at.back(lambda i, j: at.g[i, j] / (lam[i] + lam[j]))) < 1e-12
    assert off(rates.polyak_ruppert(H, G), at.back(lambda i, j: at.g[i, j] / (lam[i] * lam[j]))) < 1e-12
    times = [1e-6, 1.0, 1e5, 1e11]
    path = fluid.linear_path(H, G, at.start, 0.5 * at.F, 4, times)
    means, covs = ou.moments(H, G, 4, 0.5, 2 * np.array(times), at.start, 0.5 * at.F)
    for s, t in enumerate(map(mp.mpf, times)):
        P = [mp.exp(-t * x) for x in lam]
        V = at.back(
            lambda i, j, P=P: (
                P[i] * P[j] * (at.metric[i] / 2 if i == j else 0)
                + at.g[i, j] / 4 * (1 - P[i] * P[j]) / (lam[i] + lam[j])
            )
        )
        mean = at.back_vector([p * x for p, x in zip(P, at.turned, strict=True)])
        assert max(off(path.V[s], V), off(covs[s], V)) < 1e-12
        assert max(off(path.theta[s], mean), off(means[s], mean)) < 1e-12


def test_smallest_eigenvalues_alone_or_in_clusters():
    rng = np.random.default_rng(1)
    for d in range(1, 9):
        mixed = np.concatenate([[1e-9] * (d // 2), np.ones(d - d // 2)])
        for values in (np.logspace(-12, 0, d), 1 + 1e-13 * rng.random(d), mixed, rng.standard_normal(d)):
            M = random_hessian(rng, values)
            assert off(extreme.smallest(M), min(mp.eigsy(exact(M), eigvals_only=True))) < 1e-14
    for close in (5, 40):  # the latter by way of all eigenvalues
        values = np.concatenate([1e-9 * (1 + 1e-12 * rng.random(close)), 0.1 + rng.random(60 - close)])
        M = random_hessian(rng, values)
        assert extreme.smallest(M) == pytest.approx(extreme.refine(M)[0][0][0], rel=1e-14)
        assert abs(np.linalg.eigvalsh(M)[0] / extreme.smallest(M) - 1) > 1e-9

"""Twelve digits where plain formulas lose 4 to 10: small eta lambda, the edge of stability, condition 1e10; mpmath decides."""

import mpmath as mp
import numpy as np
import pytest
from reference_theory import exact, random_covariance, random_hessian, relative

from fastsgd.theory import (
    bounds,
    certificate,
    comparison,
    factors,
    fluid,
    fourth_moments,
    geometry,
    lyapunov,
    mean_shift,
    projection,
    reshuffling,
    risk,
    sampling,
    time_averages,
)

TOPS = [1e-10, 1e-6, 1.0, 2 - 1e-6]
LAM = np.logspace(-10, 0, 5)


@pytest.fixture(scope="module")
def pair():
    """H and G of condition 1e10 that do not commute, with the exact eigenpairs of both."""
    rng = np.random.default_rng(17)
    H, G = random_hessian(rng, LAM), random_hessian(rng, LAM)
    return H, G, mp.eigsy(exact(H)), mp.eigsy(exact(G))


def array(matrix):
    return np.array(matrix.tolist(), float)


def off(got, want):
    """Difference relative to the norm; `want` an mpmath matrix."""
    want = array(want)
    return np.linalg.norm(np.reshape(got, want.shape) - want) / np.linalg.norm(want)


def test_smallest_eigenvalues_of_differences_and_products(pair):
    H, G, (h, V), (g, W) = pair
    assert relative(comparison.loewner_gap(2 * G, 3 * G), float(min(mp.eigsy(exact(3 * G) - exact(2 * G))[0]))) < 1e-12
    assert relative(np.linalg.eigvalsh(3 * G - 2 * G)[0], float(min(g))) > 1e-9
    pieces = comparison.reduction(H, H, G, 0.5 * G, 0.3)
    T = V.T * exact(G) * V
    S = mp.matrix(5, 5)
    for i in range(5):
        for j in range(5):
            S[i, j] = mp.mpf(0.3) * T[i, j] / (h[i] + h[j] - mp.mpf(0.3) * h[i] * h[j]) / 2
    assert relative(pieces.covariance_smallest, float(min(mp.eigsy(V * S * V.T)[0]))) < 1e-12
    assert pieces.risk_ratio == pytest.approx(0.5, rel=1e-14)
    root = W * mp.diag([mp.sqrt(x) for x in g]) * W.T
    A = root * exact(H) * W * mp.diag([1 / mp.sqrt(x) for x in g]) * W.T
    assert relative(geometry.mu_F(G, H), float(min(mp.eigsy((A + A.T) / 2)[0]))) < 1e-12
    assert geometry.mu_F(H, H) == pytest.approx(float(min(h)), rel=1e-12)


def test_quadratic_forms_in_small_directions(pair):
    H, G, (h, V), (g, W) = pair
    z = np.random.default_rng(3).standard_normal(5)
    gradient = G @ z
    inverse = W * mp.diag([1 / x for x in g]) * W.T
    norm = float((exact(gradient) * inverse * exact(gradient).T)[0])
    assert relative(geometry.dual_norm_squared(gradient, G), norm) < 1e-12
    assert relative(gradient @ np.linalg.pinv(G) @ gradient, norm) > 1e-9
    flat = np.array(V[:, 0].tolist(), float)
    curvature = (exact(flat).T * exact(H) * exact(flat))[0]
    assert relative(projection.restrict(H, flat)[0, 0], float(curvature)) < 1e-12
    assert relative((flat.T @ H @ flat)[0, 0], float(curvature)) > 1e-9
    both = comparison.directional_ratio(H, G, flat)[0]
    assert relative(both, float(curvature / (exact(flat).T * exact(G) * exact(flat))[0])) < 1e-12
    J = 7e8 * G
    trace = sum((W.T * exact(J) * W)[i, i] / g[i] for i in range(5))
    assert relative(bounds.van_trees(G, 10.0, J), float(25 / (50 + trace))) < 1e-12
    third = np.random.default_rng(4).standard_normal((5, 5, 5))
    T = mp.matrix([sum(mp.mpf(third[i, j, k]) * mp.mpf(G[j, k]) for j in range(5) for k in range(5)) for i in range(5)])
    shift = -V * mp.diag([1 / x for x in h]) * V.T * T / 2
    assert off(mean_shift.mean_shift(H, third, G), shift) < 1e-12
    assert off(-0.5 * np.linalg.solve(H, np.einsum("ijk,jk->i", third, G)), shift) > 1e-9
    inverse = V * mp.diag([1 / x for x in h]) * V.T  # a covariance that is large where H is small
    C = array(inverse)
    wanted = exact(H) * exact(C)
    assert relative(risk.risk(H, np.zeros(5), C), float(sum(wanted[i, i] for i in range(5)))) < 1e-12
    square = wanted * wanted
    assert relative(risk.risk_variance(H, np.zeros(5), C), float(2 * sum(square[i, i] for i in range(5)))) < 1e-12


@pytest.mark.parametrize("K", [1, 2, 999, 1000, 10**8])
def test_weights_of_time_averages(K):
    for r in [1 - mp.mpf(10) ** -10, 1 - mp.mpf(10) ** -7, mp.mpf("0.3"), mp.mpf("-0.3"), -1 + mp.mpf(10) ** -6]:
        with mp.workdps(60):
            u = 1 - r
            want = K + 2 * r * (K * u - (1 - r**K)) / u**2
        logs, sign = np.array(float(mp.log(abs(r)))), np.array(float(mp.sign(r)))
        assert relative(factors.lag_weights(np.array(float(u)), logs, sign, K), float(want)) < 1e-12


def test_long_averages_of_a_stationary_start(pair):
    """A start that is stationary up to rounding is summed in closed form: ten million samples at once."""
    H, G, (h, V), _ = pair
    T, K = V.T * exact(G) * V, 10**7
    for top in TOPS:
        e, M = mp.mpf(top), mp.matrix(5, 5)
        with mp.workdps(90):
            a = [1 - e * x for x in h]
            weight = [K + 2 * r * (K * (1 - r) - (1 - r**K)) / (1 - r) ** 2 for r in a]
            for i in range(5):
                for j in range(5):
                    M[i, j] = e * T[i, j] / (h[i] + h[j] - e * h[i] * h[j]) * (weight[i] + weight[j]) / 2 / K**2
            want = V * M * V.T
        S = lyapunov.discrete_stationary(H, G, top)
        got = time_averages.averages(H, G, top, time_averages.Sampling(0, 1, K), np.zeros(5), S)
        assert off(got.mean_covariance, want) < 1e-12
        assert off(risk.time_average_covariance(H, G, top, K), want) < 1e-12


def test_epochs_of_tiny_steps_cancel_exactly(pair):
    H, G, (h, V), _ = pair
    T, n, b, K = V.T * exact(G) * V, 40, 4, 10
    for top in TOPS:
        with mp.workdps(110):
            e, W = mp.mpf(top), mp.matrix(5, 5)
            u = [[e * (1 - e * x) ** j for j in range(K)] for x in h]
            for i in range(5):
                for j in range(5):
                    ends = mp.mpf(n) / b * mp.fdot(u[i], u[j]) - mp.fsum(u[i]) * mp.fsum(u[j])
                    W[i, j] = ends * T[i, j] / (n - 1) / (1 - ((1 - e * h[i]) * (1 - e * h[j])) ** K)
            want = V * W * V.T
        assert off(reshuffling.stationary(H, G, top, b, n), want) < 1e-12


def test_linear_fluid_path_at_any_time(pair):
    H, G, (h, V), _ = pair
    start, V0 = np.array([1.0, -2.0, 0.5, 1.0, 3.0]), 0.5 * G
    times = np.array([0.0, 1e-6, 1.0, 1e5, 1e11])
    path = fluid.linear_path(H, G, start, V0, 4, times)
    T, spread, first = V.T * exact(G) * V / 4, V.T * exact(V0) * V, V.T * exact(start).T
    for s, t in enumerate(times):
        P = [mp.exp(-mp.mpf(float(t)) * x) for x in h]
        C = mp.matrix(5, 5)
        for i in range(5):
            for j in range(5):
                C[i, j] = P[i] * P[j] * spread[i, j] + T[i, j] * (1 - P[i] * P[j]) / (h[i] + h[j])
        assert off(path.V[s], V * C * V.T) < 1e-12
        assert off(path.theta[s], V * mp.diag(P) * first) < 1e-12
        assert off(path.Phi[s], V * mp.diag(P) * V.T) < 1e-12
    later = V * mp.diag([mp.exp(-(mp.mpf(1e5) - 1) * x) for x in h]) * V.T * exact(path.V[2])
    assert off(path.cross_covariance(3, 2), later) < 1e-12
    plain = fluid.covariance_path(lambda x: H @ x, lambda x: H, lambda x: G, start, V0, 4, times[:3])
    assert 1e-14 < np.linalg.norm(plain.theta[2] - path.theta[2]) < 1e-8  # the solver, to its tolerance
    flat = fluid.linear_path(np.diag([0.0, -1.0]), np.eye(2), [1.0, 1.0], np.zeros((2, 2)), 2, [3.0])
    assert flat.V[0] == pytest.approx(np.diag([1.5, np.expm1(6.0) / 4]), rel=1e-14)


def test_drift_bound_over_many_steps():
    H, k = np.diag(LAM), 10**9
    for top in (1e-10, 1e-6, 1e-3):
        r = 1 - 2 * mp.mpf(top) * mp.mpf(LAM[0]) + mp.mpf(top) ** 2
        want = r**k * 3 + mp.mpf(top) ** 2 * mp.mpf(float(LAM.sum())) * (1 - r**k) / (1 - r)
        if want < 1e300:
            assert relative(bounds.drift_bound(H, H, np.eye(5), top, [k], 3.0)[0], float(want)) < 1e-12
    sizes = 0.3 / np.arange(5, 3005) ** 0.9
    V = mp.mpf(3)
    for s in map(mp.mpf, sizes):
        V = (1 - 2 * s * mp.mpf(LAM[0]) + s * s) * V + s * s * mp.mpf(float(LAM.sum()))
    assert relative(bounds.drift_bound(H, H, np.eye(5), sizes, [3000], 3.0)[0], float(V)) < 1e-12


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_certificate_of_any_condition(pair, kind):
    H, G, *_ = pair
    solve = lyapunov.discrete_stationary if kind == "discrete" else lyapunov.continuous_stationary
    for top in TOPS:
        S = solve(H, G, top)
        found = certificate.certify(H, G, top, S, kind)
        assert found.valid and found.error < 1e-15
        for direction in (S, np.eye(5) * np.linalg.norm(S), -np.diag(np.diagonal(S))):
            assert not certificate.certify(H, G, top, S + 1e-12 * direction, kind).solves
    HS = H @ S  # what a plain residual says of the same S
    assert np.linalg.norm(HS + HS.T - top * G) > 1e-9 * np.linalg.norm(top * G)
    assert certificate.certify(H, G, 2.5, S).error == np.inf


def test_design_covariances_that_nearly_vanish():
    n, p = 400, 0.03
    P = mp.mpf(p)
    weights = [mp.binomial(n, m) * P**m * (1 - P) ** (n - m) for m in range(1, n + 1)]
    total = mp.fsum(w * mp.mpf(n - m) / ((n - 1) * m) for m, w in enumerate(weights, 1)) / mp.fsum(weights)
    assert relative(sampling.bernoulli_mean_factor(p, n), float(total)) < 1e-12
    assert 0 < sampling.bernoulli_mean_factor(1e-3, 10**9) < 1.1e-6
    rng = np.random.default_rng(8)
    K, B = random_hessian(rng, LAM), rng.standard_normal((3, 5))
    C = B @ K
    G = B @ K @ B.T + 1e-9 * random_covariance(rng, 3)
    G = (G + G.T) / 2
    k, W = mp.eigsy(exact(K))
    left = exact(G) - exact(C) * W * mp.diag([1 / x for x in k]) * W.T * exact(C).T
    assert off(sampling.control_variate(G, C, K, 1), left) < 1e-12
    assert np.linalg.norm(G - C @ np.linalg.pinv(K) @ C.T - array(left)) > 1e-9 * np.linalg.norm(array(left))
    g = rng.standard_normal((300, 1)) + 1e6
    c = [mp.mpf(float(x)) for x in g[:, 0]]
    mean = mp.fsum(c) / 300
    second, fourth = mp.fsum((x - mean) ** 2 for x in c), mp.fsum((x - mean) ** 4 for x in c)
    for b in (5, 298):
        q = [mp.mpf(1)]
        for m in range(4):
            q.append(q[-1] * (b - m) / (300 - m))
        A, D = q[1] - 7 * q[2] + 12 * q[3] - 6 * q[4], q[2] - 2 * q[3] + q[4]
        want = (A * fourth + 3 * D * second**2 - ((q[1] - q[2]) * second) ** 2) / mp.mpf(b) ** 4
        assert relative(fourth_moments.product_covariance(g, b), [[float(want)]]) < 1e-12


def test_differences_of_covariances_and_flat_directions(pair):
    _, G, (h, V), _ = pair
    rng = np.random.default_rng(0)
    near = 1e-9 * rng.standard_normal((5, 5)) - (1 - 1e-9) * G
    want = exact(G) + (exact(near) + exact(near).T) / 2
    assert off(sampling.antithetic(G, near, 2), want / 2) < 1e-12
    assert (
        off(
            sampling.common_variates(G, 1.1 * G, -1.05 * near),
            exact(G) + exact(1.1 * G) - (exact(-1.05 * near) + exact(-1.05 * near).T),
        )
        < 1e-12
    )
    X = rng.standard_normal((20, 5)) @ array(mp.diag([mp.sqrt(x) for x in h]) * V.T)
    S, w = array(V * mp.diag([1 / x for x in h]) * V.T), rng.standard_normal(20)
    sums = mp.matrix(1, 5)
    for x, weight in zip(X, w, strict=True):
        sums += weight * (exact(x) * exact(S) * exact(x).T)[0] * exact(x) / 20
    assert off(mean_shift.glm_contraction(X, w, S), sums) < 1e-12
    assert off(X.T @ (w * np.einsum("ni,ij,nj->n", X, S, X)) / 20, sums) > 1e-10


def test_what_has_no_stationary_law_is_refused_in_one_line():
    eye = np.eye(2)
    for H, eta in (
        (eye, 2.0),
        (eye, -1.0),
        (eye, np.nan),
        (eye, "x"),
        (np.diag([1.0, -1.0]), 0.1),
        (eye * np.nan, 0.1),
    ):
        for predict in (
            lambda H, eta: lyapunov.discrete_stationary(H, eye, eta),
            lambda H, eta: reshuffling.stationary(H, eye, eta, 2, 10),
            lambda H, eta: comparison.reduction(eye, H, eye, 0.5 * eye, eta),
            lambda H, eta: risk.time_average_covariance(H, eye, eta, 5),
        ):
            with pytest.raises(ValueError, match="must be") as found:
                predict(H, eta)
            assert "\n" not in str(found.value)

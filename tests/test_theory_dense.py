"""Dense matrices of any condition: 12 digits against 60-digit arithmetic, and a check that LAPACK alone fails it."""

import mpmath as mp
import numpy as np
import pytest
from reference_theory import random_covariance, random_hessian, relative

from fastsgd.theory import eigen, geometry, lyapunov, projection, rates, risk, transient


def exact_eigenbasis(H):
    mp.mp.dps = 50
    values, vectors = mp.eigsy(mp.matrix(H.tolist()))
    return values, vectors


def exact_moments(H, Sigma, eta, k):
    """60-digit S and S_k from a zero start, and tr(H S), tr(H S_k)."""
    d = len(H)
    values, V = exact_eigenbasis(H)
    T, eta = V.T * mp.matrix(Sigma.tolist()) * V, mp.mpf(eta)
    S, Sk = mp.matrix(d, d), mp.matrix(d, d)
    for i in range(d):
        for j in range(d):
            r = (1 - eta * values[i]) * (1 - eta * values[j])
            S[i, j] = eta * eta * T[i, j] / (1 - r)
            Sk[i, j] = S[i, j] * (1 - r**k)
    risks = [sum(values[i] * M[i, i] for i in range(d)) for M in (S, Sk)]
    return *(np.array((V * M * V.T).tolist(), float) for M in (S, Sk)), *map(float, risks)


SPECTRA = {
    "mild": np.linspace(1, 3, 5),
    "1e5": np.logspace(-5, 0, 6),
    "1e10": 7.3 * np.logspace(-10, 0, 7),
    "clusters": np.array([1e-10, 1e-10, 1.0000001e-10, 1e-5, 1.0, 1.0, 1.0 + 1e-12]),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_eigenvalues_beyond_double_precision(name):
    H = random_hessian(np.random.default_rng(1), SPECTRA[name])
    basis = eigen.eigenbasis(H)
    values = sorted(exact_eigenbasis(H)[0])
    for hi, lo, value in zip(basis.values, basis.correction, values, strict=True):
        assert abs((mp.mpf(float(hi)) + mp.mpf(float(lo)) - value) / value) < 1e-18
    V = mp.matrix(basis.vectors.tolist()) + mp.matrix(basis.vectors_correction.tolist())
    assert mp.norm(V.T * V - mp.eye(len(H))) < 1e-26


@pytest.mark.parametrize("top", [1e-10, 1e-3, 1.0, 1.9, 2 - 1e-6])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("noise", ["generic", "hessian", "rank one"])
def test_twelve_digits(top, name, noise):
    rng = np.random.default_rng(2)
    H = random_hessian(rng, SPECTRA[name])
    d = len(H)
    Sigma = {"generic": random_covariance(rng, d), "hessian": H, "rank one": random_covariance(rng, d, 1)}[noise]
    eta = top / float(np.max(SPECTRA[name])) * (1 - 1e-9)
    S, Sk, risk, risk_k = exact_moments(H, Sigma, eta, 1000)
    got = lyapunov.discrete_stationary(H, Sigma, eta)
    assert np.linalg.norm(got - S) < 1e-12 * np.linalg.norm(S)
    assert lyapunov.stationary_risk(H, H, Sigma, eta) == pytest.approx(risk, rel=1e-12)
    leading = lyapunov.continuous_stationary_risk(H, H, Sigma, eta)
    assert leading == pytest.approx(eta * np.trace(Sigma) / 2, rel=1e-12)  # (35)
    zero = np.zeros(d)
    _, covs = transient.moments(H, Sigma, eta, [1000], zero, np.zeros((d, d)))
    assert np.linalg.norm(covs[0] - Sk) < 1e-12 * np.linalg.norm(Sk)
    assert transient.risks(H, H, Sigma, eta, [1000], zero, np.zeros((d, d)))[0] == pytest.approx(risk_k, rel=1e-12)


def test_unrefined_eigenvectors_fail_the_same_check():
    rng = np.random.default_rng(2)
    H = random_hessian(rng, SPECTRA["1e10"])
    eta, Sigma = 0.1, np.eye(len(H))
    S = exact_moments(H, Sigma, eta, 1)[0]
    plain = eigen.Eigenbasis(*(lambda w, V: (w, 0 * w, V, 0 * V))(*np.linalg.eigh(H)))
    assert np.linalg.norm(lyapunov.discrete_stationary(plain, Sigma, eta) - S) > 1e-9 * np.linalg.norm(S)


@pytest.mark.parametrize("d", [1, 2, 3, 60])
def test_decomposition_of_any_size_and_magnitude(d):
    rng = np.random.default_rng(d)
    for magnitude in (1e-60, 1.0, 1e60):
        H = magnitude * (random_covariance(rng, d) + 1e-3 * np.eye(d))
        basis = eigen.eigenbasis(H)
        assert basis.back(np.diag(basis.values)) == pytest.approx(H, rel=1e-12, abs=1e-13 * magnitude)
        off = basis.into(H) - np.diag(basis.values)
        assert np.max(np.abs(off)) < 1e-20 * magnitude * d


def test_a_block_diagonal_matrix_keeps_repeated_eigenvalues():
    H = np.kron(np.eye(3), np.array([[2.0, 1.0], [1.0, 2.0]]))
    assert eigen.eigenbasis(H).values == pytest.approx([1, 1, 1, 3, 3, 3], rel=1e-15)


def test_recent_matrices_are_remembered_by_content():
    H = random_hessian(np.random.default_rng(3), [1.0, 2.0, 3.0])
    first = eigen.eigenbasis(H)
    assert eigen.eigenbasis(H.copy()) is first
    assert eigen.eigenbasis(2 * H) is not first
    with pytest.raises(ValueError, match="read-only"):
        first.values[0] = 0.0


def test_reordered_eigenvalues_do_not_change_a_diagonal_problem():
    rng = np.random.default_rng(4)
    lam, Sigma = np.array([3.0, 1e-9, 0.2]), random_covariance(rng, 3)
    order = np.array([2, 0, 1])
    S = lyapunov.discrete_stationary(np.diag(lam), Sigma, 0.5)
    T = lyapunov.discrete_stationary(np.diag(lam[order]), Sigma[np.ix_(order, order)], 0.5)
    assert relative(T, S[np.ix_(order, order)]) < 1e-15


def test_sums_over_an_ill_conditioned_problem():
    """Limits of decaying steps and averages, variance of a time average, the pair (H, G): each lost 4 to 7 digits."""
    rng = np.random.default_rng(3)
    H, G = (random_hessian(rng, np.logspace(-10, 0, 5)) for _ in range(2))
    d, c, eta, K = 5, 7e9, 0.3, 7
    values, V = exact_eigenbasis(H)
    T = V.T * mp.matrix(G.tolist()) * V
    decaying = sum(values[i] * mp.mpf(c) ** 2 * T[i, i] / (2 * mp.mpf(c) * values[i] - 1) for i in range(d))
    assert relative(rates.scaled_risk_limit(H, H, G, c, 3), float(decaying)) < 1e-13
    averaged = sum(T[i, i] / values[i] for i in range(d))
    assert relative(rates.best_power_constant(H, G, H), float(averaged)) < 1e-13
    S = mp.matrix(d, d)
    for i in range(d):
        for j in range(d):
            S[i, j] = eta * T[i, j] / (values[i] + values[j] - eta * values[i] * values[j])
    total = mp.mpf(0)
    for n in range(K):
        power = mp.diag([(1 - eta * x) ** n for x in values])
        X = mp.diag(values) * power * S
        Y = X * mp.diag(values) * S * power
        total += (1 if n == 0 else 2) * (K - n) * 2 * sum(Y[i, i] for i in range(d))
    assert relative(risk.time_average_variance(H, H, G, eta, K), float(total / K**2)) < 1e-13
    g, W = exact_eigenbasis(G)
    root = W * mp.diag([1 / mp.sqrt(x) for x in g]) * W.T
    pair = mp.eigsy(root * mp.matrix(H.tolist()) * root, eigvals_only=True)
    assert relative(geometry.generalised_condition_number(H, G), float(max(pair) / min(pair))) < 1e-13


def reflected(rng, values, bits):
    """Q diag(values) Q for a reflection Q = I - 2 vv'/d with v of signs: exact in float64 if d and the values allow."""
    d = len(values)
    v = rng.choice([-1, 1], d).astype(object)
    D = np.array([int(x * 2**bits) for x in values], dtype=object)
    M = -2 * d * (np.outer(v, v * D) + np.outer(v * D, v)) + 4 * int(D.sum()) * np.outer(v, v)
    M[np.diag_indices(d)] += d * d * D
    result = np.array([[float(int(x)) for x in row] for row in M]) / (d * d * 2**bits)
    assert all(int(x * d * d * 2**bits) == y for x, y in zip(result.ravel().tolist(), M.ravel(), strict=True))
    return result, v.astype(int), M


def test_closed_forms_of_many_dimensions():
    """d = 64, H of condition 1e10 and G of full and of half rank, both dense and not commuting: 12 digits."""
    rng, d = np.random.default_rng(5), 64
    lam = 2.0 ** -np.concatenate([[0, 33], rng.integers(0, 34, d - 2)])
    g = rng.integers(1, 33, d) / 8.0
    H, v, _ = reflected(rng, lam, 33)
    G, w, whole = reflected(np.random.default_rng(6), g, 3)
    turned = d * whole - 2 * np.outer(v, v.astype(object) @ whole)
    turned = d * turned - 2 * np.outer(turned @ v.astype(object), v)  # Q G Q in whole numbers
    T = np.array([[mp.mpf(int(x)) for x in row] for row in turned], dtype=object) / (mp.mpf(d) ** 4 * 8)
    exact = np.array([mp.mpf(float(x)) for x in lam], dtype=object)
    Q = np.eye(d, dtype=np.longdouble) - np.multiply.outer(v, v).astype(np.longdouble) * 2 / d

    def back(inner):
        wide = np.array([[np.longdouble(mp.nstr(x, 25)) for x in row] for row in inner])
        return (Q @ wide @ Q).astype(float)

    pairs = exact[:, None] + exact[None, :]
    for eta in (1e-10, 1.0, 2 - 1e-6):
        e = mp.mpf(eta)
        inner = e * T / (pairs - e * np.multiply.outer(exact, exact))
        assert relative(lyapunov.discrete_stationary(H, G, eta), back(inner)) < 1e-12
        risk_ = sum(exact[i] * inner[i, i] for i in range(d))
        assert lyapunov.stationary_risk(H, H, G, eta) == pytest.approx(float(risk_), rel=1e-12)
    c = mp.mpf(6e9)
    assert relative(rates.decaying_covariance(H, G, 6e9), back(c * c * T / (c * pairs - 1))) < 1e-12
    assert relative(geometry.sandwich(H, G), back(T / np.multiply.outer(exact, exact))) < 1e-12
    half = np.where(np.arange(d) % 2, g, 0.0)
    G0 = reflected(np.random.default_rng(6), half, 3)[0]
    P = np.eye(d) - 2 * np.multiply.outer(w, w) / d
    assert projection.rank(G0) == d // 2
    assert relative(projection.projected(G, G0), (P * half) @ P) < 1e-12
    assert relative(projection.pseudo_inverse(G0), (P * np.divide(1, half, out=0 * half, where=half > 0)) @ P) < 1e-12

"""Geometry, projection, conditioning and certificates against closed forms and definitions."""

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from reference_theory import random_covariance, random_hessian

from fastsgd.theory import certificate, conditioning, geometry, lyapunov, projection

RNG = np.random.default_rng(20)


def test_sandwich_and_godambe_are_inverse_and_collapse():
    H, G = random_hessian(RNG, [0.5, 1, 4]), random_covariance(RNG, 3)
    assert geometry.sandwich(H, G) == pytest.approx(np.linalg.inv(H) @ G @ np.linalg.inv(H), rel=1e-11)
    assert geometry.sandwich(H, G) @ geometry.godambe(H, G) == pytest.approx(np.eye(3), abs=1e-11)
    assert geometry.sandwich(H, H) == pytest.approx(np.linalg.inv(H), rel=1e-12)
    assert geometry.godambe(H, H) == pytest.approx(H, rel=1e-12)
    with pytest.raises(ValueError, match="H must be invertible"):
        geometry.sandwich(np.diag([1.0, 0.0]), np.eye(2))


def test_sandwich_of_an_ill_conditioned_hessian():
    H, G = random_hessian(RNG, np.logspace(-10, 0, 5)), random_covariance(RNG, 5)
    mp.mp.dps = 50
    inverse = mp.matrix(H.tolist()) ** -1
    want = np.array((inverse * mp.matrix(G.tolist()) * inverse).tolist(), float)
    assert np.linalg.norm(geometry.sandwich(H, G) - want) < 1e-12 * np.linalg.norm(want)


def test_mu_F_by_definition():
    F, H = random_covariance(RNG, 4), random_hessian(RNG, [0.1, 1, 2, 5])
    root = np.real(scipy.linalg.sqrtm(F))
    A = root @ H @ np.linalg.inv(root)
    assert geometry.mu_F(F, H) == pytest.approx(np.linalg.eigvalsh((A + A.T) / 2)[0], rel=1e-8)
    assert geometry.mu_F(F, H) <= 0.1


def test_mu_F_commuting_and_negative():
    H = random_hessian(RNG, np.logspace(-9, 0, 5))
    assert geometry.mu_F(H, H) == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-5)
    assert geometry.mu_F(H, H) == pytest.approx(geometry.contraction_rate(np.eye(5), H).smallest_curvature, rel=1e-12)
    # d = 2: H = [[1, h], [h, 1]], F = diag(1, s^2): the symmetric part has off-diagonal h (s + 1/s)/2
    rate = geometry.contraction_rate(np.diag([1.0, 100.0]), np.array([[1.0, 0.9], [0.9, 1.0]]))
    assert rate.mu_F == pytest.approx(1 - 0.9 * 10.1 / 2, rel=1e-13)
    assert not rate.holds and "Assumption 6.2 fails" in str(rate) and rate.smallest_curvature == pytest.approx(0.1)


def test_condition_numbers_and_effective_dimension():
    G = random_hessian(RNG, [0.0, 1.0, 2.0, 5.0])
    assert geometry.condition_number(G) == pytest.approx(5.0, rel=1e-12)
    assert geometry.effective_dimension(G) == pytest.approx(8 / 5, rel=1e-12)
    assert geometry.rank(G) == 3
    assert geometry.condition_number(np.diag([1e-300, 1.0])) == pytest.approx(1e300)
    assert geometry.effective_dimension(np.eye(7)) == 7
    H = random_hessian(RNG, [1, 2, 3, 4])
    pair = scipy.linalg.eigh(H, random_covariance(np.random.default_rng(1), 4), eigvals_only=True)
    assert geometry.generalised_condition_number(H, random_covariance(np.random.default_rng(1), 4)) == pytest.approx(
        pair[-1] / pair[0], rel=1e-10
    )
    assert geometry.generalised_condition_number(3 * G, G) == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(ValueError, match="positive definite on the range of G"):
        geometry.generalised_condition_number(-np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="G must not be zero"):
        geometry.condition_number(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="G must be positive semidefinite"):
        geometry.effective_dimension(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_projection_and_restricted_problems():
    G, H = random_covariance(RNG, 5, rank=2), random_hessian(RNG, [1, 2, 3, 4, 5])
    Pi, U = projection.range_projector(G), projection.range_basis(G)
    assert Pi @ Pi == pytest.approx(Pi, abs=1e-13) and np.trace(Pi) == pytest.approx(2)
    assert projection.projected(H, G) == pytest.approx(Pi @ H @ Pi, abs=1e-13)
    assert projection.pseudo_inverse(G) == pytest.approx(np.linalg.pinv(G, rcond=1e-10), rel=1e-9, abs=1e-10)
    assert projection.lift(projection.restrict(G, U), U) == pytest.approx(G, abs=1e-13)
    S = lyapunov.discrete_stationary(projection.restrict(H, U), projection.restrict(G, U), 0.1)
    assert S.shape == (2, 2) and np.linalg.eigvalsh(S)[0] > 0
    g = RNG.standard_normal((3, 5)) @ G
    assert geometry.dual_norm_squared(g, G) == pytest.approx(np.einsum("ni,ij,nj->n", g, np.linalg.pinv(G), g))


def test_frozen_metric_change():
    G = np.diag([2.0, 1.0])
    assert geometry.frozen_metric_change([G, 1.5 * G, np.eye(2)], G) == pytest.approx([0.0, 0.5, 0.5])


@pytest.mark.parametrize(("n", "b"), [(2, 1), (20, 5), (20, 20), (1000, 900)])
def test_levels_of_conditioning(n, b):
    g = RNG.standard_normal((n, 3))
    one = conditioning.given_pool(conditioning.pool_covariance(g), b, n)
    other = conditioning.given_pool(conditioning.pool_covariance(g, "1/(n-1)"), b, n, "1/(n-1)")
    assert one == pytest.approx(other, rel=1e-13)  # the same matrix under either normalisation
    assert (np.all(one == 0)) == (b == n)
    G = random_covariance(RNG, 3)
    parts = conditioning.decomposition(G, b, n)
    assert parts.within + parts.between == pytest.approx(parts.total, rel=1e-14)
    assert parts.total == pytest.approx(conditioning.given_measure(G, b), rel=1e-15)


def test_unconditional_level_by_total_covariance():
    G, means, w = [np.eye(2), np.diag([3.0, 1.0])], [[0.0, 0.0], [1.0, -1.0]], [0.25, 0.75]
    spread = 0.25 * 0.75 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    want = np.diag([2.5, 1.0]) / 4 + spread
    assert conditioning.unconditional(G, means, 4, w) == pytest.approx(want, rel=1e-14)
    assert conditioning.unconditional(G, np.zeros((2, 2)), 4, w) == pytest.approx(np.diag([2.5, 1.0]) / 4)
    with pytest.raises(ValueError, match="weights must be >= 0 and sum to 1"):
        conditioning.unconditional(G, means, 4, [0.5, 0.6])
    with pytest.raises(ValueError, match="batch must be <= pool_size = 3, got 4"):
        conditioning.given_pool(np.eye(2), 4, 3)


def test_certificates_accept_the_solution_and_reject_others():
    H, Sigma = random_hessian(RNG, [0.3, 1, 4]), random_covariance(RNG, 3)
    for eta in (1e-9, 0.2, 0.49):
        S = lyapunov.discrete_stationary(H, Sigma, eta)
        found = certificate.certify(H, Sigma, eta, S)
        assert found.valid and found.spectral_radius == lyapunov.spectral_radius(H, eta)
        assert "valid" in str(found)
        assert not certificate.certify(H, Sigma, eta, S * (1 + 1e-9)).solves
        C = lyapunov.continuous_stationary(H, Sigma, eta)
        assert certificate.certify(H, Sigma, eta, C, "continuous").valid
        assert not certificate.certify(H, Sigma, eta, C).solves
    unstable = certificate.certify(np.eye(2), np.eye(2), 3.0, -np.eye(2) * 3)
    assert unstable.solves and not unstable.stable and not unstable.definite and not unstable.valid

"""Fluid limit, covariance along it, normalised Ornstein-Uhlenbeck process, mean shift."""

import numpy as np
import pytest
import scipy.linalg
from reference_theory import random_covariance, random_hessian

from fastsgd.theory import fluid, lyapunov, mean_shift, ou

RNG = np.random.default_rng(40)


def test_linear_fluid_has_closed_forms():
    H, G, b = random_hessian(RNG, [0.5, 1.0, 3.0]), random_covariance(RNG, 3), 4
    V0, start, times = random_covariance(RNG, 3), np.array([1.0, -2.0, 0.5]), [0.0, 0.3, 1.0, 4.0]
    path = fluid.covariance_path(lambda x: H @ x, lambda x: H, lambda x: G, start, V0, b, times)
    S = lyapunov.continuous_stationary(H, G / b, 1.0)
    for s, t in enumerate(times):
        P = scipy.linalg.expm(-H * t)
        assert path.theta[s] == pytest.approx(P @ start, rel=1e-8, abs=1e-9)
        assert path.V[s] == pytest.approx(S + P @ (V0 - S) @ P, rel=1e-8, abs=1e-9)
        assert path.Phi[s] == pytest.approx(P, rel=1e-8, abs=1e-9)
    assert path.cross_covariance(3, 1) == pytest.approx(scipy.linalg.expm(-H * 3.7) @ path.V[1], rel=1e-7, abs=1e-9)
    assert fluid.fluid_path(lambda x: H @ x, start, times) == pytest.approx(path.theta, rel=1e-8, abs=1e-9)


def test_nonlinear_fluid_in_one_dimension():
    # L = theta^4/4: theta(t) = (1/theta_0^2 + 2 t)^(-1/2), H = 3 theta^2, dV/dt = -6 theta^2 V + 1
    times = np.array([0.5, 2.0, 10.0])
    path = fluid.covariance_path(
        lambda x: x**3, lambda x: 3 * x[:, None] ** 2, lambda x: np.eye(1), [2.0], np.zeros((1, 1)), 1, times
    )
    s = 0.25 + 2 * times  # theta^-2
    assert path.theta[:, 0] == pytest.approx(s**-0.5, rel=1e-8)
    assert path.V[:, 0, 0] == pytest.approx((s**4 - 0.25**4) / (8 * s**3), rel=1e-8)


def test_fluid_arguments():
    with pytest.raises(ValueError, match="strictly increasing"):
        fluid.fluid_path(lambda x: x, [1.0], [1.0, 0.5])
    assert fluid.fluid_path(lambda x: x, [1.0], [0.0]) == pytest.approx(np.ones((1, 1)))


def test_ou_transition_keeps_the_stationary_covariance():
    H, G, b, eta = random_hessian(RNG, [0.1, 1.0]), random_covariance(RNG, 2), 4, 0.01
    S = ou.stationary(H, G, b)
    assert pytest.approx(G / b, rel=1e-12) == H @ S + S @ H
    for dt in (1e-9, 1.0, 1e5):
        P, Q = ou.transition(H, G, b, eta, dt)
        assert pytest.approx(scipy.linalg.expm(-eta * dt * H), rel=1e-10, abs=1e-12) == P
        assert pytest.approx(S, rel=1e-12) == P @ S @ P + Q
    P, Q = ou.transition(np.zeros((1, 1)), np.eye(1), 2, 0.5, 3.0)
    assert P.item() == 1.0 and Q.item() == pytest.approx(0.75)
    means, covs = ou.moments(H, G, b, eta, [0.0, 1e9], [1.0, 1.0], np.zeros((2, 2)))
    assert np.all(covs[0] == 0) and covs[1] == pytest.approx(S, rel=1e-12) and np.all(np.abs(means[1]) < 1e-12)


def test_euler_scheme_of_the_ou_process():
    H, G, b, eta, dt = np.diag([1.0, 0.1]), np.array([[1.0, 0.3], [0.3, 2.0]]), 2, 0.01, 1.0
    S = ou.euler_stationary(H, G, b, eta, dt)
    A = np.eye(2) - eta * dt * H
    assert A @ S @ A + eta * dt / b * G == pytest.approx(S, rel=1e-14)
    assert ou.euler_stationary(H, G, b, 1e-9) == pytest.approx(ou.stationary(H, G, b), rel=1e-8)
    assert np.max(np.abs(S / ou.stationary(H, G, b) - 1)) > 1e-3


def test_mean_shift_by_simulation():
    # theta' = theta - eta (theta + a theta^2/2 + xi), xi = +-s: L'' = 1, L''' = a at 0
    eta, a, s, R, T = 0.05, 0.5, 1.0, 20_000, 400
    rng = np.random.default_rng(5)
    x = np.zeros(R)
    for _ in range(T):
        x = x - eta * (x + a * x * x / 2 + s * (2 * rng.integers(0, 2, R) - 1))
    S = lyapunov.discrete_stationary([[1.0]], [[s * s]], eta)
    shift = mean_shift.mean_shift([[1.0]], [[[a]]], S)[0]
    error = x.std() / np.sqrt(R)
    assert shift == pytest.approx(-0.5 * a * S.item())
    assert abs(x.mean() - shift) < 4.5 * error + 0.1 * abs(shift)  # next order: O(eta) of the shift
    assert abs(x.mean() + shift) > 4.5 * error + 0.1 * abs(shift)  # control: the other sign


def test_third_derivative_of_a_logistic_pool():
    X, theta = RNG.standard_normal((50, 3)), np.array([0.3, -1.0, 0.2])
    S = random_covariance(RNG, 3)

    def hessian(at):
        p = 1 / (1 + np.exp(-X @ at))
        return (X.T * (p * (1 - p))) @ X / 50

    h, eye = 1e-4, np.eye(3)
    third = np.array([(hessian(theta + h * e) - hessian(theta - h * e)) / (2 * h) for e in eye])
    p = 1 / (1 + np.exp(-X @ theta))
    got = mean_shift.glm_contraction(X, p * (1 - p) * (1 - 2 * p), S)
    assert got == pytest.approx(mean_shift.contraction(third, S), rel=1e-6)
    assert mean_shift.mean_shift(np.eye(3), lambda M: got, S) == pytest.approx(-got / 2)


def test_covariance_between_late_times_of_a_stiff_path():
    """Of what has decayed to nothing no inverse is taken: with Phi(t) Phi(s)^-1 the result was off by 12 %."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    H = (Q * [1.0, 10.0, 100.0]) @ Q.T
    H = (H + H.T) / 2
    arguments = np.ones(3), np.zeros((3, 3)), 1, [1.0, 5.0, 5.01, 5.05]
    path = fluid.covariance_path(lambda x: H @ x, lambda x: H, lambda x: np.eye(3), *arguments)
    exact = fluid.linear_path(H, np.eye(3), *arguments)
    for later, earlier in [(2, 1), (3, 1), (3, 2), (1, 1)]:
        assert path.cross_covariance(later, earlier) == pytest.approx(exact.cross_covariance(later, earlier), rel=1e-7)
    off = path.Phi[3] @ np.linalg.solve(path.Phi[1], path.V[1]) - exact.cross_covariance(3, 1)
    assert np.linalg.norm(off) > 1e-3 * np.linalg.norm(exact.cross_covariance(3, 1))
    assert exact.moves[2] == pytest.approx(path.moves[2], rel=1e-7)

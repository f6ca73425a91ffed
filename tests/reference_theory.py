"""High-precision references for the theory tests (mpmath, 60 digits) and small random problems."""

from __future__ import annotations

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def exact(matrix):
    """float64 array -> mpmath matrix, exactly."""
    return mp.matrix(np.atleast_2d(matrix).tolist())


def stationary_diagonal(eigenvalues, Sigma, eta):
    """eta Sigma_ij/(l_i + l_j - eta l_i l_j) in 60 digits, rounded to float64."""
    lam, e = [mp.mpf(float(v)) for v in eigenvalues], mp.mpf(float(eta))
    d = len(lam)
    return np.array(
        [[float(e * mp.mpf(float(Sigma[i, j])) / (lam[i] + lam[j] - e * lam[i] * lam[j])) for j in range(d)]
         for i in range(d)]
    )  # fmt: skip


def moments_diagonal(eigenvalues, Sigma, eta, k, mean0, cov0):
    """m_k and C_k of the recursion with diagonal H, closed form in 60 digits, rounded to float64."""
    lam, e = [mp.mpf(float(v)) for v in eigenvalues], mp.mpf(float(eta))
    a = [1 - e * v for v in lam]
    d = len(lam)
    mean = np.array([float(a[i] ** k * mp.mpf(float(mean0[i]))) for i in range(d)])
    cov = np.empty((d, d))
    for i in range(d):
        for j in range(d):
            r = a[i] * a[j]
            total = mp.mpf(k) if r == 1 else (1 - r**k) / (1 - r)
            cov[i, j] = float(r**k * mp.mpf(float(cov0[i, j])) + e * e * mp.mpf(float(Sigma[i, j])) * total)
    return mean, cov


def random_covariance(rng, d, rank=None):
    """A random PSD matrix of this rank, float64[d, d]."""
    B = rng.standard_normal((d, rank or d))
    return B @ B.T / d


def random_hessian(rng, eigenvalues):
    """Q diag(l) Q' with a random orthogonal Q."""
    Q = np.linalg.qr(rng.standard_normal((len(eigenvalues), len(eigenvalues))))[0]
    H = (Q * np.asarray(eigenvalues)) @ Q.T
    return (H + H.T) / 2


def recursion(H, Sigma, etas, steps, mean0, cov0):
    """Brute-force recursion of mean and covariance in the original coordinates."""
    mean, cov = np.array(mean0, float), np.array(cov0, float)
    means, covs, wanted = [], [], list(steps)
    for k in range(max(wanted) + 1):
        if k in wanted:
            means.append(mean.copy())
            covs.append(cov.copy())
        eta = etas(k)
        A = np.eye(len(mean)) - eta * np.asarray(H)
        mean, cov = A @ mean, A @ cov @ A.T + eta**2 * np.asarray(Sigma)
    return np.array(means), np.array(covs)


def relative(got, want):
    """Largest elementwise relative difference; entries that should be zero must be zero."""
    got, want = np.asarray(got, float), np.asarray(want, float)
    zero = want == 0
    assert np.all(got[zero] == 0)
    return float(np.max(np.abs(got - want)[~zero] / np.abs(want[~zero]), initial=0.0))

"""The links against SciPy: relative accuracy over the whole line, tails and NaN."""

import numpy as np
import pytest
from fastsgd.kernels.links import LINEAR, LOGISTIC, POISSON, PROBIT, SCORE, link_values
from scipy.special import erfcx, expit

GRID = np.concatenate([np.linspace(-40, 40, 4001), np.geomspace(1e-12, 600, 500), -np.geomspace(1e-12, 600, 499)])
EPS = np.finfo(np.float64).eps


def evaluate(family: int, z: np.ndarray, y: np.ndarray | float) -> np.ndarray:
    z = np.asarray(z, np.float64)
    pad = -z.size % 8
    out = np.empty(z.size + pad)
    y = np.broadcast_to(np.asarray(y, np.float64), z.shape)
    assert link_values(SCORE, family, np.pad(z, (0, pad)), np.pad(y, (0, pad)), out) == 0
    return out[: z.size]


def test_exponential() -> None:
    got = evaluate(POISSON, GRID, 0.0)
    # longdouble: double rounding apart, a reference with 11 bits more.
    expected = np.exp(GRID.astype(np.longdouble))
    assert np.max(np.abs(got / expected - 1)) < EPS


def test_sigmoid() -> None:
    assert np.max(np.abs(evaluate(LOGISTIC, GRID, 0.0) / expit(GRID) - 1)) < 4 * EPS
    upper = evaluate(LOGISTIC, GRID, 1.0)
    assert np.max(np.abs(upper + expit(-GRID))) < 2 * EPS


def test_probit_score() -> None:
    def ratio(u: np.ndarray) -> np.ndarray:
        """phi(u) / Phi(u) from scipy's scaled complementary error function."""
        x = np.abs(u) / np.sqrt(2)
        tail = erfcx(x)
        with np.errstate(over="ignore", under="ignore"):
            upper = np.exp(-u * u / 2)
        return np.sqrt(2 / np.pi) * np.where(u > 0, upper / (2 - upper * tail), 1 / tail)

    kept = GRID < 37  # above, phi itself underflows
    # SciPy's own exp(-u^2/2) carries u^2/2 roundings.
    allowed = EPS * (8 + np.where(GRID > 0, GRID**2, 0))[kept]
    for y, sign in ((1.0, 1), (0.0, -1)):
        got = evaluate(PROBIT, sign * GRID, y)[kept]
        assert np.all(np.abs(-sign * got / ratio(GRID[kept]) - 1) < allowed)


def test_linear_is_a_difference() -> None:
    z, y = np.array([1.5, -2.0, 1e300]), np.array([0.25, 3.0, 1.0])
    assert evaluate(LINEAR, z, y).tolist() == (z - y).tolist()


@pytest.mark.parametrize("family", [LINEAR, LOGISTIC, POISSON, PROBIT])
def test_nan_comes_through_and_only_exp_overflows(family: int) -> None:
    got = evaluate(family, np.array([np.nan, -800.0, 800.0, 709.4]), 1.0)
    assert np.isnan(got[0])
    assert np.isfinite(got[[1, 3]]).all()
    assert np.isinf(got[2]) == (family == POISSON)


def test_a_wrong_link_would_be_seen() -> None:
    """Negative control: float32 accuracy fails the tolerances above by six orders."""
    got = evaluate(LOGISTIC, GRID, 0.0).astype(np.float32)
    assert np.max(np.abs(got / expit(GRID) - 1)) > 1e5 * EPS

"""GLM problems: optimum, Hessian, noise and Fisher information against statsmodels, scikit-learn and differences."""

from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fastsgd.problems.data import moments, prepare
from fastsgd.problems.families import FAMILIES
from fastsgd.problems.likelihood import Model, NoOptimum, optimum

WDBC = Path(__file__).parent.parent / "runs" / "data" / "wdbc.csv"
RIDGE = 0.01


def wdbc() -> tuple[np.ndarray, np.ndarray]:
    table = np.loadtxt(WDBC, delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1]


def synthetic(family: str, n: int = 400, d: int = 4) -> Model:
    rng = np.random.default_rng(FAMILIES[family].code)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, d))])
    z = x @ np.array([0.3, -0.5, 0.8, 0.1, -0.2])
    y = {
        "linear": lambda: z + rng.normal(size=n),
        "huber": lambda: z + rng.normal(size=n),
        "logistic": lambda: (rng.random(n) < 1 / (1 + np.exp(-z))) * 1.0,
        "poisson": lambda: rng.poisson(np.exp(z)) * 1.0,
        "probit": lambda: (z + rng.normal(size=n) > 0) * 1.0,
    }[family]()
    return Model(family, x, y, 0.0)


def referee(model: Model):
    kinds = {
        "linear": lambda: sm.GLM(model.targets, model.features, sm.families.Gaussian()),
        "logistic": lambda: sm.Logit(model.targets, model.features),
        "poisson": lambda: sm.Poisson(model.targets, model.features),
        "probit": lambda: sm.Probit(model.targets, model.features),
    }
    return kinds[model.family]()


def test_the_committed_data_are_scikit_learns() -> None:
    data = load_breast_cancer()
    x, y = wdbc()
    assert np.array_equal(x, data.data) and np.array_equal(y, 1 - data.target)


def test_standardised_features_are_scikit_learns() -> None:
    x, y = wdbc()
    names = [f"x{j}" for j in range(30)]
    pool = prepare(x, y, names, standardize=True, intercept=True)
    assert pool.names == ("intercept", *names) and np.all(pool.features[:, 0] == 1)
    assert np.max(np.abs(pool.features[:, 1:] - StandardScaler().fit_transform(x))) < 1e-12
    means, sds = moments(pool.features[:, 1:])
    assert np.max(np.abs(means)) < 1e-15 and np.max(np.abs(sds - 1)) < 1e-14


def test_ridge_logistic_on_real_data_against_scikit_learn() -> None:
    x, y = wdbc()
    pool = prepare(x, y, [f"x{j}" for j in range(30)], standardize=True, intercept=True)
    model = Model("logistic", pool.features, pool.targets, RIDGE)
    theta = optimum(model)
    fit = LogisticRegression(C=1 / (RIDGE * len(y)), fit_intercept=False, solver="newton-cholesky", tol=1e-12)
    assert np.max(np.abs(theta - fit.fit(pool.features, y).coef_[0])) < 1e-9
    assert np.max(np.abs(model.gradient(theta))) < 1e-16
    # H and S_n from scikit-learn's probabilities, written out.
    mu = fit.predict_proba(pool.features)[:, 1]
    hessian = (pool.features.T * (mu * (1 - mu))) @ pool.features / len(y) + RIDGE * np.eye(31)
    noise = np.cov(pool.features.T * (mu - y), ddof=0)
    assert np.max(np.abs(model.hessian(theta) - hessian)) < 1e-9
    assert np.max(np.abs(model.noise(theta) - noise)) < 1e-9
    assert np.max(np.abs(model.fisher(theta) + RIDGE * np.eye(31) - hessian)) < 1e-9
    # Negative control: an intercept without penalty, and S over n - 1, are other problems.
    free = LogisticRegression(C=1 / (RIDGE * len(y)), solver="newton-cholesky", tol=1e-12).fit(pool.features[:, 1:], y)
    assert np.max(np.abs(theta[1:] - free.coef_[0])) > 1e-4
    assert np.max(np.abs(model.noise(theta) - np.cov(pool.features.T * (mu - y)))) > 1e-5


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"huber"}))  # huber: test_huber.py
def test_optimum_and_information_against_statsmodels(family: str) -> None:
    model = synthetic(family)
    theta = optimum(model)
    n = len(model.targets)
    other = referee(model)
    fit = other.fit() if family == "linear" else other.fit(disp=0, method="newton", tol=1e-14)
    assert np.max(np.abs(theta - fit.params)) < 1e-9
    scale = fit.scale if family == "linear" else 1.0  # statsmodels estimates the variance; the loss here has 1
    hessian = -other.hessian(theta) * scale / n
    scores = other.score_obs(theta) * scale
    assert np.max(np.abs(model.hessian(theta) - hessian)) < 1e-9
    assert np.max(np.abs(model.scores(theta) + scores)) < 1e-9
    assert np.max(np.abs(model.noise(theta) - np.cov(scores.T, ddof=0))) < 1e-9
    if family == "probit":
        glm = sm.GLM(model.targets, model.features, sm.families.Binomial(sm.families.links.Probit()))
        assert np.max(np.abs(model.fisher(theta) + glm.hessian(theta, observed=False) / n)) < 1e-9
        assert np.max(np.abs(model.fisher(theta) - hessian)) > 1e-3
    else:
        assert np.array_equal(model.fisher(theta), model.hessian(theta))


@pytest.mark.parametrize("family", FAMILIES)
def test_derivatives_against_differences(family: str) -> None:
    """Central differences with step h err by h^2 and by rounding / h: 1e-9 at h = 1e-5."""
    model = synthetic(family, n=60)
    model = Model(family, model.features, model.targets, ridge=0.3)
    theta = np.array([0.2, -0.1, 0.4, -0.3, 0.1])
    h = 1e-5
    directions = h * np.eye(5)
    numeric = np.array([(model.gradient(theta + e) - model.gradient(theta - e)) / (2 * h) for e in directions])
    assert np.max(np.abs(numeric - model.hessian(theta))) < 1e-8
    assert np.max(np.abs(model.scores(theta).mean(axis=0) - model.gradient(theta))) < 1e-15


@pytest.mark.parametrize("family", ["logistic", "probit"])
def test_separated_classes_are_refused_and_a_ridge_helps(family: str) -> None:
    x = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    y = (x[:, 1] > 0) * 1.0
    with pytest.raises(NoOptimum, match=r"separate|separable"):
        optimum(Model(family, x, y, 0.0))
    assert np.max(np.abs(Model(family, x, y, 1e-3).gradient(optimum(Model(family, x, y, 1e-3))))) < 1e-15


def test_dependent_columns_are_refused_by_name() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 2] = x[:, 0] + x[:, 1]
    with pytest.raises(NoOptimum, match='"c"'):
        optimum(Model("linear", x, x[:, 0], 0.0), ["a", "b", "c"])


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_badly_scaled_problems_converge(family: str) -> None:
    model = synthetic(family)
    if family == "linear":
        model = Model(family, model.features * np.array([1, 1e4, 1e-3, 1, 10]), model.targets * 1e6, 0.0)
    else:  # far from the start: exp overflows on the way of a full Newton step
        model = Model(family, model.features * np.array([1, 30, 1, 1, 1]), model.targets, 0.0)
    theta = optimum(model)
    weights = np.abs(model.scores(theta)).mean(axis=0)
    assert np.all(np.abs(model.gradient(theta)) < 1e-12 * weights)

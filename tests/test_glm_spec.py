"""GLM specs: what is wrong is said in one line, generated data follow the law they state, arms share their batches."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastsgd.errors import SpecError
from fastsgd.plan import make_plan
from fastsgd.problems import build
from fastsgd.problems.data import generate
from fastsgd.spec import load_spec
from fastsgd.spec.sections import Generate

BASE: dict[str, Any] = {
    "name": "pool",
    "seed": 3,
    "replicates": 4,
    "problem": {"kind": "glm", "family": "logistic", "ridge": 0.1, "data": {"file": "pool.csv", "target": "y"}},
    "sampling": {"batch": 3},
    "step": {"schedule": "constant", "size": 0.1},
    "record": {"steps": [2]},
}


def write(folder: Path, rows: str = "1,0,0\n2,1,1\n3,0,1\n4,1,0\n5,1,1\n") -> Path:
    (folder / "pool.csv").write_text("a,b,y\n" + rows)
    return folder


def changed(**keys: Any) -> dict[str, Any]:
    spec = copy.deepcopy(BASE)
    for key, value in keys.items():
        table, *path = key.split("__")
        place = spec[table]
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    return spec


BAD = [
    ({"problem__data__target": "a"}, "problem.data.target must be 0 or 1 for family logistic, got 2 in row 2"),
    (
        {"problem__family": "poisson", "problem__data__target": "a", "problem__data__file": "half.csv"},
        "must be a count",
    ),
    ({"problem__data__file": "flat.csv"}, 'columns that vary to be standardised, got 7 in every row of "a"'),
    ({"problem__data__file": "twin.csv", "problem__ridge": 0.0}, "must have a unique optimum"),
    ({"problem__data__file": "apart.csv", "problem__ridge": 0.0}, "above 0"),
    ({"problem__data__file": "named.csv"}, 'no column named "intercept"'),
    ({"problem__metric": {"file": "F.npy"}}, "problem.metric.file must be 3 x 3"),
    ({"sampling__batch": 6}, "sampling.batch"),
    ({"sampling__design": "fresh"}, "sampling.design"),
]


@pytest.mark.parametrize(("keys", "line"), BAD)
def test_what_is_wrong_with_data_is_one_line(tmp_path: Path, keys: dict[str, Any], line: str) -> None:
    write(tmp_path)
    (tmp_path / "half.csv").write_text("a,y\n1.5,0\n2,1\n3,1\n")
    (tmp_path / "flat.csv").write_text("a,b,y\n7,1,0\n7,2,1\n7,1,1\n")
    (tmp_path / "twin.csv").write_text("a,b,y\n1,2,0\n2,4,1\n3,6,0\n4,8,1\n9,18,1\n0,0,1\n")
    (tmp_path / "apart.csv").write_text("a,y\n1,0\n2,0\n3,1\n4,1\n5,1\n")
    (tmp_path / "named.csv").write_text("intercept,y\n1,0\n2,1\n3,0\n")
    np.save(tmp_path / "F.npy", np.eye(2))
    with pytest.raises(SpecError) as caught:
        load_spec(changed(**keys), base=tmp_path)
    assert len(caught.value.lines) == 1
    assert line in caught.value.lines[0] and ("got" in caught.value.lines[0])


def test_a_metric_of_the_right_size_is_taken(tmp_path: Path) -> None:
    write(tmp_path)
    np.save(tmp_path / "F.npy", np.diag([1.0, 2.0, 3.0]))
    problem = build(load_spec(changed(problem__metric={"file": "F.npy"}), base=tmp_path))
    assert np.array_equal(problem.metric, np.diag([1.0, 2.0, 3.0]))
    assert list(problem.coordinates) == ["intercept", "a", "b"] and problem.pool_size == 5 and not problem.exact


def test_columns_as_they_are_when_asked(tmp_path: Path) -> None:
    keys = {"problem__data__standardize": False, "problem__data__intercept": False}
    problem = build(load_spec(changed(**keys), base=write(tmp_path)))
    assert np.array_equal(problem.arrays["pool_features"], [[1, 0], [2, 1], [3, 0], [4, 1], [5, 1]])


def test_arms_share_their_batches(tmp_path: Path) -> None:
    """Two arms with the same step are the same numbers; a third with another step is not."""
    spec = changed()
    spec["arms"] = {"one": {}, "two": {}, "three": {"step.size": 0.05}}
    plan = make_plan(load_spec(spec, base=write(tmp_path)))
    delta = np.zeros((3, 4, 3))
    plan.stepper.advance(delta, plan.sizes(0, 7), 3, 0, 0)
    assert np.array_equal(delta[0], delta[1]) and not np.array_equal(delta[0], delta[2]) and delta.any()


def draw(family: str, **keys: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return generate(Generate(samples=20_000, dimension=3, **keys), family)


def test_generated_features_have_their_correlation() -> None:
    """Standard error of a correlation of n = 20000 is at most 0.0071; |z| < 5. Negative control: rho + 0.06."""
    features, _, coefficients = draw("linear", correlation=0.6, scale=2.0)
    observed = np.corrcoef(features.T)
    expected = 0.6 ** np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    assert np.max(np.abs(observed - expected)) < 5 / np.sqrt(20_000)
    assert np.max(np.abs(features.mean(axis=0))) < 5 / np.sqrt(20_000)
    assert abs(observed[0, 1] - 0.66) > 5 / np.sqrt(20_000)
    assert abs(np.linalg.norm(coefficients) - 2.0) < 1e-14


@pytest.mark.parametrize("family", ["linear", "logistic", "poisson", "probit"])
def test_generated_targets_follow_the_model(family: str) -> None:
    """sum (y - mu) x has covariance sum V(mu) x x' at the true coefficients: chi-square with 4 degrees, p > 1e-6."""
    from scipy.special import expit, ndtr

    features, targets, coefficients = draw(family, scale=1.0, noise=2.0, seed=11)
    z = features @ coefficients
    mean = {"linear": z, "logistic": expit(z), "poisson": np.exp(z), "probit": ndtr(z)}[family]
    variance = {"linear": np.full_like(z, 4.0), "poisson": mean}.get(family, mean * (1 - mean))
    x = np.column_stack([np.ones(len(z)), features])

    def chi2(residuals: np.ndarray) -> float:
        total = x.T @ residuals
        return float(total @ np.linalg.solve((x.T * variance) @ x, total))

    limit = 33.4  # quantile 1 - 1e-6 of chi-square with 4 degrees of freedom
    assert chi2(targets - mean) < limit
    assert chi2(targets - mean - 0.1 * z) > limit  # negative control: coefficients 10 % off


def test_generated_data_are_the_same_for_every_number_of_samples() -> None:
    """Sample i is addressed by i: a longer data set begins with a shorter one."""
    short = generate(Generate(samples=7, dimension=2, seed=5), "poisson")
    long = generate(Generate(samples=50, dimension=2, seed=5), "poisson")
    assert np.array_equal(short[0], long[0][:7]) and np.array_equal(short[1], long[1][:7])
    assert not np.array_equal(short[0], generate(Generate(samples=7, dimension=2, seed=6), "poisson")[0])


def test_too_large_a_poisson_mean_is_refused() -> None:
    spec = changed(problem__family="poisson")
    spec["problem"]["data"] = {"generate": {"samples": 100, "dimension": 2, "scale": 50.0}}
    with pytest.raises(SpecError, match=r"smaller problem\.data\.generate\.scale"):
        load_spec(spec)

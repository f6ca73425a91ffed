"""`estimate`: statsmodels' robust errors, the problem of a run, files in chunks, bootstrap, a spec that runs."""

import json
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.datasets import load_iris

import fastsgd
import fastsgd.analysis.estimate_bootstrap
import fastsgd.analysis.estimate_stability
import fastsgd.problems
from fastsgd.analysis.estimate import estimate
from fastsgd.analysis.estimate_bootstrap import resamples
from fastsgd.analysis.estimate_geometry import Geometry, Plateau, steps_for
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError
from fastsgd.spec import chunks
from fastsgd.theory import geometry, least_squares, least_squares_stationary, lyapunov

N, P = 400, 3
MODELS = {"linear": sm.OLS, "logistic": sm.Logit, "probit": sm.Probit, "poisson": sm.Poisson}
WDBC = str(Path(__file__).parent.parent / "runs" / "data" / "wdbc.csv")


def table(family, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, P)) @ np.array([[1.0, 0.3, 0], [0, 2.0, 0.5], [0, 0, 30.0]]) + [0.0, 1.0, 100.0]
    z = 0.3 + X @ [0.4, -0.2, 0.01] - 1.0
    y = {
        "linear": z + rng.standard_normal(N) * (1 + np.abs(X[:, 0])),  # not of constant variance
        "logistic": rng.random(N) < 1 / (1 + np.exp(-z)),
        "probit": z + rng.standard_normal(N) > 0,
        "poisson": rng.poisson(np.exp(np.clip(z, -4, 3))),
    }[family]
    return X, np.asarray(y, dtype=np.float64)


@pytest.fixture
def data(request, tmp_path):
    def write(family, name="data.npz"):
        X, y = table(family)
        np.savez(tmp_path / name, X=X, y=y)
        return tmp_path / name, X, y

    return write


@pytest.mark.parametrize("family", MODELS)
def test_estimates_and_robust_errors_are_those_of_statsmodels(data, family):
    path, X, y = data(family)
    fitted = MODELS[family](y, sm.add_constant(X))
    referee = fitted.fit(cov_type="HC0") if family == "linear" else fitted.fit(cov_type="HC0", disp=0, tol=1e-12)
    for standardize in (True, False):
        found = estimate(path, family, bootstrap=0, standardize=standardize)
        values, errors = found.fit.in_columns()
        assert values == pytest.approx(referee.params, rel=1e-9, abs=1e-12)
        assert errors == pytest.approx(referee.bse, rel=1e-9)
    assert not np.allclose(errors, np.sqrt(np.diagonal(np.linalg.inv(found.fit.hessian)) / N), rtol=0.005)


def test_huber_is_the_robust_fit_of_statsmodels(data, tmp_path):
    """At scale 1: theta*, and the sandwich from its residuals; classical errors as a control. Then a spec that loads."""
    path, X, y = data("linear")
    y = y + np.where(np.arange(N) % 10 == 0, 40.0, 0.0)
    np.savez(path, X=X, y=y)
    Z, c = sm.add_constant(X), 1.5
    one = np.sqrt((N - 4) / N)  # statsmodels multiplies a given scale by the inverse
    referee = sm.RLM(y, Z, M=sm.robust.norms.HuberT(c)).fit(scale_est=lambda residuals: one, tol=1e-12, maxiter=500)
    psi, inside = np.clip(y - Z @ referee.params, -c, c), np.abs(y - Z @ referee.params) <= c
    inverse = np.linalg.inv(Z.T @ (Z * inside[:, None]))
    errors = np.sqrt(np.diagonal(inverse @ (Z.T @ (Z * (psi**2)[:, None])) @ inverse))
    for standardize, memory in ((True, 2**30), (False, 0)):
        found = estimate(path, "huber", threshold=c, bootstrap=0, standardize=standardize, in_memory=memory)
        values, robust = found.fit.in_columns()
        assert values == pytest.approx(referee.params, rel=1e-6, abs=1e-8)
        assert robust == pytest.approx(errors, rel=1e-5)
    assert not np.allclose(robust, sm.OLS(y, Z).fit(cov_type="HC0").bse, rtol=0.2)
    spec = estimate(path, "huber", threshold=c, bootstrap=30).spec_tables()
    problem = fastsgd.problems.build(next(iter(fastsgd.load_spec(spec).arm_specs().values())))
    assert problem.noise == pytest.approx(
        estimate(path, "huber", threshold=c, bootstrap=0).fit.noise, rel=1e-6, abs=1e-9
    )
    with pytest.raises(InputError, match="for the family huber"):
        estimate(path, "linear", threshold=c)


@pytest.mark.parametrize(("name", "family"), [("longley", "linear"), ("spector", "probit"), ("randhie", "poisson")])
def test_data_sets_of_statsmodels(tmp_path, name, family):
    data = getattr(sm.datasets, name).load_pandas()
    y, X = np.asarray(data.endog, dtype=float), np.asarray(data.exog, dtype=float)
    X = X[:, X.std(axis=0) > 0]
    np.savez(tmp_path / "set.npz", X=X, y=y)
    fitted = MODELS[family](y, sm.add_constant(X))
    referee = fitted.fit(cov_type="HC0") if family == "linear" else fitted.fit(cov_type="HC0", disp=0, tol=1e-12)
    values, errors = estimate(tmp_path / "set.npz", family, bootstrap=0).fit.in_columns()
    assert values == pytest.approx(referee.params, rel=1e-9)
    assert errors == pytest.approx(referee.bse, rel=1e-9)
    if name == "longley":
        with pytest.raises(InputError, match="standardise them"):
            estimate(tmp_path / "set.npz", family, bootstrap=0, standardize=False)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("intercept", [True, False])
def test_matrices_are_those_of_the_problem_of_a_run(data, family, intercept):
    path, _, _ = data(family)
    found = estimate(path, family, ridge=0.1, bootstrap=0, intercept=intercept)
    spec = fastsgd.load_spec(found.spec_tables())
    problem = fastsgd.problems.build(next(iter(spec.arm_specs().values())))
    assert found.fit.theta == pytest.approx(problem.optimum, rel=1e-10, abs=1e-12)
    for mine, theirs in [("hessian", "hessian"), ("noise", "noise"), ("metric", "metric")]:
        assert getattr(found.fit, mine) == pytest.approx(getattr(problem, theirs), rel=1e-9, abs=1e-12)
    assert (found.fit.in_columns() is None) == (not intercept)


def test_a_file_in_chunks_gives_the_numbers_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "chunk_rows", lambda columns: 128)
    X, y = table("logistic")
    np.savez_compressed(tmp_path / "t.npz", X=X, y=y)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["X"], file["y"] = X, y
    text = "X_1,X_2,X_3,y\n" + "".join(
        f"{a!r},{b!r},{c!r},{t!r}\n" for (a, b, c), t in zip(X.tolist(), y.tolist(), strict=True)
    )
    (tmp_path / "t.csv").write_text(text)
    whole = estimate(tmp_path / "t.npz", "logistic", rank=2, bootstrap=20).as_dict()
    assert whole["in_memory"]
    for name in ("t.npz", "t.h5", "t.csv"):
        parts = estimate(tmp_path / name, "logistic", rank=2, bootstrap=20, in_memory=0).as_dict()
        assert not parts["in_memory"]
        for key in set(whole) - {"data", "in_memory", "spec"}:
            assert parts[key] == whole[key], key
    monkeypatch.setattr(chunks, "chunk_rows", lambda columns: 50)
    other = estimate(tmp_path / "t.h5", "logistic", rank=2, bootstrap=0, in_memory=0)
    assert other.fit.theta == pytest.approx(whole["optimum"], rel=1e-9)
    assert other.fit.noise == pytest.approx(np.array(whole["noise"]), rel=1e-9, abs=1e-13)


def test_bootstrap_errors_are_those_of_refitted_resamples(data):
    """60 resamples refitted by statsmodels against 300 of ours: errors of errors are 9 and 4 %."""
    path, X, y = data("logistic")
    found = estimate(path, "logistic", bootstrap=300)
    assert found.bootstrap == 300
    rng = np.random.default_rng(4)
    Z, refits, kappas = sm.add_constant((X - X.mean(0)) / X.std(0)), [], []
    for _ in range(60):
        rows = rng.integers(0, N, N)
        theta = sm.Logit(y[rows], Z[rows]).fit(disp=0).params
        p = 1 / (1 + np.exp(-Z[rows] @ theta))
        g = Z[rows] * (p - y[rows])[:, None]
        refits.append(theta)
        kappas.append(geometry.condition_number(g.T @ g / N))
    assert found.theta_errors == pytest.approx(np.std(refits, axis=0, ddof=1), rel=0.4)
    assert found.geometry_errors["condition_number"] == pytest.approx(np.std(kappas, ddof=1), rel=0.4)
    assert found.theta_errors == pytest.approx(found.fit.standard_errors, rel=0.25)  # asymptotically the same


def test_intervals_cover_where_errors_alone_do_not(tmp_path):
    """lambda_min(H) of 40 samples of 100 rows, 1 in truth: 95 % intervals cover it, value +- 1.96 s.e. does not."""
    rng, inside, plain = np.random.default_rng(9), 0, 0
    for r in range(40):
        X = rng.standard_normal((100, 4))
        np.savez(tmp_path / "x.npz", **{f"x{j}": X[:, j] for j in range(4)}, y=rng.standard_normal(100))
        found = estimate(tmp_path / "x.npz", "linear", bootstrap=60, standardize=False, intercept=False, seed=r)
        low, high = found.geometry_intervals["smallest_curvature"]
        inside += low < 1 < high
        value, error = found.geometry.smallest_curvature, found.geometry_errors["smallest_curvature"]
        plain += abs(value - 1) < 1.96 * error
        assert "generalised_condition_number" not in found.geometry_intervals
        assert found.step_intervals[0][0] < found.step_intervals[0][1]
    # 0.9 of many samples, 0.15 without: 4 standard errors of 40 below and above.
    assert inside >= 40 * (0.9 - 4 * np.sqrt(0.09 / 40)) > 40 * (0.15 + 4 * np.sqrt(0.13 / 40)) >= plain


@pytest.mark.slow
def test_intervals_of_heavy_tailed_gradients_cover(tmp_path):
    """Student regressors and noise, 200 rows: 40 data sets against the geometry of a large one; spread of lambda_max(H).

    Controls: bias-corrected values +- 1.96 deviations miss more often; resamples that keep the scale of the columns spread
    lambda_max 1.7 times as far as data sets do.
    """

    def sample(n, rng):
        X = rng.standard_t(6, size=(n, 4)) @ np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(range(4), range(4)))).T
        np.savez(tmp_path / "x.npz", X=X, y=X @ [0.5, -0.4, 0.3, 0.2] + rng.standard_t(5, size=n))
        return tmp_path / "x.npz"

    names = ("condition_number", "effective_dimension", "trace_noise")
    truth = estimate(sample(200_000, np.random.default_rng(0)), "linear", bootstrap=0).geometry.as_dict()
    rng, sets, inside, narrow, tops, spreads, fixed = np.random.default_rng(1), 40, [], [], [], [], []
    for r in range(sets):
        found = estimate(sample(200, rng), "linear", bootstrap=60, seed=r)
        own = found.geometry.as_dict()
        drawn = resamples(found.fit, 60, r)
        for name in names:
            low, high = found.geometry_intervals[name]
            inside.append(low < truth[name] < high)
            logs = np.log([Geometry.of(b.hessian, b.noise, b.metric, 200).as_dict()[name] for b in drawn])
            centre = 2 * np.log(own[name]) - logs.mean()
            narrow.append(abs(centre - np.log(truth[name])) < 1.96 * logs.std(ddof=1))
        tops.append(np.log(own["largest_curvature"]))
        spreads.append(found.geometry_errors["largest_curvature"] / own["largest_curvature"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                fastsgd.analysis.estimate_bootstrap, "_standardised_anew", lambda at, *_: np.eye(at.dimension)
            )
            again = [np.linalg.eigvalsh(b.hessian)[-1] for b in resamples(found.fit, 60, r)]
        fixed.append(np.std(np.log(again), ddof=1))
    # Three quantities of a data set go together: errors as of one.
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / sets)
    assert np.mean(inside) > np.mean(narrow) + 0.03
    error = 4 / np.sqrt(2 * sets)
    assert abs(np.mean(spreads) / np.std(tops, ddof=1) - 1) < error < np.mean(fixed) / np.std(tops, ddof=1) - 1
    assert "heavy tails" in found.to_text() and found.fit.tails.effective < 40


def test_geometry_is_that_of_the_theory(data):
    path, _, _ = data("probit")
    found = estimate(path, "probit", bootstrap=0).fit
    H, G, F = found.hessian, found.noise, found.metric
    g = Geometry.of(H, G, F, N)
    assert g.mu_F == pytest.approx(geometry.mu_F(F, H), rel=1e-9)
    assert g.condition_number == pytest.approx(geometry.condition_number(G), rel=1e-9)
    assert g.effective_dimension == pytest.approx(geometry.effective_dimension(G), rel=1e-9)
    assert g.generalised_condition_number == pytest.approx(geometry.generalised_condition_number(H, G), rel=1e-9)
    assert g.sampling_risk == pytest.approx(np.trace(F @ geometry.sandwich(H, G)) / N, rel=1e-9)
    plateau = Plateau.of(H, G, F)
    assert plateau.risk(0.5) == pytest.approx(lyapunov.stationary_risk(F, H, G, 0.5), rel=1e-10)
    for b in (1, 16, N):
        steps = steps_for(b, N, g, plateau, 10.0, g.largest_stable_step)
        if b < N:
            at = lyapunov.stationary_risk(F, H, (N - b) / ((N - 1) * b) * G, steps.quiet)
            assert at == pytest.approx(g.sampling_risk, rel=1e-9)
        assert 2 * steps.suggested == steps.high == min(steps.quiet, steps.stable)
        left = (1 - steps.suggested * g.smallest_curvature) ** (steps.epochs * N / b)
        assert left == pytest.approx(0.01, rel=1e-9)
    assert steps.quiet == np.inf


def test_the_low_rank_stream_is_reported_with_its_error(data):
    path, _, _ = data("logistic")
    low = estimate(path, "logistic", rank=2, bootstrap=0).as_dict()["low_rank"]
    assert low["rank"] == 2 and 0 < low["error"] <= low["error_bound"] * (1 + 1e-9)
    full = estimate(path, "logistic", rank=99, bootstrap=0).as_dict()["low_rank"]
    assert full["rank"] == P + 1 and full["error"] < 1e-12


@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_the_spec_runs_and_is_consistent(data, tmp_path, capsys, family):
    path, _, _ = data(family)
    target = tmp_path / "study" / "spec.toml"
    target.parent.mkdir()
    arguments = ["estimate", path, "--family", family, "--ridge", 0.05, "--bootstrap", 10, "--spec", target]
    assert exit_code([str(a) for a in arguments]) == 0
    out = capsys.readouterr().out
    tables = tomllib.loads(out[out.index('name = "data"') :])
    assert tables["sampling"] == tomllib.loads(target.read_text())["sampling"]
    report = fastsgd.ratio(fastsgd.run(target, overrides=["replicates=256"]))
    assert report.consistent
    assert exit_code([str(a) for a in arguments]) == 2  # nothing is overwritten
    capsys.readouterr()


def test_json_and_text(capsys):
    arguments = [
        "estimate",
        WDBC,
        "--family",
        "logistic",
        "--target",
        "malignant",
        "--ridge",
        "0.01",
        "--bootstrap",
        "0",
    ]
    assert exit_code([*arguments, "--json", "--batch", "64", "--batch", "8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 569 and found["dimension"] == 31
    assert [step["batch"] for step in found["steps"]] == [64, 8]
    assert exit_code(arguments) == 0
    assert "mean_radius" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"family": "logistic", "y": 2.0}, "the target must be 0 or 1 for logistic, got 2 in row 1"),
        ({"family": "logistic", "separated": True}, "separated by the columns|singular Hessian"),
        ({"family": "linear", "constant": True}, 'column "X_1" must vary'),
        ({"family": "linear", "double": True}, "singular Hessian at column"),
        ({"family": "linear", "batches": (500,)}, "between 1 and the 400 rows"),
        ({"family": "cox"}, "the family must be one of"),
        ({"family": "linear", "ridge": -1.0}, "the ridge must be >= 0"),
        ({"family": "linear", "epochs": float("nan")}, "the epochs must be > 0 and finite, got nan"),
        ({"family": "linear", "bootstrap": 1}, "must have 2 resamples or more"),
    ],
)
def test_what_cannot_be_estimated_is_said(tmp_path, change, said):
    X, y = table("logistic")
    y = np.full(N, change.pop("y")) if "y" in change else y
    if change.pop("separated", False):
        y = (X[:, 0] > 0).astype(float)
    if change.pop("constant", False):
        X[:, 0] = 5.0
    if change.pop("double", False):
        X[:, 1] = 2 * X[:, 0]
    np.savez(tmp_path / "bad.npz", X=X, y=y)
    with pytest.raises(InputError, match=said):
        estimate(tmp_path / "bad.npz", **{"bootstrap": 0} | change)


@pytest.mark.parametrize("dense", [16, 0])
@pytest.mark.parametrize("family", ["linear", "poisson"])
def test_the_stable_step_is_the_mean_square_one(data, monkeypatch, family, dense):
    """Of least squares with the rows' Hessians at the optimum; by one pass, and as a bound by power iteration."""
    monkeypatch.setattr(fastsgd.analysis.estimate_stability, "DENSE", dense)
    path, _, _ = data(family)
    found = estimate(path, family, ridge=0.05, bootstrap=0, batches=(1, 20, N))
    X, theta = np.concatenate([part[0] for part in found.fit.features]), found.fit.theta
    root = np.exp(X @ theta / 2) if family == "poisson" else np.ones(N)
    pool = least_squares.Pool(X * root[:, None], np.zeros(N), np.full(P + 1, 0.05))
    for step in found.steps:
        b = step.batch
        limit = least_squares_stationary.largest_stable_step(pool, (N - b) / ((N - 1) * b))
        assert 0.9 * limit < 2 * step.stable <= limit * (1 + 1e-9)
        assert dense == 0 or 2 * step.stable == pytest.approx(limit, rel=1e-9)
    assert 2 * found.steps[2].stable == pytest.approx(found.geometry.largest_stable_step, rel=1e-9)
    assert found.steps[0].stable < 0.5 * found.steps[2].stable


@pytest.mark.slow
def test_suggested_steps_are_stable_where_the_hessian_alone_says_little(tmp_path):
    """Counts up to hundreds in 40 rows: half of 2 / lambda_max(H) loses replicates, the suggested range does not."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((40, 3))
    y = rng.poisson(np.exp(3 + X @ [0.9, 0.5, -0.4]) * rng.gamma(1.0, size=40))
    np.savez(tmp_path / "t.npz", X=X, y=y.astype(float))
    found = estimate(tmp_path / "t.npz", "poisson", bootstrap=0, batches=(1,))
    tables = found.spec_tables() | {"replicates": 256, "record": {"steps": [500, 2000]}}
    tables.pop("arms")
    lost = {}
    for size in (found.steps[0].high, 0.5 * found.geometry.largest_stable_step):
        run = fastsgd.run(tables | {"step": {"size": size}}, tmp_path / f"{size}.h5")
        lost[size] = int(np.count_nonzero(run.diverged_at() >= 0))
    inside, outside = lost.values()
    assert inside == 0 < outside


def test_nearly_separated_classes_are_said(tmp_path, capsys):
    """Two kinds of iris by a probit fit: the s.e. of x'theta from statsmodels' robust covariance."""
    X, kind = load_iris(return_X_y=True)
    X, y = X[50:], (kind[50:] == 1) * 1.0
    np.savez(tmp_path / "t.npz", X=X, y=y)
    found = estimate(tmp_path / "t.npz", "probit", bootstrap=0)
    Z = sm.add_constant(X)
    spread = sm.Probit(y, Z).fit(cov_type="HC0", disp=0, tol=1e-12).cov_params()
    assert found.fit.margin_error == pytest.approx(np.sqrt(np.mean(np.sum(Z @ spread * Z, axis=1))), rel=1e-6)
    assert found.fit.margin_error > 2 and "nearly separated" in found.to_text()
    assert "nearly separated" not in estimate(tmp_path / "t.npz", "probit", ridge=0.1, bootstrap=0).to_text()

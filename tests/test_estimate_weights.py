"""`estimate` with weights, counts and dropped columns: statsmodels, scikit-learn, the table written out, files in chunks."""

import json

import h5py
import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from fastsgd.analysis.estimate import estimate
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError
from fastsgd.spec import chunks

N = 400
FAMILIES = {
    "linear": sm.families.Gaussian(),
    "logistic": sm.families.Binomial(),
    "probit": sm.families.Binomial(sm.families.links.Probit()),
    "poisson": sm.families.Poisson(),
}


def table(family, seed=6):
    """X float64[N, 3], y, weights with zeros, counts 0 to 3."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, 3)) @ np.array([[1.0, 0.3, 0], [0, 2.0, 0.5], [0, 0, 30.0]]) + [0.0, 1.0, 100.0]
    z = 0.3 + X @ [0.4, -0.2, 0.01] - 1.0
    y = {
        "linear": z + rng.standard_normal(N) * (1 + np.abs(X[:, 0])),
        "logistic": rng.random(N) < 1 / (1 + np.exp(-z)),
        "probit": z + rng.standard_normal(N) > 0,
        "poisson": rng.poisson(np.exp(np.clip(z, -4, 3))),
    }[family]
    w = rng.exponential(size=N) * (rng.random(N) > 0.1)
    return X, np.asarray(y, dtype=np.float64), w, rng.integers(0, 4, N).astype(float)


@pytest.mark.parametrize("kind", ["weights", "counts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_weighted_estimates_and_robust_errors_are_those_of_statsmodels(tmp_path, family, kind):
    """The other meaning of the column, and no weights, as controls."""
    X, y, w, c = table(family)
    v = w if kind == "weights" else c
    np.savez(tmp_path / "t.npz", X=X, y=y, v=v)
    inside, name = v > 0, {"weights": "var_weights", "counts": "freq_weights"}[kind]
    model = sm.GLM(y[inside], sm.add_constant(X[inside]), family=FAMILIES[family], **{name: v[inside]})
    referee = model.fit(cov_type="HC0", tol=1e-14, maxiter=200)
    for standardize in (True, False):
        found = estimate(tmp_path / "t.npz", family, bootstrap=0, standardize=standardize, **{kind: "v"})
        values, errors = found.fit.in_columns()
        assert values == pytest.approx(referee.params, rel=1e-9)
        assert errors == pytest.approx(referee.bse, rel=1e-9)
    assert found.fit.features.rows == (inside.sum() if kind == "weights" else c.sum())
    other = estimate(tmp_path / "t.npz", family, bootstrap=0, drop=["v"]).fit.in_columns()
    assert not np.allclose(other[1], referee.bse, rtol=0.02)
    if kind == "counts":
        weighed = estimate(tmp_path / "t.npz", family, bootstrap=0, weights="v").fit.in_columns()
        assert weighed[0] == pytest.approx(values, rel=1e-9)
        assert not np.allclose(weighed[1], errors, rtol=0.05)


def test_a_ridge_weighs_as_in_scikit_learn(tmp_path):
    X, y, w, _ = table("logistic")
    X = (X - X.mean(0)) / X.std(0)
    np.savez(tmp_path / "t.npz", X=X, y=y, w=w)
    found = estimate(
        tmp_path / "t.npz", "logistic", weights="w", ridge=0.05, standardize=False, intercept=False, bootstrap=0
    )
    model = LogisticRegression(C=1 / (0.05 * w.sum()), fit_intercept=False, tol=1e-12, max_iter=10_000)
    assert found.fit.theta == pytest.approx(model.fit(X, y, sample_weight=w).coef_[0], rel=1e-6)


def test_weights_have_no_scale(tmp_path):
    X, y, w, _ = table("poisson")
    found = []
    for factor in (1.0, 1e-9):
        np.savez(tmp_path / "t.npz", X=X, y=y, w=w * factor)
        found.append(estimate(tmp_path / "t.npz", "poisson", weights="w", ridge=0.1, bootstrap=20).as_dict())
    for key in ("optimum", "standard_errors", "noise", "hessian", "bootstrap_errors", "effective_rows"):
        assert np.array(found[0][key]) == pytest.approx(np.array(found[1][key]), rel=1e-9, abs=1e-12)
    assert found[0]["effective_rows"] == pytest.approx(w.sum() ** 2 / (w @ w))


def test_counts_are_the_table_written_out(tmp_path):
    """Every number, the largest step stable in mean square and the sketch included; bootstrap errors have the same law."""
    X, y, _, c = table("linear")
    np.savez(tmp_path / "short.npz", X=X, y=y, c=c)
    times = c.astype(int)
    np.savez(tmp_path / "long.npz", X=np.repeat(X, times, axis=0), y=np.repeat(y, times))
    short, long = (
        estimate(tmp_path / f"{name}.npz", "linear", ridge=0.1, rank=2, bootstrap=200, batches=(1, 32), counts=column)
        for name, column in (("short", "c"), ("long", None))
    )
    same = ("rows", "optimum", "standard_errors", "hessian", "noise", "metric", "column_scale", "effective_rows")
    one, two = short.as_dict(), long.as_dict()
    for key in same:
        assert np.array(one[key]) == pytest.approx(np.array(two[key]), rel=1e-9, abs=1e-11), key
    for key, value in one["geometry"].items():
        assert value == pytest.approx(two["geometry"][key], rel=1e-9)
    for a, b in zip(short.steps, long.steps, strict=True):
        assert (a.high, a.low, a.stable) == pytest.approx((b.high, b.low, b.stable), rel=1e-9)
    assert one["low_rank"]["share_of_trace"] == pytest.approx(two["low_rank"]["share_of_trace"], rel=0.02)
    assert one["bootstrap_errors"] == pytest.approx(two["bootstrap_errors"], rel=4 * np.sqrt(1 / 200))


def test_bootstrap_errors_with_weights_are_the_robust_ones(tmp_path):
    X, y, w, _ = table("logistic")
    np.savez(tmp_path / "t.npz", X=X, y=y, w=w)
    found = estimate(tmp_path / "t.npz", "logistic", weights="w", bootstrap=400)
    assert found.theta_errors == pytest.approx(found.fit.standard_errors, rel=4 * np.sqrt(0.5 / 400) + 0.1)


def test_weighted_files_in_chunks_give_the_numbers_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "chunk_rows", lambda columns: 128)
    X, y, w, c = table("logistic")
    w[128:256] = 0.0  # a chunk without any row that counts
    np.savez_compressed(tmp_path / "t.npz", X=X, y=y, w=w, c=c)
    with h5py.File(tmp_path / "t.h5", "w") as file:
        for name, values in {"X": X, "y": y, "w": w, "c": c}.items():
            file[f"train/{name}"] = values
    rows = zip(X.tolist(), y.tolist(), w.tolist(), c.tolist(), strict=True)
    lines = [f"row {i},{a!r},{b!r},{d!r},{t!r},{v!r},{k!r}\n" for i, ((a, b, d), t, v, k) in enumerate(rows)]
    (tmp_path / "t.csv").write_text("id,X_1,X_2,X_3,y,w,c\n" + "".join(lines))
    for used, other in (("weights", "c"), ("counts", "w")):
        column = {"weights": "w", "counts": "c"}[used]
        whole = estimate(tmp_path / "t.npz", "logistic", rank=2, bootstrap=20, drop=[other], **{used: column}).as_dict()
        for name, target, drop in (
            ("t.npz", "y", [other]),
            ("t.h5", "train/y", [other]),
            ("t.csv", "y", [other, "id"]),
        ):
            parts = estimate(
                tmp_path / name,
                "logistic",
                target=target,
                rank=2,
                bootstrap=20,
                drop=drop,
                in_memory=0,
                **{used: column},
            ).as_dict()
            assert whole["in_memory"] and not parts["in_memory"]
            for key in set(whole) - {"data", "target", "in_memory", "dropped"}:
                assert parts[key] == whole[key], (name, key)
        csv = estimate(
            tmp_path / "t.csv", "logistic", rank=2, bootstrap=20, drop=[other, "id"], **{used: column}
        ).as_dict()
        assert csv["in_memory"] and csv["noise"] == whole["noise"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"w": (3, -1.0)}, r'weights must be >= 0 in column "w", got -1 in row 4 \(1 such rows\)'),
        ({"w": (3, np.nan)}, 'must hold finite numbers, got nan in "w" at row 4; remove or fill the row'),
        ({"w": (slice(None), 0.0)}, "got a sum of 0"),
        ({"counts": "w"}, r"counts must be whole numbers >= 0 in column \"w\", got .* in row"),
        ({"counts": "c", "weights": "w"}, r"weights or counts, got both \(w, c\)"),
        (
            {"weights": "weight"},
            'has no column "weight" for the weights; did you mean|has no column "weight" for the weights',
        ),
        ({"drop": ["a"]}, 'has no column "a" to leave out'),
        ({"drop": ["X_1", "X_2", "X_3", "c"], "weights": "w"}, 'no feature beside the weights "w"'),
    ],
)
@pytest.mark.parametrize("memory", [2**20, 0])
def test_what_is_wrong_with_weights_is_said(tmp_path, change, said, memory):
    X, y, w, c = table("linear")
    if "w" in change:
        place, value = change["w"]
        w[place], change = value, {"weights": "w"}
    np.savez(tmp_path / "t.npz", X=X, y=y, w=w, c=c)
    with pytest.raises(InputError, match=said):
        estimate(tmp_path / "t.npz", "linear", bootstrap=0, in_memory=memory, **change)


def test_columns_of_text_are_refused_or_dropped(tmp_path, capsys):
    X, y, w, _ = table("linear")
    lines = [
        f"{a!r},name {i},{t!r},{v!r}\n"
        for i, (a, t, v) in enumerate(zip(X[:, 0].tolist(), y.tolist(), w.tolist(), strict=True))
    ]
    path = tmp_path / "t.csv"
    path.write_text("a,who,y,w\n" + "".join(lines))
    arguments = ["estimate", str(path), "--family", "linear", "--bootstrap", "0"]
    assert exit_code(arguments) == 2
    assert 'must hold numbers, got "name 0" at line 2, column "who"' in capsys.readouterr().err
    assert exit_code([*arguments, "--drop", "who", "--weights", "w", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["coordinates"], found["weights"], found["dropped"]) == (["intercept", "a"], "w", ["who"])
    assert found["spec"] is None
    assert exit_code([*arguments, "--drop", "who", "--weights", "w"]) == 0
    out = capsys.readouterr().out
    assert "sampling weights w, as many rows as" in out and "no spec of a problem with weights" in out
    assert exit_code([*arguments, "--drop", "who", "--spec", str(tmp_path / "s.toml")]) == 2
    assert exit_code([*arguments, "--drop", "y"]) == 2
    assert 'must not leave out its target "y"' in capsys.readouterr().err
    assert exit_code([*arguments, "--drop", "whom"]) == 2
    assert 'has no column "whom" to leave out; did you mean "who"?' in capsys.readouterr().err

"""Weighted designs and designs of simulations with own problems: what a run holds of them, and merges without the code."""

import sys

import numpy as np
import pytest
from small_runs import datasets, tables

import fastsgd
from fastsgd.errors import InputError
from fastsgd.problems import own

pytestmark = pytest.mark.slow

CODE = """
from numba import njit

@njit
def mean(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] - sample[j]

@njit
def curve(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] + sample.normals[j] + 0.2 * sample.normals[j] ** 2 - 0.2
"""


def spec(folder, name, **sampling):
    (folder / "code.py").write_text(CODE)
    rng = np.random.default_rng(2)
    np.save(folder / "pool.npy", rng.normal(size=(50, 2)) * (1 + np.arange(50)[:, None] / 10))
    more = {"data": {"file": str(folder / "pool.npy")}} if name == "mean" else {"normals": 2, "pilot": 2**14}
    problem = {"kind": f"{folder / 'code.py'}:{name}", "dimension": 2} | more
    return tables(problem=problem, sampling={"batch": 4} | sampling, replicates=4096)


WEIGHTED = {
    "importance": {"probabilities": "gradient"},
    "stratified": {"strata": {"column": "0", "groups": 2}, "allocation": "neyman"},
}


@pytest.mark.parametrize("design", WEIGHTED)
def test_gradients_of_a_large_pool_are_not_kept(tmp_path, monkeypatch, design):
    given = spec(tmp_path, "mean", design=design, **WEIGHTED[design])
    small = fastsgd.run(given, tmp_path / "small.h5")
    monkeypatch.setattr("fastsgd.plan._LARGEST_KEPT", 99)
    large = fastsgd.run(given, tmp_path / "large.h5")
    assert "pool_gradients" in small.problem("main") and "pool_gradients" not in large.problem("main")
    first, second = fastsgd.ratio(small), fastsgd.ratio(large)
    assert first.verdict == second.verdict == "consistent"
    assert [row.predicted for row in first.rows] == [row.predicted for row in second.rows]
    fastsgd.ratio(small, assume=["sampling.batch=8"])
    with pytest.raises(
        InputError, match=r"needs the gradients of the pool, which a run keeps .* up to a million numbers"
    ):
        fastsgd.ratio(large, assume=["sampling.batch=8"])
    assert fastsgd.ratio(large, assume=["sampling.design=with-replacement"]).verdict == "inconsistent"


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("mean", {"design": "importance"} | WEIGHTED["importance"]),
        ("curve", {"design": "antithetic"}),
        ("curve", {"design": "control-variate"}),
    ],
    ids=["importance", "antithetic", "control-variate"],
)
def test_shards_are_merged_without_the_code(tmp_path, monkeypatch, name, sampling):
    monkeypatch.setattr("fastsgd.plan._LARGEST_KEPT", 99)
    given = spec(tmp_path, name, **sampling) | {"replicates": 300}
    whole = fastsgd.run(given, tmp_path / "whole.h5")
    files = [fastsgd.run(given, tmp_path / f"{i}.h5", shard=(i, 2)).path for i in (1, 2)]
    (tmp_path / "code.py").unlink()
    own._last.clear()
    for module in [m for m in sys.modules if m.startswith("fastsgd_own_")]:
        monkeypatch.delitem(sys.modules, module)
    merged = fastsgd.merge(files, tmp_path / "merged.h5")
    assert datasets(merged.path) == datasets(whole.path)
    assert fastsgd.ratio(merged).verdict == "consistent"

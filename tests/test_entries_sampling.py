"""The entries on mini-batch gradients and pools: their helpers, and each entry with a changed spec."""

import itertools
import shutil

import numpy as np
import pytest

import fastsgd
from fastsgd.experiments.scale import spec_folder
from fastsgd.experiments.scores import Second, covariance_rows
from fastsgd.experiments.sequences import Law, _gradients
from fastsgd.theory.fourth_moments import packed_products, product_covariance

# Entry -> {spec: [(text, its replacement)]}: other dimensions, pools, batches, and few replicates.
CHANGED = {
    "identification": {
        "identification": [("samples = 20000, dimension = 10", "samples = 3000, dimension = 4"), ("batch = 64", "batch = 50")],
        "identification-real": [("batch = 64", "batch = 200")],
    },
    "reuse": {
        "reuse-linear": [("samples = 1000, dimension = 4", "samples = 200, dimension = 6"), ("1, 10, 100, 300, 900", "1, 100")],
        "reuse-logistic": [("samples = 500, dimension = 3", "samples = 200, dimension = 2"), ("5, 100, 450", "150")],
        "reuse-location": [("[1, 10, 100, 300, 900]", "[30]")],
        "reuse-reshuffled": [("samples = 10, dimension = 2", "samples = 8, dimension = 3"), ("[1, 2, 3, 5]", "[3]")],
        "reuse-reshuffled-logistic": [("samples = 10, dimension = 2", "samples = 9, dimension = 1"), ("[1, 3]", "[2]")],
    },
    "fluid": {"fluid": [("dimension = 3", "dimension = 2"), ("[2.0, -1.5, 1.0]", "[1.5, 2.0]"), ("batch = 1", "batch = 2")]},
    "bounds": {
        "bounds-gaussian": [("dimension = 5", "dimension = 8"), ("high = 1.5", "high = 1.4")],
        "bounds-logistic": [("dimension = 3", "dimension = 2")],
    },
    "planning": {
        "planning-newsvendor": [("correlation = 0.6", "correlation = 0.2"), ("scale = 0.28", "scale = 0.2")],
        "planning-logistic": [("ridge = 0.01", "ridge = 0.03"), ("[4, 32, 128, 512]", "[8, 64, 256]")],
        "planning-queue": [("[1.0, 1.5]", "[1.2, 0.8]"), ("steps = [2048, 8192]", "steps = [2000, 6000]")],
    },
    "reduction": {
        "reduction-newsvendor": [("price = [3.4, 1.4]", "price = [1.5, 3.0]"), ("correlation = 0.4", "correlation = -0.3")],
        "reduction-pool": [("samples = 60, dimension = 2", "samples = 120, dimension = 3"), ("groups = 4", "groups = 3")],
    },
    "conditioning": {
        "conditioning-small": [("samples = 20, dimension = 3", "samples = 15, dimension = 2"), ("= 1000000", "= 200000")],
        "conditioning-pool": [("samples = 1000, dimension = 3", "samples = 300, dimension = 4"),
                              ("[1, 10, 100, 500, 900, 1000]", "[2, 150, 300]")],
    },
}  # fmt: skip


def changed_specs(folder, name):
    for source in spec_folder().glob("*"):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("*.png", "*.h5"))
        elif source.suffix != ".h5":
            shutil.copy(source, folder)
    for spec, changes in CHANGED[name].items():
        text = (folder / f"{spec}.toml").read_text()
        for old, new in changes:
            assert old in text, (spec, old)
            text = text.replace(old, new)
        (folder / f"{spec}.toml").write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CHANGED))
def test_a_changed_spec_is_consistent_and_its_controls_are_rejected(name, tmp_path):
    (tmp_path / "specs").mkdir()
    specs = changed_specs(tmp_path / "specs", name)
    made = fastsgd.reproduce([name], "quick", tmp_path / "out", specs=specs, seed=11)
    assert made.consistent, made.failures
    (result,) = made.entries
    assert result["tests"] > 3 and all(c["power"] > 0.9 for c in result["controls"])


def test_moments_of_the_two_laws_are_those_of_their_samples():
    law, rng, n = Law.of(np.array([0.8, -0.5, 0.3]), 0.7, 0.4), np.random.default_rng(5), 200_000
    for m in range(2):
        g = _gradients(rng.standard_normal((n, 1, 4)), law, np.full(n, m))[:, 0]
        centred = g - law.means[m]
        assert np.all(np.abs(centred.mean(axis=0)) < 5 * centred.std(axis=0) / np.sqrt(n))
        products = centred[:, :, None] * centred[:, None, :]
        z = (products.mean(axis=0) - law.covariances[m]) / (products.std(axis=0) / np.sqrt(n))
        assert np.all(np.abs(z) < 5)
        wrong = (products.mean(axis=0) - law.covariances[1 - m]) / (products.std(axis=0) / np.sqrt(n))
        assert np.all(np.abs(np.diagonal(wrong)) > 20)


def test_covariance_rows_have_standard_normal_z():
    rng = np.random.default_rng(8)
    root = np.array([[1.0, 0.0], [0.7, 0.4]])
    found = []
    for _ in range(300):
        values = rng.exponential(size=(400, 2)) - 1.0
        found += [row.z for row in covariance_rows("x", "", Second.of(values @ root.T, root @ root.T), root @ root.T)]
    assert abs(np.mean(found)) < 5 / np.sqrt(900) and abs(np.std(found) - 1) < 0.15


@pytest.mark.parametrize("replacement", [False, True])
def test_covariance_of_products_is_that_over_all_batches(replacement):
    g = np.random.default_rng(4).exponential(size=(6, 2)) * [1.0, 3.0]
    for b in (1, 2, 3, 5):
        batches = itertools.product(range(6), repeat=b) if replacement else itertools.combinations(range(6), b)
        means = np.array([g[list(batch)].mean(axis=0) for batch in batches]) - g.mean(axis=0)
        products = packed_products(means)
        expected = np.cov(products.T, bias=True)
        assert np.allclose(product_covariance(g, b, replacement), expected, rtol=1e-10, atol=1e-12)
    assert np.allclose(product_covariance(g, 6), 0.0, atol=1e-12)

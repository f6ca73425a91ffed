"""Problems and designs of installed packages, and as objects: a distribution made on the spot, found by its entry points."""

import sys

import numpy as np
import pytest
import user_designs
from small_runs import results
from user_designs import tables

import fastsgd
from fastsgd.errors import SpecError
from fastsgd.problems import own_code, own_design_code
from fastsgd.replaying import replay
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

POINTS = """
[fastsgd.designs]
every-tenth = acme_designs:systematic
careful = acme_designs:horvitz
halves = acme_designs:halves
broken = acme_nothing:design

[fastsgd.problems]
mean = acme_designs:gradient
lost = acme_designs:nowhere
"""
BUILT_IN = """

from fastsgd.designs.draws import Draws
from fastsgd.designs.with_replacement import WithReplacement

class Halves(WithReplacement):
    name = "halves"

halves = Halves()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder with the files of a spec and, on sys.path, an installed package with the same code."""
    site = tmp_path / "site"
    info = site / "acme-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (site / "acme_designs.py").write_text(user_designs.CODE + BUILT_IN)
    monkeypatch.syspath_prepend(str(site))
    yield user_designs.make(tmp_path)
    sys.modules.pop("acme_designs", None)
    own_design_code._objects.clear()
    own_code._objects.clear()


def test_an_installed_design_is_that_of_its_file(installed, tmp_path):
    files = fastsgd.run(tables(installed, "systematic"), tmp_path / "file.h5")
    named = tables(installed, "systematic", design="every-tenth")
    run = fastsgd.run(named, tmp_path / "named.h5")
    assert np.array_equal(run.final("main"), files.final("main"))
    assert run.spec.sampling.design.startswith("sha256:") and run.spec.sampling.design.endswith(".py:systematic")
    other = fastsgd.run(tables(installed, "x", design="careful"), tmp_path / "other.h5")
    assert not np.array_equal(other.final("main"), run.final("main"))
    assert other.identity != run.identity != files.identity
    # A new process knows the run by the hash of its code, and finds it again among what is installed.
    own_design_code._objects.clear()
    assert replay(run.path, 7, code=installed / "designs.py")[0].compared == 2
    assert fastsgd.extend(run.path, replicates=100, code=installed / "designs.py").replicates == 100


def test_an_installed_problem_and_a_class_of_design(installed, tmp_path):
    spec = tables(installed, "horvitz", design="with-replacement")
    theirs = tables(installed, "horvitz", design="halves")
    theirs["problem"] = spec["problem"] | {"kind": "mean"}
    run, twin = fastsgd.run(theirs, tmp_path / "a.h5"), fastsgd.run(spec, tmp_path / "b.h5")
    assert np.array_equal(run.final("main"), twin.final("main"))


def test_objects_in_python(installed, tmp_path):
    sys.path_importer_cache.clear()
    import acme_designs

    for thing in (acme_designs.horvitz, acme_designs.simple):
        run = fastsgd.run(tables(installed, "x", design=thing), tmp_path / "object.h5", force=True)
        name = "horvitz" if thing is acme_designs.horvitz else "simple"
        files = fastsgd.run(tables(installed, name), tmp_path / "file.h5", force=True)
        assert np.array_equal(run.final("main"), files.final("main"))
        assert replay(run.path, 3, code=installed / "designs.py")[0].compared == 2
    arms = {"a": {}, "b": {"sampling.design": acme_designs.systematic}, "c": {"sampling": {"design": "every-tenth"}}}
    run = fastsgd.run(tables(installed, "simple") | {"arms": arms}, tmp_path / "arms.h5")
    assert np.array_equal(run.final("b"), run.final("c"))
    assert not np.array_equal(run.final("a"), run.final("b"))
    same = fastsgd.run(tables(installed, "simple") | {"arms": arms}, tmp_path / "again.h5")
    assert results(run.path) == results(same.path)


def test_what_cannot_be_loaded_is_told(installed):
    with pytest.raises(
        SpecError, match=r"loading acme_nothing:design of the installed design broken fails with ModuleNotFound"
    ):
        load_spec(tables(installed, "x", design="broken"))
    with pytest.raises(SpecError, match=r'got "every-tent"; did you mean'):
        load_spec(tables(installed, "x", design="every-tent"))
    lost = tables(installed, "simple")
    lost["problem"]["kind"] = "lost"
    with pytest.raises(SpecError, match=r"loading acme_designs:nowhere of the installed problem lost fails with"):
        load_spec(lost)

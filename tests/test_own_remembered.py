"""The geometry of a user's problem kept on disk: the same to the last bit, found anew where anything is different."""

import numpy as np
import pytest

import fastsgd
from fastsgd.problems import own, remembered
from fastsgd.problems.pilot import Pilot
from fastsgd.spec import load_spec

CODE = """
import numpy as np
from numba import njit
from {helper} import FACTOR

@njit
def gradient(theta, sample, params, out):
    for j in range(theta.size):
        out[j] = params[0] * theta[j] - FACTOR * sample.normals[j] - 1.0
"""
SPEC = """
seed = 1
replicates = 64
problem = {kind = "code.py:gradient", dimension = 2, normals = 2, parameters = [3.0], pilot = 16384}
sampling = {batch = 2}
step = {size = 0.1}
record = {steps = [5]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    name = "helper_" + tmp_path.name
    (tmp_path / "code.py").write_text(CODE.format(helper=name))
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / f"{name}.py").write_text("FACTOR = 2.0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(remembered, "WORTH", 0.0)
    monkeypatch.setattr("fastsgd.kernels._jit.CACHE_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
def searches(monkeypatch):
    """How often the optimum was looked for."""
    found, newton = [], Pilot._newton
    monkeypatch.setattr(Pilot, "_newton", lambda self, theta: found.append(1) or newton(self, theta))
    return found


def predicted(folder, *changes):
    own._last.clear()  # as in another process
    return fastsgd.predict(load_spec(folder / "spec.toml", changes))


@pytest.mark.slow
def test_the_geometry_is_found_once(folder, searches):
    first = predicted(folder)
    (kept,) = (folder / "own").glob("geometry-*.npz")
    one = own._last[0][2]
    assert predicted(folder) == first and len(searches) == 1
    two = own._last[0][2]
    assert one is not two and one.optimum.tobytes() == two.optimum.tobytes() and one.parts.keys() == two.parts.keys()
    for name in ("hessian", "noise", "optimum_error", "hessian_error", "noise_error"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert all(one.parts[name].tobytes() == two.parts[name].tobytes() for name in one.parts)
    # What it is not found from does not matter, anything else does.
    predicted(folder, "step.size=0.05", "problem.metric=identity")
    assert len(searches) == 1
    other = predicted(folder, "problem.parameters=[4.0]")
    assert len(searches) == 2 and other != first
    predicted(folder, "problem.guess=[1.0,0.0]")
    assert len(searches) == 3
    kept.write_bytes(kept.read_bytes()[:500])
    assert predicted(folder) == first and len(searches) == 4


@pytest.mark.slow
def test_gradients_that_came_out_otherwise_make_it_anew(folder, searches, monkeypatch):
    predicted(folder)
    first_gradients = Pilot.first_gradients
    monkeypatch.setattr(Pilot, "first_gradients", lambda self, theta: np.nextafter(first_gradients(self, theta), 9.0))
    predicted(folder)
    assert len(searches) == 2


def test_what_takes_no_time_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(remembered, "WORTH", 1e9)
    predicted(folder)
    assert not list((folder / "own").glob("geometry-*"))

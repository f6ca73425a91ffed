"""Designs of own problems that are simulated, against their built-in twin."""

from dataclasses import replace

import numpy as np
import pytest
from own_code import make, moved, resolved
from test_simulation_designs import NEWSVENDOR

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize("design", ["antithetic", "control-variate"])
def test_designs_of_a_simulator_are_those_of_the_twin(folder, design):
    twin, _ = resolved(folder, NEWSVENDOR, design=design)
    params = twin.problem.simulator.params.tolist()
    own = {"kind": "code.py:shop", "dimension": 2, "normals": 2, "parameters": params, "guess": [100.0, 100.0]}
    arm, problem = resolved(folder, own | {"optimum": twin.problem.optimum.tolist()}, design=design)
    scale = np.abs(problem.noise).max()
    # From 2^20 pilot samples, of bounded gradients: 6 standard errors of the largest entry.
    assert np.abs(arm.covariance - twin.covariance).max() < 6 * scale / 2**10 / 3
    assert np.abs(arm.covariance - problem.noise / 6).max() > 20 * scale / 2**10 / 3  # control: fresh samples
    same = replace(arm, coefficient=twin.coefficient)
    assert np.allclose(moved(same), moved(twin), rtol=0, atol=1e-10)

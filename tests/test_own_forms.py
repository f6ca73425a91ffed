"""The compiled forms of an own gradient, side by side and one replicate at a time: the same bits."""

from dataclasses import replace

import numpy as np
import pytest
from own_code import make, moved, resolved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("own"))


def the_same_alone(arm, pilot, kind, margins=False):
    """Where replicates that run side by side end; each alone ends at the same bits, or `margins` in other orders."""
    from fastsgd.kernels.own import Functions
    from fastsgd.kernels.own import make as make_kernels

    assert pilot.kernels.lanes is not None, pilot.kernels.reason
    slow = make_kernels(kind, pilot.code.key, Functions(pilot.code.gradient), lanes=False)
    one = moved(arm, arms=2, pilot=replace(pilot, kernels=slow))
    found = moved(arm, arms=2)
    # 40 contracting steps of a few dozen roundings each.
    assert np.max(np.abs(one - found)) < 1e-13 if margins else np.array_equal(one, found)
    return one


@pytest.mark.parametrize("gradient", ["summed", "twice", "logistic", "whole"])
@pytest.mark.parametrize("design", ["without-replacement", "bernoulli"])
def test_forms_of_a_gradient_on_a_pool(folder, gradient, design):
    from fastsgd.kernels.own import POOL

    own = {"kind": f"code.py:{gradient}", "dimension": 3, "data": {"file": "pool.npy"}}
    for batch in (2, 7):
        arm, problem = resolved(folder, own, design=design, batch=batch)
        margins = gradient in ("logistic", "whole") and batch > 2
        assert np.ptp(the_same_alone(arm, problem.pilot, POOL, margins)) > 0.05


@pytest.mark.parametrize("design", ["antithetic", "control-variate", "fresh"])
def test_designs_of_a_simulator_one_replicate_at_a_time(folder, design):
    from fastsgd.kernels.own import SIMULATOR

    own = {"kind": "code.py:service", "dimension": 2, "uniforms": 1, "exponentials": 2}
    for batch in (2, 70):
        arm, problem = resolved(folder, own, design=design, batch=batch)
        assert np.ptp(the_same_alone(arm, problem.pilot, SIMULATOR)) > 0.01

"""The error of a pilot in the z of a run: small pilots of the same problem, each with a run of its own."""

import numpy as np
import pytest

import fastsgd
from fastsgd.analysis.model import from_run
from fastsgd.analysis.prediction import Prediction

pytestmark = pytest.mark.slow

# Problem k reads the exponential k, so that each has another pilot; G is known to 2 %, theta* to 0.8 % of a deviation.
CODE = """
import math
from numba import njit

@njit
def gradient(theta, sample, params, out):
    e = sample.exponentials[int(params[0])] - 1.0
    out[0] = theta[0] - e
    out[1] = theta[1] * (0.75 + 0.5 * sample.uniforms[0]) + 0.5 * e

@njit
def curved(theta, sample, params, out):
    u = math.exp(-sample.exponentials[int(params[0])])
    out[0] = theta[0] - u * u + 1.0 / 3.0
    out[1] = theta[1] - u * u * u + 0.25
"""
PILOTS, FEW, REPLICATES = 16, 8, 65536


def ran(folder, k, replicates, name="gradient", **sampling):
    spec = {
        "name": "pilot", "seed": k, "replicates": replicates, "sampling": {"batch": 1} | sampling, "step": {"size": 0.1},
        "problem": {
            "kind": f"{folder / 'code.py'}:{name}", "dimension": 2, "exponentials": PILOTS, "uniforms": 1, "pilot": 2**14,
            "parameters": [float(k)], "metric": "identity",
        },
        "record": {"steps": [12, 24]},
    }  # fmt: skip
    if name == "curved":
        # Nothing but the covariance is uncertain.
        spec["problem"] |= {"optimum": [0.0, 0.0], "exponentials": FEW}
        spec["record"] = {"steps": [4, 8]}
    (folder / "code.py").write_text(CODE)
    return fastsgd.run(spec, folder / f"{k}-{replicates}.h5")


def test_z_values_hold_with_the_error_of_the_pilot_and_not_without(tmp_path):
    squares, without = np.zeros(2), np.zeros(2)
    for k in range(PILOTS):
        rows = {(row.quantity, row.step): row for row in fastsgd.ratio(ran(tmp_path, k, REPLICATES)).rows}
        for place, name in enumerate([("risk", 24), ("risk (all steps)", None)]):
            row = rows[name]
            squares[place] += row.z**2
            # What it was: the scatter between replicates alone.
            without[place] += ((row.empirical - row.predicted) / row.standard_error_sample) ** 2
    # Chi-squares of as many degrees of freedom, with mean 16 and standard deviation 5.7.
    width = np.sqrt(2 * PILOTS)
    assert np.all(squares < PILOTS + 5 * width), (squares, without)
    assert np.all(squares > PILOTS - 2.5 * width), (squares, without)
    assert np.all(without > PILOTS + 8 * width), (squares, without)


@pytest.mark.parametrize("design", ["antithetic", "control-variate"])
def test_z_values_hold_with_the_error_of_what_a_design_is_made_of(tmp_path, design):
    """Its covariance is known to 1 %, from the draws of a pilot of its own."""
    pilots, squares, without = FEW, 0.0, 0.0
    for k in range(pilots):
        run = ran(tmp_path, k, 8 * REPLICATES, "curved", design=design, batch=2)
        name = {"antithetic": "antithetic_parts", "control-variate": "control_parts"}[design]
        assert len(run.problem("main")[name]) == 32
        row = next(r for r in fastsgd.ratio(run).rows if (r.quantity, r.step) == ("risk", 8))
        squares += row.z**2
        without += ((row.empirical - row.predicted) / row.standard_error_sample) ** 2
    width = np.sqrt(2 * pilots)
    assert pilots - 2.5 * width < squares < pilots + 5 * width, (squares, without)
    assert without > pilots + 8 * width, (squares, without)


def test_the_optimum_of_a_pilot_moves_the_mean(tmp_path):
    run = ran(tmp_path, 1, 4 * REPLICATES)
    row = next(r for r in fastsgd.ratio(run).rows if r.quantity == "mean" and r.step == 24)
    assert abs(row.z) < 4
    prediction = Prediction.of(from_run(run)[0], run.steps)
    assert prediction.pilot is not None
    assert prediction.pilot.distance[-1] * 4 * REPLICATES > 3  # more than the error of the replicates, which is 1
    assert np.array_equal(run.problem("main")["noise_parts"].shape, [32, 2, 2])

"""The error of a pilot in the z of a run: small pilots of the same problem, each with a run of its own."""

import numpy as np
import pytest

import fastsgd
from fastsgd.analysis.model import from_run
from fastsgd.analysis.prediction import Prediction

pytestmark = pytest.mark.slow

# Problem k reads the exponential k, so that each has another pilot; G is known to 2 %, theta* to 0.8 % of a deviation.
CODE = """
from numba import njit

@njit
def gradient(theta, sample, params, out):
    e = sample.exponentials[int(params[0])] - 1.0
    out[0] = theta[0] - e
    out[1] = theta[1] * (0.75 + 0.5 * sample.uniforms[0]) + 0.5 * e
"""
PILOTS, REPLICATES = 16, 65536


def ran(folder, k, replicates):
    spec = {
        "name": "pilot", "seed": k, "replicates": replicates, "sampling": {"batch": 1}, "step": {"size": 0.1},
        "problem": {
            "kind": f"{folder / 'code.py'}:gradient", "dimension": 2, "exponentials": PILOTS, "uniforms": 1, "pilot": 2**14,
            "parameters": [float(k)], "metric": "identity",
        },
        "record": {"steps": [12, 24]},
    }  # fmt: skip
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


def test_the_optimum_of_a_pilot_moves_the_mean(tmp_path):
    run = ran(tmp_path, 1, 4 * REPLICATES)
    row = next(r for r in fastsgd.ratio(run).rows if r.quantity == "mean" and r.step == 24)
    assert abs(row.z) < 4
    prediction = Prediction.of(from_run(run)[0], run.steps)
    assert prediction.pilot is not None
    assert prediction.pilot.distance[-1] * 4 * REPLICATES > 3  # more than the error of the replicates, which is 1
    assert np.array_equal(run.problem("main")["noise_parts"].shape, [32, 2, 2])

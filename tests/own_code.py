"""Own problems for the tests of their designs: code, a pool in two forms, and arms made of them."""

from dataclasses import replace

import numpy as np

from fastsgd import plan
from fastsgd.spec import load_spec

CODE = """
import math
from numba import njit

@njit
def logistic(theta, sample, out):
    margin = 0.0
    for j in range(theta.size):
        margin += sample[j] * theta[j]
    residual = 1.0 / (1.0 + math.exp(-margin)) - sample[theta.size]
    for j in range(theta.size):
        out[j] = residual * sample[j]

@njit
def summed(theta, sample, out):      # reads what it has written
    for j in range(theta.size):
        out[j] = 0.0
    for j in range(theta.size):
        out[j] += math.tanh(theta[j] - sample[j])
        out[j] += 0.125 * theta[j]

@njit
def whole(theta, sample, out):       # expressions of whole arrays
    p = 1.0 / (1.0 + math.exp(-(sample[:-1] @ theta)))
    g = (p - sample[-1]) * sample[:-1]
    out[:] = g + 0.125 * theta

@njit
def twice(theta, sample, out):       # writes an element twice, and one by a negative index
    for j in range(len(out)):
        out[j] = 7.0 * sample[j]
    scale = math.exp(-sample[0] * sample[0])
    for j in range(out.size - 1):
        out[j] = (theta[j] - sample[j]) * scale if sample[j] > 0 else theta[j]
    out[-1] = theta[theta.size - 1] - sample[theta.size - 1] + (1.0 if scale > 2.0 else 0.0)

@njit
def shop(theta, sample, params, out):
    at = 0
    for j in range(2):
        demand = params[4 + j]
        for k in range(j + 1):
            demand += params[6 + at] * sample.normals[k]
            at += 1
        out[j] = -params[2 + j] if demand > theta[j] else params[j]

@njit
def service(theta, sample, out):     # uniforms and exponentials
    out[0] = theta[0] - sample.exponentials[0] * sample.uniforms[0] + 0.1 * sample.exponentials[1]
    out[1] = theta[1] * (1.0 + sample.uniforms[0]) - math.exp(sample.uniforms[0])
"""


def make(where):
    """Put code.py, pool.npy and pool.csv into a folder."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3)) * [1.0, 2.0, 0.5]
    y = (rng.random(60) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    np.save(where / "pool.npy", np.column_stack([x, y]))
    rows = [",".join(map(repr, map(float, row))) for row in np.column_stack([x, y])]
    (where / "pool.csv").write_text("\n".join(["x0,x1,x2,y", *rows]) + "\n")
    (where / "code.py").write_text(CODE)
    return where


def resolved(folder, problem, **sampling):
    spec = {
        "name": "own", "seed": 3, "replicates": 8, "problem": problem, "sampling": {"batch": 6} | sampling,
        "step": {"size": 0.1}, "record": {"steps": [40]},
    }  # fmt: skip
    arm = plan.resolve_arm(next(iter(load_spec(spec, base=folder).arm_specs().values())))
    return arm, arm.problem


def moved(arm, arms=1, replicates=21, steps=40, pilot=None):
    problem = arm.problem if pilot is None else replace(arm.problem, pilot=pilot)
    delta = np.zeros((arms, replicates, problem.dimension))
    sizes = np.full((arms, steps), 0.2) / np.arange(1, arms + 1)[:, None]
    problem.stepper([arm] * arms).advance(delta, sizes, 3, 5, 0)
    return delta

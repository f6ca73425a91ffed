"""A small spec of each kind of problem, for promises that hold for all of them."""

import numpy as np
from small_runs import tables

ARMS = {"a": {}, "b": {"problem.noise.kind": "isotropic"}}
POOL = {"sampling": {"batch": 4}, "step": {"size": 0.2}}
CODE = """
from fastsgd.stream import below
from numba import njit

@njit
def systematic(n, b, stream, indices):
    start = below(stream, n)
    for i in range(b):
        indices[i] = (start + i * (n // b)) % n

@njit
def gradient(theta, sample, out):
    residual = -sample[theta.size]
    for j in range(theta.size):
        residual += sample[j] * theta[j]
    for j in range(theta.size):
        out[j] = residual * sample[j]

@njit
def shop(theta, sample, out):
    for j in range(theta.size):
        out[j] = theta[j] + sample.normals[j] + 0.3 * theta[j] * sample.uniforms[0]
"""
NAMES = (
    "quadratic", "arms", "gaussian", "decaying", "average", "ou", "glm", "glm file", "reshuffle", "bernoulli", "stratified",
    "importance", "newsvendor", "queue", "fresh", "portfolio", "own pool", "own simulated",
    "own design", "single",
)  # fmt: skip
WITH_CODE = ("own pool", "own simulated", "own design")


def spec(name, folder, **changes):
    """Tables of the kind `name`; its files and code.py are put into `folder`, and named by their whole paths."""
    rng = np.random.default_rng(3)
    if name == "glm file":
        x = rng.normal(size=(50, 2))
        lines = [f"{a},{b},{int(a + rng.normal() > 0)}" for a, b in x]
        (folder / "data.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    if name in WITH_CODE:
        (folder / "code.py").write_text(CODE)
        np.save(folder / "pool.npy", rng.normal(size=(40, 4)))
    generate = {"samples": 60, "dimension": 3, "seed": 4}
    given = {
        "quadratic": {},
        "arms": {"arms": ARMS, "record__trajectories": 130, "problem__hessian__basis": "random"},
        "gaussian": {"start": {"kind": "gaussian", "scale": 2.0}, "record__steps": [7, 40]},
        "decaying": {"step": {"schedule": "power", "size": 1.0, "offset": 10.0, "exponent": 0.75}},
        "average": {"record__average": {"burn_in": 8, "batches": 4}},
        "single": {"problem__normal_precision": "single", "arms": ARMS},
        "ou": {"problem__kind": "ou", "problem__time_step": 0.1, "problem__scheme": "euler", "step": {"size": 0.5}},
        "glm": POOL | {"problem": {"kind": "glm", "family": "logistic", "ridge": 0.1, "data": {"generate": generate}}},
        "glm file": POOL
        | {
            "problem": {
                "kind": "glm", "family": "logistic", "ridge": 0.1,
                "data": {"file": str(folder / "data.csv"), "target": "y"},
            }
        },
        "newsvendor": POOL
        | {
            "problem": {
                "kind": "newsvendor", "dimension": 2, "cost": 1.0, "price": [2.0, 3.0],
                "demand": {"mean": 4.0, "deviation": 1.0, "correlation": 0.5},
            }
        },
        "queue": POOL
        | {"problem": {"kind": "queue", "arrival_rate": 1.0, "rate_cost": 0.5, "customers": 4, "pilot": 2**16}},
        "fresh": {
            "problem": {"kind": "glm", "family": "logistic", "data": {"generate": generate | {"truth": "probit"}}},
            "sampling": {"batch": 4, "design": "fresh"},
        },
        "portfolio": POOL
        | {
            "problem": {
                "kind": "portfolio", "smoothing": 0.1, "ridge": 0.1,
                "scenarios": {"generate": {"samples": 40, "assets": 3, "mean": 0.1, "deviation": 0.2}},
            }
        },
        "own pool": POOL
        | {
            "problem": {
                "kind": f"{folder / 'code.py'}:gradient", "dimension": 3, "data": {"file": str(folder / "pool.npy")},
            }
        },
        "own simulated": POOL
        | {
            "problem": {
                "kind": f"{folder / 'code.py'}:shop", "dimension": 2, "normals": 2, "uniforms": 1, "pilot": 2**14,
            }
        },
    }  # fmt: skip
    weights = {
        "reshuffle": {},
        "bernoulli": {},
        "stratified": {"strata": "target"},
        "importance": {"probabilities": "norm"},
    }
    own = {"design": f"{folder / 'code.py'}:systematic", "batch": 4, "pilot": 2**12}
    given["own design"] = given["glm"] | {"sampling": own}
    for design, more in weights.items():
        given[design] = given["glm"] | {"sampling": {"design": design, "batch": 4, **more}}
    return tables(**(given[name] | changes))

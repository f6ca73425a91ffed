"""Draw functions as a user writes them, a problem on a pool whose noise is the same at every state, and specs of both."""

import numpy as np

N, D = 60, 2
CODE = """
import math
import numpy as np
from numba import njit
import fastsgd
from fastsgd.stream import below, shuffle, subset, uniform

@njit
def gradient(theta, sample, out):            # the mean of the pool; noise that does not depend on theta
    for j in range(theta.size):
        out[j] = theta[j] - sample[j]

@njit
def simple(n, b, stream, indices):
    subset(stream, n, b, indices)

@njit
def shuffled(n, b, stream, indices):
    order = np.arange(n)
    shuffle(stream, order)
    for i in range(b):
        indices[i] = order[i]

@njit
def systematic(n, b, stream, indices):
    start = below(stream, n)
    for i in range(b):
        indices[i] = (start + i * (n // b)) % n

@njit
def poisson(n, b, stream, params, indices, weights):      # each by itself with chance params[i]
    size = 0
    for i in range(n):
        if uniform(stream) < params[i]:
            indices[size], weights[size] = i, 1.0 / (n * params[i])
            size += 1
    return size

@njit
def later(n, b, stream, params, indices, weights):        # simple, after some numbers that are not used
    for i in range(int(params[0])):
        uniform(stream)
    subset(stream, n, b, indices)
    for i in range(b):
        weights[i] = 1.0 / b

def simple_chances(n, b):
    return np.full(n, b / n)

def simple_joint(n, b):
    return np.where(np.eye(n) > 0, b / n, b * (b - 1) / (n * (n - 1)))

def by_norm(pool, b):
    size = np.abs(pool.features).sum(axis=1) + 0.2
    return np.minimum(b * size / size.sum(), 1.0)

def of_poisson(scores, b, params):
    weighted = scores * ((1 - params) / params)[:, None]
    return weighted.T @ scores / len(scores) ** 2

def of_simple(scores, b):
    n = len(scores)
    return (n - b) / (n - 1) / b * np.cov(scores.T, bias=True)

horvitz = fastsgd.OwnDesign(simple, inclusion=simple_chances, joint=simple_joint)
chances = fastsgd.OwnDesign(poisson, prepare=by_norm, covariance=of_poisson, largest=lambda n, b: n, distinct=True)
learnt = fastsgd.OwnDesign(poisson, prepare=by_norm, largest=lambda n, b: n)
close = fastsgd.OwnDesign(simple, covariance=lambda g, b: 1.02 * of_simple(g, b))
right = fastsgd.OwnDesign(simple, covariance=of_simple)
"""


def make(folder, more=""):
    """designs.py, pool.npy and data.csv in a folder."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(N, D)) * [0.5, 1.0] + np.arange(N)[:, None] / 10
    np.save(folder / "pool.npy", x)
    rows = [f"{a},{b},{int(a + 2 * rng.normal() > 0)}" for a, b in x]
    (folder / "data.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    (folder / "designs.py").write_text(CODE + more)
    return folder


def tables(folder, name, replicates=64, steps=(10, 20), glm=False, **sampling):
    """A spec of the mean of the pool, or of a logistic regression on it, under a design of designs.py."""
    file = folder / "designs.py"
    data = {"file": str(folder / "data.csv"), "target": "y"}
    return {
        "name": "user", "seed": 3, "replicates": replicates, "step": {"size": 0.2}, "record": {"steps": list(steps)},
        "problem": {"kind": "glm", "family": "logistic", "ridge": 0.1, "data": data} if glm
        else {"kind": f"{file}:gradient", "dimension": D, "data": {"file": str(folder / "pool.npy")}},
        "sampling": {"batch": 6, "design": f"{file}:{name}"} | sampling,
    }  # fmt: skip

"""Own problems as users write them: objects, installed problems, Hessians, arms, shards; and what is wrong with them."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numba import njit

import fastsgd
from fastsgd import problems
from fastsgd.errors import SpecError
from fastsgd.merging import merge
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow

WEIBULL = """
import math
from numba import njit

SHAPE = 1.5

# Survival with censoring: sample = (x1, x2, time, 1 if it was observed); hazard exp(x'theta) SHAPE t^(SHAPE - 1).
@njit
def predictor(theta, sample):
    return theta[0] + theta[1] * sample[0] + theta[2] * sample[1]

@njit
def loss(theta, sample):
    z = predictor(theta, sample)
    return math.exp(z) * sample[2] ** SHAPE - sample[3] * z

@njit
def gradient(theta, sample, out):
    r = math.exp(predictor(theta, sample)) * sample[2] ** SHAPE - sample[3]
    out[0] = r
    out[1] = r * sample[0]
    out[2] = r * sample[1]

@njit
def flipped(theta, sample, out):
    gradient(theta, sample, out)
    out[2] = -out[2]

@njit
def hessian(theta, sample, out):
    w = math.exp(predictor(theta, sample)) * sample[2] ** SHAPE
    x = (1.0, sample[0], sample[1])
    for i in range(3):
        for j in range(3):
            out[i, j] = w * x[i] * x[j]

@njit
def wrong_hessian(theta, sample, out):
    hessian(theta, sample, out)
    out[1, 2] *= 0.5
    out[2, 1] *= 0.5
"""

QUANTILE = """
from numba import njit

LEVEL = 0.75

@njit
def residual(theta, sample):
    r = sample[2]
    for j in range(2):
        r -= theta[j] * sample[j]
    return r

@njit
def loss(theta, sample):
    r = residual(theta, sample)
    if r > 0.0:
        return LEVEL * r
    return (LEVEL - 1.0) * r

@njit
def gradient(theta, sample, out):
    weight = LEVEL if residual(theta, sample) > 0.0 else LEVEL - 1.0
    for j in range(2):
        out[j] = -weight * sample[j]

@njit
def halved(theta, sample, out):
    gradient(theta, sample, out)
    out[0] *= 2.0
"""

SOFTMAX = """
import numpy as np
from numba import njit

CLASSES = 3

# sample = (x1, x2, class); theta holds the coefficients of classes 1 and 2, class 0 has none; with a ridge.
@njit
def gradient(theta, sample, out):
    p = np.zeros(CLASSES)
    total = 1.0
    p[0] = 1.0
    for c in range(1, CLASSES):
        z = 0.0
        for j in range(2):
            z += theta[2 * (c - 1) + j] * sample[j]
        p[c] = np.exp(z)
        total += p[c]
    for c in range(1, CLASSES):
        for j in range(2):
            k = 2 * (c - 1) + j
            out[k] = (p[c] / total - 1.0 * (sample[2] == c)) * sample[j] + 0.1 * theta[k]

@njit
def loss(theta, sample):
    total = 1.0
    picked = 0.0
    ridge = 0.0
    for c in range(1, CLASSES):
        z = 0.0
        for j in range(2):
            z += theta[2 * (c - 1) + j] * sample[j]
            ridge += theta[2 * (c - 1) + j] ** 2
        total += np.exp(z)
        if sample[2] == c:
            picked = z
    return np.log(total) - picked + 0.05 * ridge

@njit
def doubled(theta, sample, out):
    gradient(theta, sample, out)
    out[3] = 2.0 * out[3]
"""

FAULTS = """
from numba import njit

@njit
def beyond(theta, sample, out):
    for j in range(theta.size + 1):
        out[j] = 1.0

@njit
def typo(theta, sample, out):
    for j in range(theta.size):
        out[j] = thta[j]

@njit
def strange(theta, sample, out):
    out[:] = 0.0
    out[0] = theta.tolist()[0]

@njit
def theft(theta, sample, out):
    for j in range(theta.size):
        theta[j] = 0.0
        out[j] = 1.0

@njit
def missing(theta, sample, out):
    out[0] = theta[0]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(11)
    x = rng.normal(size=(300, 2))
    time = (rng.exponential(size=300) / np.exp(0.3 + x @ [0.5, -0.4])) ** (1 / 1.5)
    limit = rng.exponential(2.0, size=300)
    np.save(path / "survival.npy", np.column_stack([x, np.minimum(time, limit), time <= limit]))
    design = np.column_stack([np.ones(300), x[:, 0]])
    np.save(path / "line.npy", np.column_stack([design, design @ [1.0, 2.0] + rng.normal(size=300)]))
    np.save(path / "classes.npy", np.column_stack([x, (x @ [1.0, -1.0] > 0) + (rng.random(300) < 0.3)]))
    for name, text in (("weibull", WEIBULL), ("quantile", QUANTILE), ("softmax", SOFTMAX), ("faults", FAULTS)):
        (path / f"{name}.py").write_text(text)
    return path


def tables(kind, data, dimension, **problem):
    return {
        "name": "own",
        "seed": 5,
        "replicates": 70,
        "problem": {"kind": kind, "dimension": dimension, "data": {"file": data}} | problem,
        "sampling": {"batch": 4},
        "step": {"size": 0.02},
        "record": {"steps": [0, 5, 40]},
    }


def wrong(folder, *args, **problem):
    with pytest.raises(SpecError) as caught:
        load_spec(tables(*args, **problem), base=folder)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line


def test_samples_may_be_columns_of_a_table(folder):
    import h5py

    rows = np.load(folder / "survival.npy")
    (folder / "table.csv").write_text("\n".join(["x1,x2,time,seen", *(",".join(map(repr, r)) for r in rows.tolist())]))
    np.savez(folder / "table.npz", x=rows[:, :2], time=rows[:, 2], seen=rows[:, 3])
    with h5py.File(folder / "table.h5", "w") as file:
        file["a"], file["b"] = rows[:, :3], rows[:, 3]
    names = ("survival.npy", "table.csv", "table.npz", "table.h5")
    specs = [load_spec(tables("weibull.py:gradient", name, 3), base=folder) for name in names]
    assert len({spec.identity() for spec in specs}) == 1
    (folder / "text.csv").write_text("x1,x2,time,seen\n1,2,3,yes\n1,2,,1\n")
    with pytest.raises(SpecError, match='must hold numbers, got "yes" at line 2, column "seen"'):
        load_spec(tables("weibull.py:gradient", "text.csv", 3), base=folder)
    np.savez(folder / "uneven.npz", x=rows[:, :2], time=rows[1:, 2])
    with pytest.raises(SpecError, match=r'must hold 300 rows in "time", got shape \[299\]'):
        load_spec(tables("weibull.py:gradient", "uneven.npz", 3), base=folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(3)\n", "importing it fails with SystemExit: 3 in line 2"),
        ("async def g(theta, sample, out):\n    out[:] = theta\n", "g must be an ordinary function"),
        ("import numpy as np\ndef g(theta, sample, out):\n    out[:] = theta + np.random.normal()\n",
         "two values for the same; take random numbers from sample.normals"),
        ("import numpy as np\ndef g(theta, sample, out):\n    out[:] = np.random.normal(size=3)\n",
         "no compiled form of normal(size=Literal[int](3)) in line 3; take random numbers from sample.normals"),
        ("def g(theta, sample, out):\n    import math\n    out[:] = theta\n", "must name functions that Numba compiles"),
        ("def g(theta, sample, out):\n    for j in range(3):\n        out[j] += theta[j] - sample[j]\n",
         "gradient adds to coordinate 0 of out, which is not zero before; begin with out[:] = 0.0"),
        ("def g(theta, sample, out):\n    return theta - sample\n", "gradient returns a value and does not write out"),
        ("def g(theta, sample):\n    return theta - sample\n", "got 2 arguments; give it these and write the gradient to out"),
        ("def g(theta, sample, out):\n    out[:] = theta - sample / (sample[0] - 5.0)\n",
         "in coordinate 0 of sample 40 (counted from 0, and of 1 more), which is [5, 0, 1]; correct the data"),
    ],
)  # fmt: skip
def test_code_that_is_no_gradient(tmp_path, text, said):
    (tmp_path / "g.py").write_text(text)
    rows = np.random.default_rng(1).normal(size=(50, 3))
    rows[40:42] = 5.0, 0.0, 1.0
    np.save(tmp_path / "rows.npy", rows)
    assert said in wrong(tmp_path, "g.py:g", "rows.npy", 3)


@pytest.mark.parametrize("more", [{}, {"parameters": [2.0]}])
def test_a_hessian_of_the_mean_loss(tmp_path, more):
    with_params = ", params" if more else ""
    two = "params[0]" if more else "2.0"
    (tmp_path / "g.py").write_text(
        f"def g(theta, sample{with_params}, out):\n    out[:] = {two} * theta - sample\n"
        f"def h(theta{with_params}, out):\n    out[:] = 0.0\n    out[0, 0] = out[1, 1] = out[2, 2] = {two}\n"
        f"def other(theta{with_params}, out):\n    out[:] = 0.0\n    out[0, 0] = out[1, 1] = {two}\n    out[2, 2] = 5.0\n"
    )
    np.save(tmp_path / "rows.npy", np.random.default_rng(1).normal(size=(50, 3)))
    found = problems.build(load_spec(tables("g.py:g", "rows.npy", 3, hessian="h", **more), base=tmp_path))
    np.testing.assert_array_equal(found.hessian, 2.0 * np.eye(3))
    assert "got 5 in row 2, column 2" in wrong(tmp_path, "g.py:g", "rows.npy", 3, hessian="other", **more)


def test_a_survival_model_with_a_hessian_of_its_own(folder):
    spec = load_spec(tables("weibull.py:gradient", "survival.npy", 3, loss="loss", hessian="hessian"), base=folder)
    found = problems.build(spec)
    plain = problems.build(load_spec(tables("weibull.py:gradient", "survival.npy", 3), base=folder))
    data = np.load(folder / "survival.npy")
    x = np.column_stack([np.ones(300), data[:, :2]])
    weight = np.exp(x @ found.optimum) * data[:, 2] ** 1.5
    np.testing.assert_allclose(x.T @ (weight - data[:, 3]) / 300, 0.0, atol=1e-8)
    np.testing.assert_allclose(found.hessian, (x.T * weight) @ x / 300, rtol=1e-12)
    np.testing.assert_allclose(plain.hessian, found.hessian, rtol=1e-5)
    assert not np.array_equal(plain.hessian, found.hessian)
    scores = x * (weight - data[:, 3])[:, None]
    np.testing.assert_allclose(found.noise, np.cov(scores.T, bias=True), rtol=1e-9)
    assert "side by side" in found.remark
    line = wrong(folder, "weibull.py:gradient", "survival.npy", 3, hessian="wrong_hessian")
    assert "problem.hessian" in line and "row 1, column 2" in line


@pytest.mark.parametrize(
    ("kind", "data", "d", "coordinate"),
    [
        ("weibull.py:flipped", "survival.npy", 3, "wrong coordinate 2 "),
        ("quantile.py:halved", "line.npy", 2, "wrong coordinate 0 "),
        ("softmax.py:doubled", "classes.npy", 4, "wrong coordinate 3 "),
    ],
)
def test_a_wrong_gradient_is_told_with_its_coordinate(folder, kind, data, d, coordinate):
    assert coordinate in wrong(folder, kind, data, d, loss="loss")


def test_softmax_on_data_has_the_optimum_of_scipy(folder):
    from scipy.optimize import minimize

    found = problems.build(load_spec(tables("softmax.py:gradient", "classes.npy", 4, loss="loss"), base=folder))
    data = np.load(folder / "classes.npy")

    def objective(theta):
        z = np.column_stack([np.zeros(300), data[:, :2] @ theta.reshape(2, 2).T])
        picked = z[np.arange(300), data[:, 2].astype(int)]
        return np.mean(np.log(np.exp(z).sum(axis=1)) - picked) + 0.05 * theta @ theta

    best = minimize(objective, np.zeros(4), options={"gtol": 1e-9}).x
    np.testing.assert_allclose(found.optimum, best, atol=1e-5)
    assert "side by side" in found.remark


def test_a_loss_with_kinks_passes_its_check(folder):
    """On a pool the mean gradient of a quantile regression has no zero: the check of the gradient is what is tested."""
    from fastsgd.problems import own

    spec = load_spec(tables("weibull.py:gradient", "survival.npy", 3), base=folder)
    raw = tables("quantile.py:gradient", "line.npy", 2, loss="loss")
    kinked = type(spec).build(raw, spec._files)
    pilot = own._pilot(kinked)
    for theta in ([1.3, 2.1], [0.5, 2.5], [3.0, -1.0]):
        pilot.check_gradient(np.array(theta))


def test_a_mean_of_gradients_that_jump_is_refused_for_what_it_is(folder):
    assert "do not change when theta moves" in wrong(folder, "quantile.py:gradient", "line.npy", 2, guess=[1.0, 2.0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("beyond", "IndexError: index 3 is out of bounds for axis 0 with size 3 in line 7 of faults.py"),
        ("typo", "NameError: name 'thta' is not defined in line 12 of faults.py"),
        ("theft", "read-only in line 22 of faults.py"),
        ("strange", "in line 17"),
        ("missing", "leaves coordinate 1 of out unwritten"),
    ],
)
def test_errors_of_a_users_code_are_one_line_with_its_place(folder, name, said):
    assert said in wrong(folder, f"faults.py:{name}", "survival.npy", 3)


@njit
def stock(theta, sample, out):
    for j in range(2):
        out[j] = 1.0 - 3.0 * (5.0 + sample.normals[j] > theta[j])


def simulated(kind, **more):
    spec = {
        "name": "stock",
        "seed": 7,
        "replicates": 100,
        "problem": {"kind": kind, "dimension": 2, "normals": 2, "guess": [5.0, 5.0], "pilot": 2**16},
        "sampling": {"batch": 4},
        "step": {"size": 0.02},
        "record": {"steps": [0, 10, 60]},
    }
    return spec | more


def test_an_object_runs_resumes_merges_and_averages(tmp_path):
    arms = {"small": {"sampling.batch": 2}, "large": {"sampling.batch": 16}}
    spec = simulated(fastsgd.OwnProblem(gradient=stock), arms=arms)
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    parts = [fastsgd.run(spec, tmp_path / f"{i}.h5", shard=f"{i}/2") for i in (1, 2)]
    from fastsgd.problems import own, own_code

    kept = dict(own_code._objects)
    own_code._objects.clear()  # as in another process: merging needs no code
    own._last.clear()
    merged = merge([part.path for part in parts], tmp_path / "merged.h5")
    own_code._objects.update(kept)
    for arm, batch in (("small", 2), ("large", 16)):
        assert np.array_equal(merged.final(arm), whole.final(arm))
        alone = fastsgd.run(simulated(stock, sampling={"batch": batch}), tmp_path / f"{arm}.h5")
        assert np.array_equal(alone.final("main"), whole.final(arm))
    assert not np.array_equal(whole.final("small"), whole.final("large"))
    averaged = simulated(stock, record={"steps": [0, 60], "average": {"burn_in": 20, "thin": 2, "batches": 4}})
    run = fastsgd.run(averaged, tmp_path / "averaged.h5")
    assert np.isfinite(run.risk("main")).all()


def test_a_function_without_a_source_runs(tmp_path):
    space = {"njit": njit}
    exec(
        "@njit\ndef plain(theta, sample, out):\n    for j in range(2):\n        out[j] = theta[j] - sample.normals[j]\n",
        space,
    )
    run = fastsgd.run(simulated(space["plain"]), tmp_path / "run.h5")
    assert np.abs(run.problem("main")["hessian"] - np.eye(2)).max() < 1e-6
    other = {"njit": njit}
    exec(
        "@njit\ndef plain(theta, sample, out):\n    for j in range(2):\n        out[j] = theta[j] + sample.normals[j]\n",
        other,
    )
    assert load_spec(simulated(other["plain"])).identity() != run.spec.identity()


def test_an_installed_problem_is_found_by_its_name(tmp_path):
    site = tmp_path / "site"
    info = site / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fastsgd.problems]\nshelf = shelf:problem\n")
    (site / "shelf.py").write_text(
        "from numba import njit\nimport fastsgd\n\n@njit\ndef gradient(theta, sample, out):\n"
        "    for j in range(2):\n        out[j] = 1.0 - 3.0 * (5.0 + sample.normals[j] > theta[j])\n\n"
        "problem = fastsgd.OwnProblem(gradient=gradient)\n"
    )
    program = (
        f"import json, sys; sys.path.insert(0, {str(site)!r}); import fastsgd\n"
        f"run = fastsgd.run({simulated('shelf')!r}, {str(tmp_path / 'run.h5')!r})\n"
        "print(json.dumps(run.final('main').tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mine = fastsgd.run(simulated(stock), tmp_path / "mine.h5")
    assert json.loads(done.stdout) == mine.final("main").tolist()
    with pytest.raises(SpecError, match=r"problem\.kind"):
        load_spec(simulated("shelf"))  # here it is not installed


def test_the_same_bits_for_one_replicate_at_a_time(folder):
    from fastsgd.kernels.own import POOL, Functions, make

    built = problems.build(load_spec(tables("softmax.py:gradient", "classes.npy", 4), base=folder))
    pilot = built.pilot
    slow = make(POOL, pilot.code.key, Functions(pilot.code.gradient), lanes=False)
    assert pilot.kernels.lanes is not None and slow.lanes is None
    etas = np.full((2, 30), 0.1) * [[1.0], [0.5]]
    for batch in (1, 6, 7):
        arm = problems.Arm(problem=built, batch=batch, design="with-replacement", covariance=built.noise)
        one, many = np.zeros((2, 21, 4)), np.zeros((2, 21, 4))
        for kernels, delta in ((slow, one), (pilot.kernels, many)):
            stepper = replace(built, pilot=replace(pilot, kernels=kernels)).stepper([arm, arm])
            stepper.advance(delta, etas, 3, 2**32 - 8, 7)
        assert np.array_equal(one, many)
        assert np.ptp(one) > 0.1


def test_a_second_process_compiles_nothing(folder):
    program = (
        f"import fastsgd; from pathlib import Path; from fastsgd import problems\nbase = Path({str(folder)!r})\n"
        f"b = problems.build(fastsgd.load_spec({tables('weibull.py:gradient', 'survival.npy', 3)!r}, base=base))\n"
        "print(b.pilot.kernels.scalar.pilot.sequential.stats.cache_misses)"
    )
    for wanted in (None, "Counter()"):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert wanted is None or done.stdout.strip() == wanted

"""Extremes of a spec through the command line: each works, or one line says why not. Plain references beside them."""

import json
import re

import numpy as np
import pytest
from small_runs import results, tables

import fastsgd
from fastsgd import store
from fastsgd.cli.entry import exit_code
from fastsgd.spec import load_spec

pytestmark = pytest.mark.slow
FAR = 10**9


def toml(folder, name="spec", **changes):
    path = folder / f"{name}.toml"
    path.write_text(load_spec(tables(**changes)).to_toml())
    return str(path)


def said(line, capsys, code=0):
    """(stdout, stderr) of a command that must end with `code`, without a warning or a traceback."""
    assert exit_code(line) == code, capsys.readouterr().err
    out, err = capsys.readouterr()
    assert "Traceback" not in err and "Warning" not in err
    return out, err


def overflow_step(eta, eigenvalue, limit):
    """The first step at which |1 - eta eigenvalue|^k passes a limit, to within the noise of the start."""
    return np.log(limit) / np.log(abs(1 - eta * eigenvalue))


def test_overflow_is_named_with_its_step_and_is_no_contradiction(tmp_path, capsys):
    spec = toml(tmp_path, replicates=70, step__size=10.0, record__steps=[2, 90, 400])
    out, _ = said(["run", spec, "--allow-unstable"], capsys)
    (line,) = [line for line in out.splitlines() if "diverged" in line]
    steps = fastsgd.open_run(tmp_path / "spec.h5").diverged_at()
    assert abs(steps.min() - overflow_step(10.0, 4.0, 1.7e308)) < 3
    assert "70 of 70" in line and str(int(steps.min())) in line
    out, err = said(["ratio", str(tmp_path / "spec.h5")], capsys)  # the step size is as unstable as predicted
    assert f"first at step {int(steps.min())}" in out + err
    assert "(not tested)" in next(line for line in out.splitlines() if re.match(r"main\s+risk\s+90 ", line))
    # Control: the stable step was assumed.
    said(["ratio", str(tmp_path / "spec.h5"), "--assume", "step.size=0.1"], capsys, 3)


NAN = """import numba


@numba.njit
def gradient(theta, sample, out):  # not a number below -3
    out[0] = theta[0] - sample.normals[0] + 0.0 * (theta[0] + 3.0) ** 0.5
"""


def test_nan_of_an_own_problem_is_found_at_its_step(tmp_path, capsys):
    (tmp_path / "own.py").write_text(NAN)
    problem = {"kind": "own.py:gradient", "dimension": 1, "normals": 1, "optimum": [0.0], "pilot": 16384}
    changes = {"problem": problem, "step__size": 1.0, "sampling__batch": 1, "record__steps": [1, 300]}
    path = tmp_path / "own.toml"
    path.write_text(fastsgd.spec.load_spec(tables(replicates=64, **changes), base=tmp_path).to_toml())
    out, _ = said(["run", str(path)], capsys)
    lost = fastsgd.open_run(tmp_path / "own.h5").diverged_at()
    assert 5 < np.count_nonzero(lost >= 0) < 60 and "diverged" in out
    replicate = int(np.argmax(lost >= 0))
    line = [
        "replay",
        str(tmp_path / "own.h5"),
        "--replicate",
        str(replicate),
        "--every",
        "1",
        "--code",
        str(tmp_path / "own.py"),
    ]
    out, _ = said([*line, "--csv"], capsys)
    values = [float(row.split(",")[-1] or "nan") for row in out.splitlines()[1:]]
    at = int(lost[replicate])
    assert np.isfinite(values[:at]).all() and values[at - 1] < -3 and not np.isfinite(values[at])


@pytest.mark.parametrize(
    "changes",
    [
        {"problem__hessian": {"eigenvalues": [1e-9, 1.0, 1e3]}, "problem__noise": {"eigenvalues": [1e-6, 1.0, 1e6]}},
        {
            "problem__hessian": {"eigenvalues": [1e-9, 1.0, 1e3], "basis": "random"},
            "problem__noise": {"eigenvalues": [1e-6, 1.0, 1e6], "basis": "random", "seed": 3},
        },
        {"problem__noise": {"eigenvalues": [0.0, 0.0, 2.0], "basis": "random", "seed": 3}},
        {"problem__noise": {"eigenvalues": [0.0, 0.0, 0.0]}},
        {"sampling__batch": 1},
        {"record__steps": [1]},
        {"problem__dimension": 1, "problem__hessian": {"eigenvalues": [3.0]}, "problem__noise": {"kind": "isotropic"}},
        {"seed": 0},
        {"seed": 2**64 - 1},
    ],
    ids=[
        "condition",
        "rotated condition",
        "rank one",
        "no noise",
        "b = 1",
        "T = 1",
        "d = 1",
        "seed 0",
        "seed 2^64 - 1",
    ],
)
def test_extreme_but_sound_problems_are_consistent(tmp_path, changes, capsys):
    size = (
        1e-3
        if "eigenvalues" in changes.get("problem__hessian", {}) and 1e3 in changes["problem__hessian"]["eigenvalues"]
        else 0.1
    )
    spec = toml(tmp_path, replicates=512, **({"step__size": size} | changes))
    said(["run", spec], capsys)
    out, _ = said(["ratio", str(tmp_path / "spec.h5"), "--json"], capsys)
    report = json.loads(out)
    assert report["verdict"] == "consistent" and report["rows"]
    assert np.isfinite([row["predicted"] for row in report["rows"]]).all()
    said(["verify", str(tmp_path / "spec.h5")], capsys)


def test_a_batch_of_the_whole_pool_has_no_noise(tmp_path, capsys):
    """b = n without replacement is gradient descent: theta - theta* shrinks by (I - eta H)^k."""
    data = {"generate": {"samples": 20, "dimension": 2, "seed": 4}}
    problem = {"kind": "glm", "family": "linear", "ridge": 0.1, "data": data}
    sampling = {"design": "without-replacement", "batch": 20}
    spec = toml(tmp_path, problem=problem, sampling=sampling, replicates=3, start__value=1.0, record__steps=[0, 7])
    said(["run", spec], capsys)
    run = fastsgd.open_run(tmp_path / "spec.h5")
    H = run.problem()["hessian"]
    expected = np.linalg.matrix_power(np.eye(len(H)) - 0.1 * H, 7) @ np.ones(len(H))
    np.testing.assert_allclose(run.final(), np.tile(expected, (3, 1)), rtol=1e-12)
    said(["ratio", str(tmp_path / "spec.h5")], capsys)
    said(["run", spec, "-o", str(tmp_path / "b.h5"), "--set", "sampling.batch=21"], capsys, 2)


def test_one_replicate_has_no_standard_error_and_says_so(tmp_path, capsys):
    spec = toml(tmp_path, replicates=1)
    said(["run", spec], capsys)
    out, err = said(["ratio", str(tmp_path / "spec.h5")], capsys)
    assert "1 replicate gives no standard error of its own" in out + err
    out, _ = said(["ratio", str(tmp_path / "spec.h5"), "--json"], capsys)
    assert all(row["standard_error_sample"] is None for row in json.loads(out)["rows"])
    pool = {"kind": "glm", "family": "logistic", "ridge": 0.1, "data": {"generate": {"samples": 20, "dimension": 2}}}
    spec = toml(tmp_path, "pool", problem=pool, sampling={"batch": 4}, replicates=1)
    said(["run", spec], capsys)
    _, err = said(["ratio", str(tmp_path / "pool.h5")], capsys, 2)
    assert "gives no standard error; give replicates >= 2" in err


@pytest.mark.parametrize(
    "schedule", [{"size": 0.1}, {"schedule": "power", "size": 1.0, "offset": 10.0, "exponent": 0.6}]
)
def test_a_thousand_million_steps(tmp_path, schedule, capsys):
    """Plan, prediction, a run that is stopped, and one that goes on from there; step sizes far out against mpmath."""
    mpmath = pytest.importorskip("mpmath")
    spec = toml(tmp_path, step=schedule, record__steps=[10, FAR], replicates=64)
    if "schedule" in schedule:
        _, err = said(["predict", spec], capsys, 2)
        assert "goes through every step, 2e+08 at most, got step 1e+09" in err
    else:
        out, _ = said(["predict", spec, "--json"], capsys)
        risks = [row["value"] for row in json.loads(out)["risk"]]
        near, _ = said(["predict", spec, "--json", "--set", "record.steps=[10,1000000]"], capsys)
        assert risks[1] == pytest.approx(json.loads(near)["risk"][1]["value"], rel=1e-12)
        said(["plan", spec], capsys)
    _, err = said(["run", spec, "--time-limit", "0.4"], capsys, 75)
    assert "time limit reached" in err
    run = store.open_run(tmp_path / "spec.h5")
    at = run.progress.wave_step
    assert at > 1000
    _, err = said(["run", spec, "--time-limit", "0.4"], capsys, 75)
    assert store.open_run(tmp_path / "spec.h5").progress.wave_step > at and "resuming" in err
    plan = fastsgd.plan.make_plan(load_spec(tables(step=schedule)))
    sizes = plan.sizes(FAR, FAR + 3)[0]
    with mpmath.workdps(40):
        for j, size in enumerate(sizes):
            power = mpmath.mpf(schedule.get("exponent", 0))
            exact = mpmath.mpf(schedule["size"]) / (mpmath.mpf(FAR + j) + schedule.get("offset", 0)) ** power
            assert abs(float(size) / float(exact) - 1) < 1e-15


def test_replicates_and_steps_past_two_to_the_31():
    """Rows 2^31 + 5 onwards of a far shard are those that the kernel gives for these addresses, one at a time."""
    from fastsgd.wave import Wave

    first, steps = 2**31 + 64, 4
    plan = fastsgd.plan.make_plan(load_spec(tables(replicates=2**31 + 200, record__steps=[steps])), (first, 100))
    wave = Wave(plan, first, 100, 0)
    while not wave.done:
        wave.advance(3)
    alone = plan.start_mean[:, None, :].copy()
    plan.stepper.advance(alone, plan.sizes(0, steps), 5, first + 77, 0)
    assert alone[:, 0].tobytes() == np.ascontiguousarray(wave.delta[:, 77]).tobytes()
    low = plan.start_mean[:, None, :].copy()  # control: the low 31 bits alone are another replicate
    plan.stepper.advance(low, plan.sizes(0, steps), 5, 64 + 77, 0)
    assert low.tobytes() != alone.tobytes()


@pytest.mark.parametrize("replicates", [2**31 + 7, 2**40])
def test_more_replicates_than_there_is_disk_are_refused_with_their_size(tmp_path, replicates, capsys):
    spec = toml(tmp_path, replicates=replicates)
    said(["predict", spec], capsys)
    _, err = said(["run", spec], capsys, 2)
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert re.search(r"needs [\d.]+ (GB|TB|PB|EB)", line), line
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_a_shard_far_out_is_the_same_run(tmp_path, capsys):
    """The last shard of 2^31 + 128 replicates: numbered, replayed, verified."""
    spec = toml(tmp_path, replicates=2**31 + 128, record__steps=[3])
    count = 2**25 + 2  # shards of one block of 64 replicates
    said(["run", spec, "--shard", f"{count}/{count}", "-o", str(tmp_path / "last.h5")], capsys)
    run = fastsgd.open_run(tmp_path / "last.h5")
    assert run.first_replicate + run.replicates == 2**31 + 128
    said(["replay", str(tmp_path / "last.h5"), "--replicate", str(2**31 + 127)], capsys)
    said(["verify", str(tmp_path / "last.h5")], capsys)
    assert results(tmp_path / "last.h5")

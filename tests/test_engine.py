"""The engine end to end: numbers against the slow reference, and everything that they must not depend on."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from reference_quadratic import advance as slow
from small_runs import datasets, results, tables

import fastsgd
from fastsgd import plan as plan_module
from fastsgd.errors import InputError, StoppedEarly
from fastsgd.plan import make_plan
from fastsgd.spec import load_spec


def test_iterates_equal_the_slow_recursion(tmp_path):
    """Dense H: the reference runs in the eigenbasis, and is rotated back."""
    spec = load_spec(
        tables(problem__hessian__basis="random", record__trajectories=3, start={"value": [1.0, -2.0, 0.5]})
    )
    run = fastsgd.run(spec, tmp_path / "a.h5")
    plan = make_plan(spec)
    arm = plan.arms[0]
    assert arm.problem.basis is not None
    lam = arm.problem.eigenvalues
    from fastsgd.problems.working import factor

    root = factor(arm.problem.basis, arm.covariance)
    state = plan.start_mean[0].tolist()
    np.testing.assert_allclose(run.trajectories()[2, 0], [1.0, -2.0, 0.5], rtol=1e-14)
    state = slow(state, lam, root, [0.1] * 3, 5, 2, 0)
    np.testing.assert_allclose(run.trajectories()[2, 1], np.array(state) @ arm.problem.basis, rtol=1e-13)
    state = slow(state, lam, root, [0.1] * 7, 5, 2, 3)
    x = np.array(state) @ arm.problem.basis
    np.testing.assert_allclose(run.trajectories()[2, 2], x, rtol=1e-13)
    np.testing.assert_allclose(run.risk()[2, 2], x @ arm.problem.hessian @ x, rtol=1e-12)


def test_moments_are_those_of_the_recorded_iterates(tmp_path):
    run = fastsgd.run(tables(record__trajectories=150), tmp_path / "a.h5")
    count, mean, covariance = run.moments()
    x = run.trajectories()
    assert count.tolist() == [150] * 4
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12, atol=1e-16)
    for s in range(1, 4):
        np.testing.assert_allclose(covariance[s], np.cov(x[:, s].T), rtol=1e-11)
    np.testing.assert_array_equal(run.final(), x[:, -1])
    assert (run.diverged_at() == -1).all()


@pytest.mark.parametrize("start", [{}, {"kind": "gaussian", "scale": 2.0}, {"kind": "stationary"}])
def test_waves_threads_segments_and_interruptions_leave_every_byte(tmp_path, start, monkeypatch):
    spec = tables(
        replicates=700, start=start, record__trajectories=5, arms={"a": {}, "b": {"problem.noise.kind": "isotropic"}}
    )
    fastsgd.run(spec, tmp_path / "whole.h5", threads=1)
    fastsgd.run(spec, tmp_path / "two.h5", threads=2)
    assert datasets(tmp_path / "whole.h5") == datasets(tmp_path / "two.h5")

    stops = 0  # every call ends after one segment
    while True:
        try:
            fastsgd.run(spec, tmp_path / "cut.h5", threads=1, time_limit=0.0)
            break
        except StoppedEarly:
            stops += 1
    assert stops >= 3
    assert datasets(tmp_path / "whole.h5") == datasets(tmp_path / "cut.h5")

    monkeypatch.setattr(plan_module, "_LARGEST_WAVE", 128)
    fastsgd.run(spec, tmp_path / "waves.h5")
    assert results(tmp_path / "whole.h5") == results(tmp_path / "waves.h5")


def test_control_another_seed_changes_the_bytes(tmp_path):
    fastsgd.run(tables(), tmp_path / "a.h5")
    fastsgd.run(tables(seed=6), tmp_path / "b.h5")
    assert results(tmp_path / "a.h5")["risk"] != results(tmp_path / "b.h5")["risk"]


def test_fewer_replicates_and_a_shorter_horizon_are_a_prefix(tmp_path):
    long = fastsgd.run(tables(), tmp_path / "a.h5")
    short = fastsgd.run(tables(replicates=9, record__steps=[0, 3, 10]), tmp_path / "b.h5")
    np.testing.assert_array_equal(long.risk()[:9, :3], short.risk())


def test_finished_run_is_left_alone(tmp_path):
    path = tmp_path / "a.h5"
    fastsgd.run(tables(), path)
    before = (path.stat().st_mtime_ns, path.read_bytes())
    notes = []
    fastsgd.run(tables(), path, note=notes.append)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert any("complete already" in note for note in notes)


def test_a_changed_spec_is_refused_key_by_key(tmp_path):
    path = tmp_path / "a.h5"
    fastsgd.run(tables(), path)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        fastsgd.run(tables(step__size=0.2, sampling__batch=5), path)
    assert any("step.size" in line and "0.2" in line and "0.1" in line for line in caught.value.lines)
    assert any("sampling.batch" in line for line in caught.value.lines)
    with pytest.raises(InputError, match="replicates"):
        fastsgd.run(tables(replicates=151), path)
    assert path.read_bytes() == before
    fastsgd.run(tables(step__size=0.2), path, force=True)
    assert fastsgd.open_run(path).spec.step.size == 0.2


def test_seed_is_drawn_recorded_and_kept(tmp_path):
    spec = tables()
    del spec["seed"]
    first = fastsgd.run(spec, tmp_path / "a.h5")
    second = fastsgd.run(spec, tmp_path / "b.h5")
    assert first.spec.seed != second.spec.seed
    again = fastsgd.run(spec, tmp_path / "a.h5")
    assert again.spec.seed == first.spec.seed
    repeat = fastsgd.run(spec | {"seed": first.spec.seed}, tmp_path / "c.h5")
    np.testing.assert_array_equal(repeat.risk(), first.risk())


def test_unstable_step_is_refused_with_the_largest_stable_one(tmp_path):
    with pytest.raises(InputError, match=r"2 / lambda_max\(H\) = 0\.5"):
        fastsgd.run(tables(step__size=0.5), tmp_path / "a.h5")
    assert not (tmp_path / "a.h5").exists()


def test_divergence_is_found_at_its_step(tmp_path):
    """eta lambda = 40: |1 - 40| = 39, so the risk overflows after about 100 steps and the iterate after about 194."""
    spec = tables(replicates=70, step__size=10.0, record__steps=[50, 150, 400])
    run = fastsgd.run(spec, tmp_path / "a.h5", allow_unstable=True)
    count, mean, _ = run.moments()
    assert count.tolist() == [70, 0, 0]
    assert np.isnan(mean[1:]).all() and np.isnan(run.risk()[:, 1:]).all()
    assert (run.diverged_at() == 150).all()

    spec = tables(replicates=70, step__size=10.0, record__steps=[400])
    run = fastsgd.run(spec, tmp_path / "b.h5", allow_unstable=True)
    for replicate in (0, 69):
        at = int(run.diverged_at()[replicate])
        plan = make_plan(load_spec(spec))
        delta = plan.start_mean[:, None, :].copy()
        plan.stepper.advance(delta, plan.sizes(0, at - 1), 5, replicate, 0)
        assert np.isfinite(delta).all()
        plan.stepper.advance(delta, plan.sizes(at - 1, at), 5, replicate, at - 1)
        assert not np.isfinite(delta).all()


@pytest.mark.parametrize("replicates", [1, 2, 64, 65])
def test_small_sizes(tmp_path, replicates):
    spec = tables(
        replicates=replicates, problem__dimension=1, problem__hessian={"eigenvalues": [1.0]},
        problem__noise={"kind": "isotropic"}, record__steps=[0, 1],
    )  # fmt: skip
    run = fastsgd.run(spec, tmp_path / "a.h5")
    count, mean, covariance = run.moments()
    assert count.tolist() == [replicates] * 2
    assert run.risk().shape == (replicates, 2)
    assert np.isnan(covariance).all() == (replicates == 1)
    assert mean[0, 0] == 0.0


def test_only_step_zero(tmp_path):
    run = fastsgd.run(tables(record__steps=[0], start={"value": 2.0}), tmp_path / "a.h5")
    np.testing.assert_allclose(run.risk(), 4.0 * 5.5, rtol=1e-15)


def test_power_schedule(tmp_path):
    step = {"schedule": "power", "size": 1.0, "offset": 10.0, "exponent": 0.75}
    spec = load_spec(tables(step=step, record__trajectories=1))
    run = fastsgd.run(spec, tmp_path / "a.h5")
    plan = make_plan(spec)
    root = np.linalg.cholesky(plan.arms[0].covariance)
    state = slow([0.0] * 3, plan.arms[0].problem.eigenvalues, root, plan.sizes(0, 10)[0], 5, 0, 0)
    np.testing.assert_allclose(run.trajectories()[0, 2], state, rtol=1e-12)
    np.testing.assert_allclose(plan.sizes(0, 3)[0], [(k + 10.0) ** -0.75 for k in range(3)], rtol=1e-15)


LONG = """
name = "long"
seed = 1
replicates = 512
[problem]
kind = "quadratic"
dimension = 20
hessian = { spectrum = "logspace", low = 1.0, high = 10.0 }
noise = { kind = "isotropic" }
[sampling]
batch = 4
[step]
size = 0.01
[record]
steps = [100, HORIZON]
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_resumable_file_within_two_seconds(tmp_path, number):
    spec = tmp_path / "long.toml"
    spec.write_text(LONG.replace("HORIZON", "100000000"))
    command = [sys.executable, "-m", "fastsgd", "run", str(spec), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    file = tmp_path / "long.h5"
    deadline = time.monotonic() + 120
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    sent = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - sent < 2.0
    assert process.returncode == 75, err
    assert out == "" and "Traceback" not in err and "goes on" in err
    run = fastsgd.open_run(file)
    assert not run.finished
    reached = run.progress.wave_step
    assert reached > 0
    with pytest.raises(StoppedEarly):
        fastsgd.run(spec, file, time_limit=0.0)
    assert fastsgd.open_run(file).progress.wave_step > reached


def test_default_path_stands_beside_the_spec(tmp_path):
    spec = tmp_path / "here.toml"
    spec.write_text(LONG.replace("HORIZON", "200"))
    run = fastsgd.run(spec)
    assert run.path == tmp_path / "here.h5"
    assert run.path.exists()

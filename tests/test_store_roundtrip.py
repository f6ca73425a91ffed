"""What is written to a run file is what is read, by us and by the readers of others."""

import numpy as np
import pytest
import store_standin as standin
import xarray
from store_standin import STEPS, D

from fastsgd import store
from fastsgd.errors import InputError

ARMS = [("main",), ("plain", "isotropic")]


@pytest.mark.parametrize("arms", ARMS)
@pytest.mark.parametrize("replicates", [5, 20, 32])
@pytest.mark.parametrize("commits_inside", [False, True])
def test_round_trip(tmp_path, arms, replicates, commits_inside):
    path = tmp_path / "a run.h5"
    with standin.create(path, replicates, arms) as writer:
        assert standin.advance(writer, commits_inside)
    run = store.open_run(path)
    assert run.finished and run.sealed and run.progress == store.Progress(replicates, complete=True)
    assert run.arms == list(arms) and run.replicates == replicates and run.coordinates == ["x0", "x1", "x2"]
    assert run.stream_version == 1 and run.identity == standin.StandIn().identity()
    np.testing.assert_array_equal(run.steps, STEPS)
    expected, totals = standin.values(len(arms), 0, replicates), standin.totals(len(arms), replicates)
    for a, arm in enumerate(arms):
        np.testing.assert_array_equal(run.risk(arm), expected["risk"][a])
        np.testing.assert_array_equal(run.final(arm), expected["final"][a])
        np.testing.assert_array_equal(run.diverged_at(arm), expected["diverged_at"][a])
        np.testing.assert_array_equal(run.trajectories(arm), expected["trajectory"][a, :10])
        for got, want in zip(run.moments(arm), totals, strict=True):
            np.testing.assert_array_equal(got, want[a])
        np.testing.assert_array_equal(run.problem(arm)["noise"], (a + 1) * np.eye(D))
        np.testing.assert_array_equal(run.step_sizes(arm), np.full(len(STEPS), 0.01))
    assert run.problem(arms[0])["pool_features"].shape == (11, D)
    (sha,) = run.arrays()
    np.testing.assert_array_equal(run.arrays()[sha], standin.StandIn().arrays()[sha])
    assert run.document == standin.StandIn(replicates).document()
    if len(arms) == 2:
        with pytest.raises(InputError, match="arm must be one of plain, isotropic, got 'other'"):
            run.risk("other")
        with pytest.raises(InputError, match="none was given"):
            run.risk()


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4, 6, 9, 11])
def test_unfinished_run_shows_its_last_commit(tmp_path, stop_after):
    arms = ("plain", "isotropic")
    with standin.create(tmp_path / "run.h5", 20, arms) as writer:
        assert not standin.advance(writer, commits_inside=True, stop_after=stop_after)
        progress = writer.progress
    run = store.open_run(tmp_path / "run.h5")
    assert not run.finished and run.progress == progress
    done = progress.replicates_done
    np.testing.assert_array_equal(run.risk("isotropic"), standin.values(2, 0, done)["risk"][1])
    count, mean, covariance = run.moments("isotropic")
    for s in range(len(STEPS)):
        rows = min(20, done + 8) if s < progress.recorded else done
        path = standin.values(2, 0, rows)["trajectory"][1, :, s]
        assert count[s] == rows
        if rows:
            np.testing.assert_allclose(mean[s], path.mean(axis=0), rtol=1e-13)
            np.testing.assert_allclose(covariance[s], np.cov(path.T), rtol=1e-12)
        else:
            assert np.isnan(mean[s]).all() and np.isnan(covariance[s]).all()
    with pytest.raises(InputError, match="not finished"):
        run.result("mean", "plain")
    with store.open_writer(tmp_path / "run.h5") as writer:
        restored = writer.restore()
        assert restored.progress == progress
        if progress.recorded:
            want = standin.values(2, done, min(20, done + 8))["trajectory"][:, :, progress.recorded - 1]
            np.testing.assert_array_equal(restored.state, want)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
@pytest.mark.parametrize("arms", ARMS)
def test_xarray_shows_named_dimensions(tmp_path, engine, arms):
    path = tmp_path / "run.h5"
    with standin.create(path, 20, arms) as writer:
        standin.advance(writer)
    lead = ("arm",) if len(arms) > 1 else ()
    with xarray.open_dataset(path, engine=engine) as data:
        assert data["risk"].dims == (*lead, "replicate", "step")
        assert data["covariance"].dims == (*lead, "step", "coordinate", "coordinate_2")
        assert data["hessian"].dims == (*lead, "coordinate", "coordinate_2")
        assert data["trajectory"].dims == (*lead, "trajectory_replicate", "step", "coordinate")
        assert data["pool_features"].dims == ("sample", "coordinate")
        assert list(data["coordinate"].values) == ["x0", "x1", "x2"]
        assert data["risk"].attrs["units"] == "1" and "risk" in data["risk"].attrs["long_name"]
        assert data["diverged_at"].dtype == np.int64
        chosen = data["risk"].sel(step=9, **({"arm": arms[1]} if lead else {})).values
        np.testing.assert_array_equal(chosen, standin.values(len(arms), 0, 20)["risk"][-1, :, 2])
    for group in ("checkpoint", "arrays"):
        with xarray.open_dataset(path, engine=engine, group=group) as data:
            assert data.sizes


@pytest.mark.parametrize("long", [70_000, 3_000_000])
def test_a_spec_too_long_for_an_attribute(tmp_path, long):
    with standin.create(tmp_path / "run.h5", spec=standin.StandIn(long=long)) as writer:
        standin.advance(writer)
    run = store.open_run(tmp_path / "run.h5")
    assert len(run.document["filler"]) == long and run.sealed
    with xarray.open_dataset(tmp_path / "run.h5", engine="netcdf4") as data:
        assert "spec" not in data.attrs


def test_a_long_provenance(tmp_path):
    with standin.create(tmp_path / "run.h5", provenance={"note": "p" * 100_000}):
        pass
    assert store.open_run(tmp_path / "run.h5").provenance == {"note": "p" * 100_000}


def test_extra_arrays(tmp_path):
    path = tmp_path / "run.h5"
    with standin.create(
        path, 20, ("a", "b"), extra_state={"average": (2, 8, 3)},
        extra_replicate={"batch_mean": ((5,), "f8", {"dims": ("batch",), "long_name": "mean of a batch"})},
        extra_result={"average_mean": ((3,), "f8", {"dims": ("coordinate",)})},
    ) as writer:  # fmt: skip
        state = np.arange(48.0).reshape(2, 8, 3)
        writer.commit(store.Progress(0, 3, 1), extra={"average": state})
        writer.commit(store.Progress(0, 4, 1), state=np.ones((2, 8, 3)))
        rows = np.arange(100.0).reshape(20, 5)
        writer.write_rows("batch_mean", "b", 3, 17, rows[3:17])
        writer.write_rows("batch_mean", "b", 0, 20, rows)
    with store.open_writer(path) as writer:
        np.testing.assert_array_equal(writer.restore().extra["average"], state)
        count, mean, covariance = standin.totals(2, 20)
        with pytest.raises(ValueError, match="average_mean"):
            writer.finish(count, mean, covariance)
        writer.finish(count, mean, covariance, {"average_mean": np.ones((2, 3))})
    run = store.open_run(path)
    np.testing.assert_array_equal(run.result("average_mean", "a"), np.ones(3))
    np.testing.assert_array_equal(run.rows("batch_mean", "b"), rows)
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["batch_mean"].dims == ("arm", "replicate", "batch")


def test_merging_nodes_of_any_kind():
    from fastsgd.store.merge import merge_nodes

    path = standin.values(1, 0, 18)["trajectory"][0]
    last = standin.node(1, 0, 4, 18)
    nodes = [store.Node(-1, 4, *last.parts()), standin.node(1, 1, 1, 18), standin.node(1, 1, 0, 18)]
    count, mean, m2 = merge_nodes(nodes, 0, len(STEPS), D)
    assert (count == 18).all()
    np.testing.assert_allclose(mean, path.mean(axis=0), rtol=1e-13, atol=1e-15)
    rows, columns = np.tril_indices(D)
    np.testing.assert_allclose(m2[2], 17 * np.cov(path[:, 2].T)[rows, columns], rtol=1e-12)


def test_first_replicate_names_the_rows(tmp_path):
    with standin.create(tmp_path / "run.h5", replicates=20, first_replicate=2**40):
        pass
    with xarray.open_dataset(tmp_path / "run.h5", engine="h5netcdf") as data:
        assert data["replicate"].values[0] == 2**40


def test_wrong_shapes_and_names_are_refused(tmp_path):
    with standin.create(tmp_path / "run.h5") as writer:
        for call in (
            lambda: writer.write_risk(0, 0, 8, 0, 2, np.ones((8, 3))),
            lambda: writer.write_risk(0, 16, 24, 0, 4, np.ones((8, 4))),
            lambda: writer.write_risk(0, 0, 8, 3, 5, np.ones((8, 2))),
            lambda: writer.write_risk("other", 0, 8, 0, 4, np.ones((8, 4))),
            lambda: writer.write_final(0, 0, 8, np.ones((8, 2))),
            lambda: writer.write_diverged(0, 0, 8, np.ones(8)),
            lambda: writer.write_rows("mean", 0, 0, 4, np.ones((4, 3))),
            lambda: writer.commit(store.Progress(0), state=np.ones((1, 9, 3))),
            lambda: writer.commit(store.Progress(0), extra={"records": np.ones(3)}),
            lambda: writer.commit(store.Progress(20, complete=True)),
            lambda: writer.commit(store.Progress(0), note="n" * 5000),
        ):
            with pytest.raises((ValueError, IndexError)):
                call()
        assert standin.advance(writer)
        with pytest.raises(ValueError, match="complete"):
            writer.commit(store.Progress(20))
    assert store.open_run(tmp_path / "run.h5").sealed


@pytest.mark.parametrize("steps", [6, 700])
def test_checksums_follow_writes_in_any_pattern(tmp_path, steps):
    """Writes of any window leave the CRC32 of each wave and step right; 700 steps take the way of single rows."""
    import h5py

    rng = np.random.default_rng(3)
    path = tmp_path / "run.h5"
    table = rng.standard_normal((20, steps))
    kept = rng.standard_normal((10, steps, D))
    with standin.create(path, steps=np.arange(steps), step_sizes=np.ones(steps)) as writer:
        for _ in range(40):
            r0, r1 = sorted(rng.integers(0, 21, 2))
            s0, s1 = sorted(rng.integers(0, steps + 1, 2))
            writer.write_risk(0, r0, r1, s0, s1, table[r0:r1, s0:s1])
            r0, r1 = min(r0, 10), min(r1, 10)
            writer.write_trajectory(0, r0, r1, s0, s1, kept[r0:r1, s0:s1])
        writer.write_risk(0, 0, 20, 0, steps, table)
        writer.write_risk(0, 3, 9, 1, 2, table[3:9, 1:2])
    with h5py.File(path, "r", locking=False) as file:
        np.testing.assert_array_equal(file["risk"][...], table)
        for name in ("risk", "trajectory"):
            data, sums = file[name][...], file[f"checkpoint/crc32_{name}"][0]
            for wave in range(len(sums)):
                part = np.swapaxes(data[8 * wave : 8 * wave + 8], 0, 1)
                written = np.array([store.raw.crc32(column) for column in part], np.uint32)
                touched = sums[wave] != 0
                np.testing.assert_array_equal(sums[wave][touched], written[touched])
                assert name == "trajectory" or touched.all()

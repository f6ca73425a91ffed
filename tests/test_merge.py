"""Merged shards are the single run; everything else is refused with the reason."""

import os
import signal

import numpy as np
import pytest
from small_runs import datasets, tables

import fastsgd
from fastsgd import merging
from fastsgd.cli.entry import exit_code
from fastsgd.errors import InputError, RunError, StoppedEarly

pytestmark = pytest.mark.slow

ARMS = {"a": {}, "b": {"problem.noise.kind": "isotropic"}}


def shards(folder, spec, parts):
    return [fastsgd.run(spec, folder / f"{i}-of-{parts}.h5", shard=(i, parts)).path for i in range(1, parts + 1)]


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
def test_merged_shards_are_the_single_run(tmp_path, parts):
    spec = tables(replicates=700, arms=ARMS, record__trajectories=200, problem__hessian__basis="random")
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    files = shards(tmp_path, spec, parts)
    merged = merging.merge(files[::-1], tmp_path / "merged.h5")
    assert merged.sealed
    assert datasets(merged.path) == datasets(whole.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*(f.name for f in files), "merged.h5", "whole.h5"])
    notes = []
    before = merged.path.stat().st_mtime_ns
    merging.merge(files, merged.path, note=notes.append)
    assert merged.path.stat().st_mtime_ns == before and "complete already" in notes[0]


def test_many_waves_and_merges_of_merges(tmp_path, monkeypatch):
    monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 128)
    spec = tables(replicates=1000, start={"kind": "gaussian", "scale": 1.0}, record__trajectories=150)
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    files = shards(tmp_path, spec, 5)
    assert merging.merge(files, tmp_path / "merged.h5").sizes.waves == 8
    assert datasets(tmp_path / "merged.h5") == datasets(whole.path)
    right = merging.merge(files[2:], tmp_path / "right.h5", allow_gaps=True)
    assert right.spans == [(384, 616)]
    merging.merge([right.path, *files[:2]], tmp_path / "again.h5")
    assert datasets(tmp_path / "again.h5") == datasets(whole.path)


@pytest.mark.parametrize("arms", [{}, {"arms": ARMS}], ids=["one arm", "two arms"])
def test_merging_simulates_nothing_and_keeps_time_averages(tmp_path, monkeypatch, arms):
    spec = tables(replicates=450, record__average={"burn_in": 8, "batches": 4}, **arms)
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    files = shards(tmp_path, spec, 3)

    def forbidden(*args, **keywords):
        raise AssertionError("a merge simulates nothing")

    monkeypatch.setattr("fastsgd.wave.Wave", forbidden)
    merged = merging.merge(files, tmp_path / "merged.h5")
    assert datasets(merged.path) == datasets(whole.path)
    for arm in whole.arms:
        for one, other in zip(merged.averages(arm), whole.averages(arm), strict=True):
            np.testing.assert_array_equal(one, other)
    holey = merging.merge([files[0], files[2]], tmp_path / "holey.h5", allow_gaps=True)
    rows = np.r_[0 : holey.spans[0][1], holey.spans[1][0] : 450]
    for arm in whole.arms:
        np.testing.assert_array_equal(holey.rows("average_risk", arm), whole.rows("average_risk", arm)[rows])
    with pytest.raises(AssertionError, match="simulates nothing"):
        fastsgd.run(spec, tmp_path / "again.h5")


def test_gaps_only_if_asked_and_closed_later(tmp_path):
    spec = tables(replicates=640, record__trajectories=400)
    whole = fastsgd.run(spec, tmp_path / "whole.h5")
    files = shards(tmp_path, spec, 4)
    holey = [files[0], files[2]]
    with pytest.raises(InputError) as caught:
        merging.merge(holey, tmp_path / "holey.h5")
    assert [line.split(" are")[0] for line in caught.value.lines] == ["replicates 128 to 319", "replicates 448 to 639"]
    merged = merging.merge(holey, tmp_path / "holey.h5", allow_gaps=True)
    rows = np.r_[0:128, 320:448]
    assert merged.spans == [(0, 128), (320, 128)] and merged.replicates == 256
    np.testing.assert_array_equal(merged.risk(), whole.risk()[rows])
    np.testing.assert_array_equal(merged.trajectories(), whole.trajectories()[rows[rows < 400]])
    count, mean, covariance = merged.moments()
    assert (count == 256).all()
    np.testing.assert_allclose(mean[-1], whole.final()[rows].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance[-1], np.cov(whole.final()[rows].T), rtol=1e-11)
    merging.merge([merged.path, files[1], files[3]], tmp_path / "full.h5")
    assert datasets(tmp_path / "full.h5") == datasets(whole.path)


def test_what_is_refused(tmp_path):
    spec = tables(replicates=256)
    one, two = shards(tmp_path, spec, 2)
    other = fastsgd.run(tables(replicates=256, step__size=0.05), tmp_path / "other.h5", shard="2/2").path
    longer = fastsgd.run(tables(replicates=512), tmp_path / "longer.h5", shard="2/2").path
    third = fastsgd.run(spec, tmp_path / "third.h5", shard="2/3").path
    with pytest.raises(StoppedEarly):
        fastsgd.run(spec, tmp_path / "half.h5", shard="2/2", time_limit=0.0)
    half = tmp_path / "half.h5"
    damaged = tmp_path / "damaged.h5"
    data = bytearray(two.read_bytes())
    at = data.index(fastsgd.open_run(two).risk()[0, -1].tobytes())
    data[at] ^= 1
    damaged.write_bytes(data)
    before = sorted(tmp_path.iterdir())
    for files, error, text in [
        ([one, other], InputError, r"different runs: step.size is 0.1 and 0.05"),
        ([one, longer], InputError, r"different runs: replicates is 256 and 512"),
        ([one, two, third], InputError, r"both have replicate 64; leave one out"),
        ([one, one, two], InputError, r"both have replicate 0"),
        ([one], InputError, r"replicates 128 to 255 are missing; add their shard, or give --allow-gaps"),
        ([one, half], InputError, r"half.h5 is not finished"),
        ([one, damaged], RunError, r"damaged: checksum of risk"),
        ([one, tmp_path / "missing.h5"], InputError, r"No such file"),
    ]:
        with pytest.raises(error, match=text) as caught:
            merging.merge(files, tmp_path / "merged.h5")
        assert all(len(line) < 300 for line in str(caught.value).splitlines())
        assert sorted(tmp_path.iterdir()) == before
    for target in (one, other):
        content = target.read_bytes()
        with pytest.raises(InputError, match="give another file with -o"):
            merging.merge([one, two], target)
        assert target.read_bytes() == content
    merging.merge([one, two], other, force=True)


def test_a_signal_leaves_nothing(tmp_path, monkeypatch):
    files = shards(tmp_path, tables(replicates=256), 2)
    before = sorted(tmp_path.iterdir())
    copy = merging._pieces

    def late(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return copy(*args)

    monkeypatch.setattr(merging, "_pieces", late)
    with pytest.raises(StoppedEarly, match="terminated; nothing was made"):
        merging.merge(files, tmp_path / "merged.h5")
    assert sorted(tmp_path.iterdir()) == before


def test_command_line(tmp_path, capsys):
    files = [str(file) for file in shards(tmp_path, tables(replicates=256), 2)]
    merged = tmp_path / "merged.h5"
    assert exit_code(["merge", *files, "-o", str(merged)]) == 0
    assert fastsgd.open_run(merged).sealed
    capsys.readouterr()
    assert exit_code(["merge", files[1], "-o", str(tmp_path / "part.h5")]) == 2
    error = capsys.readouterr().err
    assert error == "error: replicates 0 to 127 are missing; add their shard, or give --allow-gaps\n"
    assert exit_code(["merge", files[1], "-o", str(tmp_path / "part.h5"), "--allow-gaps"]) == 0

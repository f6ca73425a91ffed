"""An extended run is the longer run from scratch, byte for byte; what cannot be extended is refused and left alone."""

import kinds
import pytest
from small_runs import datasets

import fastsgd
from fastsgd import extending
from fastsgd.store.verify import verify

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", kinds.NAMES)
@pytest.mark.parametrize("more", ["replicates", "both"])
def test_extended_is_the_longer_run(tmp_path, monkeypatch, kind, more):
    """150 replicates to 300 in waves of 128, so that one ends within a wave; three later steps."""
    monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 128)
    spec = kinds.spec(kind, tmp_path)
    longer = spec | {"replicates": 300}
    given = {"replicates": 300}
    if more == "both":
        if kind == "average":
            pytest.skip("time averages are over all steps, so no more can be added")
        given["steps"] = [41, 90, 100]
        longer = longer | {"record": spec["record"] | {"steps": [*spec["record"]["steps"], 41, 90, 100]}}
    if kind in kinds.WITH_CODE:
        given["code"] = tmp_path / "code.py"
    run = fastsgd.run(spec, tmp_path / "run.h5", threads=2)
    longer = fastsgd.run(longer, tmp_path / "scratch.h5", threads=1)
    found = extending.extend(run.path, **given, threads=1)
    assert datasets(found.path) == datasets(longer.path)
    assert verify(found.path) == [] and found.sealed
    assert not list(tmp_path.glob("*extending*")) and not list(tmp_path.glob("*.lock"))

"""A run file tells all of how it was made; files of released format versions stay readable."""

import json
import shutil
from pathlib import Path

import jsonschema
import kinds
import pytest
from fastsgd.kernels import STREAM_VERSION
from small_runs import datasets

import fastsgd
from fastsgd.errors import InputError
from fastsgd.replaying import replay
from fastsgd.sources import with_code
from fastsgd.store.provenance import SCHEMA_FILE
from fastsgd.store.verify import verify

FILES = Path(__file__).parent / "files"
KEPT = json.loads((FILES / "content.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds.NAMES)
def test_the_spec_of_a_file_gives_the_same_bytes(tmp_path, monkeypatch, kind):
    """With nothing but the file at hand, and the code where the problem is one's own."""
    monkeypatch.setenv("FASTSGD_THREADS", "1")
    (tmp_path / "made").mkdir()
    run = fastsgd.run(kinds.spec(kind, tmp_path / "made"), tmp_path / "run.h5")
    jsonschema.validate(run.provenance, json.loads(SCHEMA_FILE.read_text()))
    assert run.provenance["parameters"]["seed"] == 5
    code = None
    if kind in kinds.WITH_CODE:
        code = (tmp_path / "made" / "code.py").rename(tmp_path / "kept.py")
    shutil.rmtree(tmp_path / "made")
    spec = with_code(run.spec, run, code)
    assert spec.identity() == run.identity
    again = fastsgd.run(spec, tmp_path / "again.h5", threads=2)
    assert datasets(again.path) == datasets(run.path)


@pytest.mark.parametrize("name", KEPT)
def test_kept_files_stay_readable(tmp_path, name):
    """Their numbers are those that were noted when they were made; those of this stream version also repeat."""
    path, wanted = FILES / f"{name}.h5", KEPT[name]
    assert path.stat().st_size < 200_000 and verify(path) == []
    run = fastsgd.open_run(path)
    assert run.spec.identity() == run.identity == wanted["identity"]
    assert (run.finished, run.progress.replicates_done) == (wanted["finished"], wanted["replicates_done"])
    for arm, found in wanted["arms"].items():
        assert [repr(float(x)) for x in run.risk(arm)[3]] == found["risk_of_3"]
        count, mean, _ = run.moments(arm)
        assert count.tolist() == found["count"] and [repr(float(x)) for x in mean[-1]] == found["last_mean"]
    assert fastsgd.predict(path)["risk"]
    if run.stream_version == STREAM_VERSION:
        assert replay(path, 3)[0].compared == len(run.steps)
    else:
        with pytest.raises(InputError, match="random numbers of version"):
            replay(path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KEPT if not KEPT[name]["finished"]])
def test_kept_unfinished_files_go_on(tmp_path, monkeypatch, name):
    """In waves of their own layout, whatever this version would choose."""
    copy = tmp_path / "run.h5"
    shutil.copy(FILES / f"{name}.h5", copy)
    spec = fastsgd.open_run(copy).spec
    if fastsgd.open_run(copy).stream_version != STREAM_VERSION:
        pytest.skip("made with other random numbers, which going on refuses")
    fastsgd.run(spec, copy)
    monkeypatch.setattr("fastsgd.plan._LARGEST_WAVE", 64)
    assert datasets(copy) == datasets(fastsgd.run(spec, tmp_path / "scratch.h5").path)

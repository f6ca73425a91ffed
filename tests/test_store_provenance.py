"""The provenance document and its schema."""

import json
import subprocess
import sys

import jsonschema
import pytest
import store_standin as standin

from fastsgd import store
from fastsgd.store.provenance import SCHEMA_FILE, collect

SCHEMA = json.loads(SCHEMA_FILE.read_text())


def test_collected_document_is_valid_and_stored(tmp_path):
    found = collect(standin.StandIn(), ["fastsgd", "run", "x.toml"], threads=2, threading_layer="omp")
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(found, SCHEMA)
    assert found["parameters"] == {
        "command": ["fastsgd", "run", "x.toml"], "spec": standin.StandIn().document(), "seed": 7,
    }  # fmt: skip
    assert found["environment"]["libraries"]["h5py"]["version"][0].isdigit()
    assert found["environment"]["cpu"]["model"]
    with standin.create(tmp_path / "run.h5", provenance=found):
        pass
    assert store.open_run(tmp_path / "run.h5").provenance == found


def test_it_does_not_depend_on_the_time_nor_grow_without_bound():
    assert collect(standin.StandIn(), []) == collect(standin.StandIn(), [])
    long = collect(standin.StandIn(long=10**6), ["x" * 1000] * 500)
    jsonschema.validate(long, SCHEMA)
    assert len(json.dumps(long)) < 50_000
    assert long["parameters"]["spec"] == {"identity": standin.StandIn().identity()}


@pytest.mark.parametrize("key", ["schema_version", "software", "parameters", "environment"])
def test_schema_refuses_what_is_missing(key):
    found = collect(standin.StandIn(), [])
    del found[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


def test_importing_the_store_loads_no_hdf5():
    code = "import sys, fastsgd.store; print([m for m in ('h5py', 'scipy', 'numba', 'filelock') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""The spec comes back from the file alone."""

import numpy as np
import pytest

from fastsgd import store
from fastsgd.spec import load_spec
from fastsgd.store.provenance import collect

TABLES = {
    "name": "dense", "seed": 5, "replicates": 12,
    "problem": {"kind": "quadratic", "hessian": {"file": "H.npy"}, "noise": {"file": "G.npy"}},
    "sampling": {"batch": 2},
    "step": {"schedule": "constant", "size": 0.05},
    "record": {"steps": [1, 5]},
}  # fmt: skip


@pytest.mark.parametrize("arms", [None, {"full": {}, "isotropic": {"problem.noise.kind": "isotropic"}}])
def test_spec_is_rebuilt_from_the_file_alone(tmp_path, arms):
    rng = np.random.default_rng(1)
    given = {}
    for name in "HG":
        square = rng.standard_normal((3, 3))
        given[name] = square @ square.T + np.eye(3)
        np.save(tmp_path / f"{name}.npy", given[name])
    spec = load_spec(TABLES | ({"arms": arms} if arms else {}), base=tmp_path)
    problem = {"hessian": given["H"], "noise": given["G"], "metric": given["H"], "optimum": np.zeros(3)}
    path = tmp_path / "run.h5"
    with store.create(
        path, spec, dict.fromkeys(spec.arm_specs(), problem), steps=spec.record_steps(), coordinates=["0", "1", "2"],
        wave=64, levels=3, step_sizes=[0.05, 0.05], provenance=collect(spec), stream_version=1,
    ) as writer:  # fmt: skip
        assert writer.sizes.with_arms == bool(arms)
    for name in "HG":
        (tmp_path / f"{name}.npy").unlink()
    run = store.open_run(path)
    assert run.spec.identity() == spec.identity() == run.identity
    assert run.spec.document() == spec.document()
    assert run.arms == list(spec.arm_specs())
    assert sorted(map(np.sum, run.arrays().values())) == sorted(map(np.sum, given.values()))
    assert run.provenance["parameters"]["spec"] == run.document
